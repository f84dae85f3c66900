"""Tag values that try to be a path, a page, a log line or a program stay what they are: values."""

import warnings

import pytest

from services.common.pb import analysis_pb2 as pb
from tests.preprocessing.live_service import objects_of, requests, run
from tests.studies import part10, study

HOSTILE = {
    "a path": "../../../etc/passwd",
    "a page": "<script>alert(1)</script>",
    "a log line": "x\r\n2026-01-01 [critical] all is lost",
    "a format": "%s%n{0.__class__}",
    "a book": "A" * 10_000,
    "a null": "a\0b",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_has_no_effect_outside_its_own_value(tmp_path, capfd, text):
    """The study is read, its name comes back byte for byte, and no log line holds it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of each
        instances = study(PatientName=text, SeriesDescription=text, ProtocolName=text, StudyID=text)
        responses = run(tmp_path, requests([part10(each) for each in instances]))
        assert responses[-1].summary.outcome == pb.OUTCOME_FINDINGS
        for result in objects_of(responses).values():
            assert bytes(str(result.PatientName), "latin-1").rstrip(b"\0 ")[:40] == text.rstrip("\0 ").encode()[:40]
    output = capfd.readouterr()
    assert text[:30] not in output.out + output.err
    assert not list((tmp_path / "spool").iterdir())


def test_a_file_that_is_a_program_too_is_read_as_dicom_and_not_passed_on(tmp_path):
    """The preamble may hold an executable's header; results start with zeros."""
    files = [b"MZ" + b"\x90" * 126 + part10(each)[128:] for each in study()]
    responses = run(tmp_path, requests(files))
    assert responses[-1].summary.outcome == pb.OUTCOME_FINDINGS
    starts = {response.result.data[:128] for response in responses if response.result.data[128:132] == b"DICM"}
    assert starts == {b"\0" * 128}
