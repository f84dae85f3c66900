"""Sending a folder the way a scanner does: C-STORE with DCMTK's dcmsend."""

import subprocess
from pathlib import Path

import pydicom
from rich.console import Console

from tools.demo.orthanc import Orthanc
from tools.stack.state import StackState


def send_folder(folder: Path, stack: StackState, orthanc: Orthanc, console: Console) -> str:
    """Send every DICOM file below the folder; returns Orthanc's id of the study.

    Exits with a sentence where there is nothing to send or Orthanc takes nothing.
    """
    uid = study_of(folder)
    if uid is None:
        console.print(f"[red]No DICOM file below {folder}.[/]")
        raise SystemExit(2)
    with console.status(f"Sending {folder} by C-STORE"):
        dcmsend(folder, stack)
    study_id = orthanc.find_study(uid)
    if study_id is None:
        console.print("[red]Orthanc did not accept the study.[/] Look at build/stack/logs/orthanc.log.")
        raise SystemExit(2)
    return study_id


def dcmsend(folder: Path, stack: StackState) -> None:
    """C-STORE all files below a folder; files that Orthanc refuses do not stop the others."""
    command = ["dcmsend", "127.0.0.1", str(stack.dicom_port), "-aec", stack.aet, "--no-halt"]
    subprocess.run([*command, "--scan-directories", "--recurse", folder], check=False, capture_output=True)


def study_of(folder: Path) -> str | None:
    """StudyInstanceUID of the first DICOM file below a folder."""
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        try:
            uid = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["StudyInstanceUID"]).StudyInstanceUID
        except (pydicom.errors.InvalidDicomError, AttributeError, OSError):
            continue
        return str(uid)
    return None
