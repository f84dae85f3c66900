"""The whole system on real parts: C-STORE in, results hanging on the study in Orthanc, or a code that says why not."""

import json
import os
import shutil
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest

from services.common.finding import LABELS
from services.common.status import StudyState
from services.common.volume import Plane
from tests.real.orthanc import wait_for
from tests.studies import series, write
from tools.demo.__main__ import demonstrate
from tools.demo.orthanc import Orthanc
from tools.demo.send import dcmsend
from tools.phantom.study import write_study
from tools.stack.control import running_stack
from tools.stack.triton_server import VENV

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(not shutil.which("Orthanc", path=f"{os.environ['PATH']}:/usr/sbin"), reason="no Orthanc"),
    pytest.mark.skipif(not (VENV / "bin").exists(), reason="no Triton environment; run make test"),
]
REAL_KNEE = Path(__file__).parents[3] / "shared" / "data" / "knee_mese_ge3t"
BAD = {
    "NOT_MR": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "Modality": "CT"},
    "NO_GEOMETRY": {"ImagePositionPatient": None},
    "NO_PIXEL_DATA": {"PixelData": None},
    "TRUNCATED_PIXEL_DATA": {"PixelData": b"\0\0" * 50},
    "TOO_FEW_SLICES": {"slices": 1},
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with running_stack(tmp_path_factory.mktemp("stack")) as state:
        yield state


def test_a_synthetic_knee_ends_in_findings_segmentation_and_saliency(tmp_path, stack):
    """Every object parses, belongs to the study and agrees with the summary."""
    write_study(tmp_path / "study", 11, ["ACL", "Effusion"], matrix=160)
    out = tmp_path / "out"
    assert demonstrate(tmp_path / "study", out, stack) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert [finding["label"] for finding in summary["findings"]] == list(LABELS)
    assert {"SEG", "SR", "OT", "KO"} <= {each["modality"] for each in summary["objects"]}
    source = pydicom.dcmread(next((tmp_path / "study").rglob("*.dcm")))
    assert summary["study_instance_uid"] == source.StudyInstanceUID
    seg = hd.seg.segread(out / "articula-segmentation-sagittal.dcm")
    assert (seg.PatientID, seg.FrameOfReferenceUID) == (source.PatientID, source.FrameOfReferenceUID)
    assert seg.number_of_segments >= 1
    report = hd.sr.srread(out / "articula-report.dcm")
    groups = report.content.get_image_measurement_groups()
    probabilities = [float(group.get_measurements()[0].value) for group in groups]
    assert np.allclose(probabilities, [finding["probability"] for finding in summary["findings"]])
    for name in ("report.html", "segmentation.png", "heatmap.png"):
        assert (out / name).stat().st_size > 1000
    assert "Research use only" in (out / "report.html").read_text()


def test_sending_it_again_changes_nothing(tmp_path, stack):
    """The second C-STORE of the same files finds the same result set."""
    write_study(tmp_path / "study", 12, [], matrix=96)
    summaries = []
    for name in ("one", "two"):
        assert demonstrate(tmp_path / "study", tmp_path / name, stack) == 0
        summaries.append(json.loads((tmp_path / name / "summary.json").read_text()))
    assert summaries[0]["objects"] == summaries[1]["objects"]


@pytest.mark.skipif(not REAL_KNEE.is_dir(), reason="the real knee series is not beside this checkout")
def test_a_real_series_ends_in_a_result_that_says_what_was_missing(tmp_path, stack):
    """One big-endian sagittal series with eight echoes is read at one echo; the other planes are named as missing."""
    assert demonstrate(REAL_KNEE, tmp_path / "out", stack) == 0
    notes = json.loads((tmp_path / "out" / "summary.json").read_text())["notes"]
    assert "missing: no usable coronal series" in notes
    assert any(note.endswith("24 slices): read as sagittal") for note in notes)


@pytest.mark.parametrize("code", BAD)
def test_a_study_that_cannot_be_read_says_why_on_the_study_and_in_the_log(tmp_path, stack, code):
    """State no_result with code and advice in Orthanc, the same code in the forwarder's log, the stack unharmed."""
    uid = f"1.2.826.0.1.3680043.8.498.77.{list(BAD).index(code)}"
    instances = series(Plane.SAGITTAL, **BAD[code])
    for index, instance in enumerate(instances):
        instance.StudyInstanceUID, instance.SeriesInstanceUID = uid, f"{uid}.1"
        instance.SOPInstanceUID = f"{uid}.1.{index}"
    write(tmp_path, instances)
    dcmsend(tmp_path, stack)
    orthanc = Orthanc(stack)
    study_id = wait_for(lambda: orthanc.find_study(uid))

    def final():
        status = orthanc.status(study_id)
        return status if status and status.state == StudyState.NO_RESULT else None

    status = wait_for(final, 60)
    assert status.code == code
    assert status.advice
    modalities = [each["MainDicomTags"]["Modality"] for each in orthanc.json(f"/studies/{study_id}/series?expand")]
    assert modalities.count("SR") == (0 if code == "NOT_MR" else 1)
