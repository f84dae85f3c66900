"""The demo's own parts: what it sends, what it draws and what it writes."""

import json

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from services.common.errors import ADVICE, RefusalCode
from services.common.status import StudyState, StudyStatus
from services.common.volume import Plane
from tests.studies import STUDY, series, write
from tools.demo.__main__ import write_summary
from tools.demo.collect import Collected, ReportedFinding, ResultFile
from tools.demo.page import write_page
from tools.demo.pictures import _save
from tools.demo.send import send_folder, study_of


def test_the_study_of_a_folder_is_that_of_its_first_dicom_file(tmp_path):
    """Other files are passed over; a folder without DICOM has none."""
    (tmp_path / "a-note.txt").write_text("hello")
    assert study_of(tmp_path) is None
    write(tmp_path / "deeper", series(Plane.SAGITTAL, slices=1))
    assert study_of(tmp_path) == STUDY


def test_an_empty_folder_ends_with_a_sentence(tmp_path, capsys):
    """Exit status 2 and words a person can act on, instead of a traceback."""
    with pytest.raises(SystemExit) as caught:
        send_folder(tmp_path, None, None, Console())
    assert caught.value.code == 2
    assert "No DICOM file" in capsys.readouterr().out


@pytest.fixture
def collected() -> Collected:
    where = "PD-FS <sagittal>, image 3"
    finding = ReportedFinding("ACL", 0.81, 0.5, positive=True, where=where, sop_instance_uid="1.2")
    result = ResultFile("SR", "Articula report", "1.2.3", "orthanc-id", None)
    return Collected(STUDY, [result], [finding], ["missing: no usable axial series"], "Above threshold: ACL.")


def test_the_summary_has_the_keys_others_read(tmp_path, collected):
    """Study, findings, objects and seconds are there by their names."""
    path = tmp_path / "summary.json"
    write_summary(path, collected, StudyStatus(StudyState.DONE), {"send": 1.23456})
    summary = json.loads(path.read_text())
    assert summary["study_instance_uid"] == STUDY
    assert summary["findings"] == [{"label": "ACL", "probability": 0.81, "positive": True}]
    assert summary["objects"][0]["orthanc_id"] == "orthanc-id"
    assert summary["seconds"] == {"send": 1.235}


def test_the_page_shows_findings_and_notes_and_escapes_what_it_shows(tmp_path, collected):
    """Text from a study can't become markup."""
    path = tmp_path / "report.html"
    write_page(path, collected, StudyStatus(StudyState.DONE), {})
    html = path.read_text()
    assert "ACL" in html
    assert "missing: no usable axial series" in html
    assert "PD-FS &lt;sagittal&gt;" in html
    assert "Research use only, not for diagnosis" in html


def test_a_page_without_findings_says_why(tmp_path):
    """Code and advice stand where the findings would."""
    code = RefusalCode.NO_GEOMETRY
    status = StudyStatus(StudyState.NO_RESULT, code=code, advice=ADVICE[code])
    write_page(tmp_path / "r.html", Collected(STUDY), status, {})
    html = (tmp_path / "r.html").read_text()
    assert code in html
    assert "Export the series again" in html


def test_pictures_keep_their_shape(tmp_path):
    """A picture is enlarged without distortion."""
    _save(np.zeros((64, 128, 3), np.uint8), tmp_path / "p.png", [("Femur", (255, 255, 255))])
    assert Image.open(tmp_path / "p.png").size == (640, 320)
