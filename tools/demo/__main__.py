"""``python -m tools.demo``: send a knee study through the running system and show what comes back.

Without ``--dicom`` the study is a synthetic knee with a torn ACL and medial meniscus. Everything shown is read back
from Orthanc, as any other reader would: nothing is taken from the services directly. Results lie in ``build/demo``.
"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from services.common.status import StudyState, StudyStatus
from tools.demo.collect import Collected, ResultFile, collect
from tools.demo.orthanc import Orthanc
from tools.demo.page import write_page
from tools.demo.pictures import draw_pictures
from tools.demo.send import send_folder
from tools.phantom.study import write_study
from tools.stack.control import ensure_running
from tools.stack.state import StackState

OUT = Path("build/demo")
SEED = 7
FINDINGS = ("ACL", "Medial Meniscus", "Effusion")
WAIT_SECONDS = 600.0

console = Console()


def main() -> int:
    """Run the demo; exit status 0 where the study ended in a result, 3 where it ended in a coded refusal."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--dicom", type=Path, help="a folder with the DICOM files of one study")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    if options.dicom and not options.dicom.is_dir():
        console.print(f"[red]{options.dicom} is not a folder.[/] Give the folder that holds the DICOM files.")
        return 2
    return demonstrate(options.dicom, options.out, ensure_running())


def demonstrate(folder: Path | None, out: Path, stack: StackState) -> int:
    """Send a study to a running stack, wait for its result, and write everything to ``out``."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    orthanc = Orthanc(stack)
    seconds: dict[str, float] = {}
    if folder is None:
        started = time.monotonic()
        folder = out / "study"
        with console.status("Drawing a synthetic knee with a tear"):
            write_study(folder, SEED, FINDINGS)
        seconds["generate"] = time.monotonic() - started
    started = time.monotonic()
    study_id = send_folder(folder, stack, orthanc, console)
    seconds["send"] = time.monotonic() - started
    started = time.monotonic()
    status = wait(orthanc, study_id)
    seconds["analyze"] = time.monotonic() - started
    collected = collect(orthanc, study_id, out)
    pictures = draw_pictures(collected, orthanc, out)
    seconds |= {f"service: {stage}": value for stage, value in status.seconds.items()}
    write_summary(out / "summary.json", collected, status, seconds)
    write_page(out / "report.html", collected, status, pictures)
    show(collected, status, seconds)
    link(out, stack, study_id)
    return 0 if status.state == StudyState.DONE else 3


def wait(orthanc: Orthanc, study_id: str) -> StudyStatus:
    """Follow the study's status in Orthanc until it is final."""
    deadline = time.monotonic() + WAIT_SECONDS
    with console.status("Waiting for the forwarder") as line:
        while time.monotonic() < deadline:
            status = orthanc.status(study_id)
            if status and status.state in {StudyState.DONE, StudyState.NO_RESULT, StudyState.FAILED}:
                return status
            if status:
                reason = f" ({status.code})" if status.code else ""
                line.update(f"{status.state.capitalize()} {status.stage}{reason}")
            time.sleep(0.3)
    console.print(f"[red]No result after {WAIT_SECONDS:.0f} s.[/] Look at the logs in build/stack/logs.")
    raise SystemExit(4)


def write_summary(path: Path, collected: Collected, status: StudyStatus, seconds: dict[str, float]) -> None:
    """The machine-readable outcome."""
    summary = {
        "study_instance_uid": collected.study_instance_uid,
        "state": status.state,
        "code": status.code,
        "advice": status.advice,
        "findings": [
            {"label": finding.label, "probability": finding.probability, "positive": finding.positive}
            for finding in collected.findings
        ],
        "notes": collected.notes,
        "objects": [_object(each) for each in collected.objects],
        "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
    }
    path.write_text(json.dumps(summary, indent=2) + "\n")


def _object(result: ResultFile) -> dict[str, str]:
    return {
        "modality": result.modality,
        "series_description": result.series_description,
        "sop_instance_uid": result.sop_instance_uid,
        "orthanc_id": result.orthanc_id,
    }


def show(collected: Collected, status: StudyStatus, seconds: dict[str, float]) -> None:
    """Print what was found, or why nothing was."""
    if collected.findings:
        table = Table(title="Findings (research use only, not for diagnosis; trained on synthetic data)")
        for column, justify in (
            ("Finding", "left"),
            ("Probability", "right"),
            ("Threshold", "right"),
            ("Where", "left"),
        ):
            table.add_column(column, justify=justify)  # type: ignore[arg-type]
        for finding in sorted(collected.findings, key=lambda each: -each.probability):
            style = "bold red" if finding.positive else ""
            table.add_row(
                finding.label, f"{finding.probability:.2f}", f"{finding.threshold:.2f}", finding.where, style=style
            )
        console.print(table)
    else:
        console.print(f"[yellow]No findings: {status.code}.[/] {status.advice}")
    for note in collected.notes:
        console.print(f"  - {note}", highlight=False, soft_wrap=True)
    stages = Table(title="Seconds")
    stages.add_column("Stage")
    stages.add_column("Seconds", justify="right")
    for stage, value in seconds.items():
        stages.add_row(stage, f"{value:.2f}")
    console.print(stages)


def link(out: Path, stack: StackState, study_id: str) -> None:
    """Say where to look next."""
    for line in (
        f"Report   {(out / 'report.html').resolve()}",
        f"Result   {stack.orthanc_url}/articula/studies/{study_id}",
        f"Study    {stack.orthanc_url}/app/explorer.html#study?uuid={study_id}",
        f"Log in   user {stack.user}, password {stack.password}",
        "Stop     make down",
    ):
        console.print(line, soft_wrap=True, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
