"""Opinions leave the page as structured reports on the study they are about."""

import os
import shutil
from io import BytesIO
from types import SimpleNamespace

import highdicom as hd
import pydicom
import pytest

from services.common.uids import is_result_uid, result_uid
from services.viewer.feedback import Opinion
from tests.fakes.knee_results import knee_results
from tests.real.orthanc import real_orthanc
from tests.studies import STUDY, part10, study
from tools.feedback import export

pytestmark = [
    pytest.mark.orthanc,
    pytest.mark.skipif(not shutil.which("Orthanc", path=f"{os.environ['PATH']}:/usr/sbin"), reason="no Orthanc"),
]
DIGEST = "d" * 64


def opinion(digest: str, verdict: str) -> Opinion:
    """What Anna said."""
    return Opinion(STUDY, digest, "ACL", verdict, "seen", "anna", "2026-01-02T03:04:05+00:00", "0.1.0", 0.9)


def test_each_report_with_opinions_gets_one_document_and_a_second_export_adds_none(tmp_path):
    """The SR is of the report's patient and study, readable by others, and stored once."""
    files = [part10(each) for each in study()]
    report = pydicom.dcmread(BytesIO(knee_results(SimpleNamespace(input_digest=DIGEST), files)[2]))
    report.SOPInstanceUID = result_uid(DIGEST, "report")
    with real_orthanc(tmp_path / "orthanc", "127.0.0.1:1") as orthanc:
        for each in (*files, part10(report)):
            orthanc.rest.store(each)
        study_id = orthanc.rest.find_study(STUDY)
        before = _instances(orthanc, study_id)
        said = [opinion(DIGEST, "agree"), opinion(DIGEST, "comment"), opinion("another", "agree")]
        assert export(said, orthanc.rest) == export(said, orthanc.rest) == 1
        (new,) = _instances(orthanc, study_id) - before
        document = hd.sr.srread(BytesIO(orthanc.rest.content(f"/instances/{new}/file")))
        assert document.PatientID == report.PatientID
        assert is_result_uid(document.SOPInstanceUID)


def _instances(orthanc, study_id) -> set[str]:
    return {each["ID"] for each in orthanc.rest.json(f"/studies/{study_id}/instances")}
