"""The command that says what the service would read."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from services.common.volume import Plane
from tests.studies import enhanced, series, study, write

SHARED = Path(__file__).parents[3] / "shared" / "data"


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.explain", str(folder), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def explained(folder: Path) -> dict:
    return json.loads(run(folder, "--json").stdout)


def test_every_series_has_a_slot_or_a_reason(tmp_path):
    """Chosen, outranked and rejected series stand side by side."""
    t1 = series(Plane.SAGITTAL, number=4, RepetitionTime=600, EchoTime=12, ScanOptions=None)
    scout = series(Plane.AXIAL, number=5, slices=3, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write(tmp_path, [*study(Laterality="L"), *t1, *scout])
    answer = run(tmp_path, "--json")
    explanation = json.loads(answer.stdout)
    assert answer.returncode == 0
    assert (explanation["outcome"], explanation["laterality"]) == ("RESULT", "L")
    rows = {row["series_number"]: row for row in explanation["series"]}
    assert [rows[number]["slot"] for number in (1, 2, 3)] == ["sagittal", "coronal", "axial"]
    assert [rows[number]["rejected"] for number in (1, 4, 5)] == [None, "OUTRANKED", "LOCALIZER"]
    assert (rows[1]["weighting"], rows[1]["fat_suppressed"], rows[1]["slices"]) == ("PD", True, 8)
    assert (rows[4]["weighting"], rows[4]["fat_suppressed"], rows[4]["plane"]) == ("T1", False, "sagittal")
    assert rows[1]["score"] > rows[4]["score"]


def test_a_refused_study_ends_with_status_3_and_its_code(tmp_path):
    """A script can act on it."""
    write(tmp_path, series(Plane.SAGITTAL, ImagePositionPatient=None))
    assert run(tmp_path, "--json").returncode == 3
    assert explained(tmp_path)["outcome"] == "NO_GEOMETRY"
    assert "Export the series again" in run(tmp_path).stdout.replace("\n", " ")


@pytest.mark.parametrize(("data", "code"), [(b"no dicom", "UNREADABLE_DICOM"), (None, "NOT_MR")])
def test_a_folder_without_dicom_is_refused(tmp_path, data, code):
    """Nothing readable, or nothing at all."""
    if data:
        (tmp_path / "file").write_bytes(data)
    assert (explained(tmp_path)["outcome"], explained(tmp_path)["series"]) == (code, [])


def test_pixels_are_read_before_a_result_is_promised(tmp_path):
    """Headers may be perfect where an image is cut off; then the study would be refused, or the next series read."""
    paths = write(tmp_path, series(Plane.SAGITTAL))
    paths[3].write_bytes(paths[3].read_bytes()[:-500])
    assert (run(tmp_path, "--json").returncode, explained(tmp_path)["outcome"]) == (3, "TRUNCATED_PIXEL_DATA")
    write(tmp_path / "t1", series(Plane.SAGITTAL, number=2, RepetitionTime=600, EchoTime=12, ScanOptions=None))
    rows = {row["series_number"]: (row["slot"], row["rejected"]) for row in explained(tmp_path)["series"]}
    assert rows == {1: (None, "TRUNCATED_PIXEL_DATA"), 2: ("sagittal", None)}


def test_what_is_no_image_is_counted_and_an_index_is_not(tmp_path):
    """A burned disc holds a DICOMDIR, thumbnails and a viewer."""
    write(tmp_path / "images", study())
    for name in ("DICOMDIR", "readme.txt", "empty"):
        (tmp_path / name).write_bytes(b"" if name == "empty" else b"text")
    explanation = explained(tmp_path)
    assert (explanation["outcome"], explanation["files_left_out"]) == ("RESULT", {"UNREADABLE_DICOM": 2})
    assert "2 files could not be read: UNREADABLE_DICOM" in run(tmp_path).stdout


def test_a_path_that_is_no_folder_is_a_mistake_of_the_caller(tmp_path):
    """Status 2 as for any wrong argument: nothing was refused."""
    answer = run(tmp_path / "nowhere", "--json")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "is not a folder" in answer.stderr


def test_a_series_that_serves_two_planes_has_two_rows(tmp_path):
    """One enhanced object may hold several stacks."""
    both = [*series(Plane.SAGITTAL, slices=12), *series(Plane.CORONAL, slices=12)]
    instance = enhanced(both)
    for item, source in zip(instance.PerFrameFunctionalGroupsSequence, both, strict=True):
        place = type(item)()
        place.ImageOrientationPatient = source.ImageOrientationPatient
        item.PlaneOrientationSequence = [place]
    write(tmp_path, [instance])
    assert {row["slot"] for row in explained(tmp_path)["series"]} == {"sagittal", "coronal"}


def test_nothing_of_the_patient_is_printed(tmp_path):
    """The table may be pasted into a ticket."""
    write(tmp_path, study())
    text = run(tmp_path).stdout + run(tmp_path, "--json").stdout
    assert "Canary" not in text
    assert "CANARY" not in text


@pytest.mark.skipif(not SHARED.exists(), reason="the real test data is not on this machine")
@pytest.mark.parametrize(
    ("folder", "outcome", "rows"),
    [
        ("knee_mese_ge3t", "RESULT", {8: ("sagittal", "PD", 24, "sagittal")}),
        ("vendors/siemens_classic", "RESULT", {4: ("sagittal", "FLAIR", 4, "sagittal")}),
        ("vendors/ge_implicit", "RESULT", {4: ("sagittal", "T1", 4, "sagittal")}),
        ("vendors/philips_classic", "RESULT", {401: ("coronal", "FLAIR", 4, "coronal")}),
        ("vendors/rle", "RESULT", {4: ("sagittal", "FLAIR", 4, "sagittal")}),
        ("vendors/jpegls", "RESULT", {4: ("sagittal", "FLAIR", 4, "sagittal")}),
        ("vendors/non_isotropic", "DERIVED_IMAGE", {201: ("axial", "T1", 4, None)}),
        (
            "vendors/canon",
            "OTHER_ANATOMY",
            {5000: ("axial", "T2", 40, None), 10000: ("sagittal", "T2", 6, None)},
        ),
    ],
)
def test_real_series_of_five_vendors_are_understood(folder, outcome, rows):
    """Multi-echo Big Endian, implicit VR, RLE, JPEG-LS, an enhanced object of 520 frames."""
    explanation = explained(SHARED / folder)
    assert explanation["outcome"] == outcome
    found = {r["series_number"]: (r["plane"], r["weighting"], r["slices"], r["slot"]) for r in explanation["series"]}
    assert found == rows
