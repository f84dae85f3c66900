"""Opinions leave as a document that says who said what, when, about which version."""

from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO

import highdicom as hd
import pydicom
import pytest

from services.common.finding import Laterality
from services.common.uids import is_result_uid
from services.common.volume import Plane
from services.results.feedback import OPINION, VERDICT, Opinion, Verdict, feedback_object
from services.results.part10 import to_bytes
from services.results.report import Evidence, report_object

WHEN = datetime(2026, 3, 4, 15, 6, 7, tzinfo=timezone(timedelta(hours=2)))


def opinion(**fields) -> Opinion:
    given = {"label": "ACL", "verdict": Verdict.AGREE, "observer": "Curie^Marie", "said_at": WHEN}
    return Opinion(**{**given, "software_version": "0.1.0", **fields})


@pytest.fixture
def report(sources, findings, provenance) -> pydicom.Dataset:
    evidence = Evidence({Plane.SAGITTAL: sources})
    written = to_bytes(report_object(findings, evidence, laterality=Laterality.RIGHT, provenance=provenance))
    return pydicom.dcmread(BytesIO(written))


def read(dataset: pydicom.Dataset) -> pydicom.Dataset:
    return pydicom.dcmread(BytesIO(to_bytes(dataset)))


def said(dataset: pydicom.Dataset) -> list[dict[str, str]]:
    """Name and value of everything in each opinion."""
    opinions = [each for each in dataset.ContentSequence if each.ConceptNameCodeSequence[0].CodeValue == OPINION.value]
    return [
        {item.ConceptNameCodeSequence[0].CodeMeaning: value(item) for item in each.ContentSequence} for each in opinions
    ]


def value(item: pydicom.Dataset) -> str:
    if item.ValueType == "CODE":
        return str(item.ConceptCodeSequence[0].CodeMeaning)
    return str(item.get("TextValue") or item.get("PersonName") or item.get("DateTime"))


def test_an_opinion_says_who_what_when_and_about_which_version(report):
    """Everything that was said stands in coded items and comes back from another reader."""
    feedback = read(feedback_object(report, [opinion(verdict=Verdict.DISAGREE, comment="an artefact")]))
    assert said(feedback) == [
        {
            "Observer Type": "Person",
            "Person Observer Name": "Curie^Marie",
            "Time of the opinion": "20260304150607+0200",
            "Finding": "Anterior cruciate ligament injury",
            VERDICT.meaning: "Disagrees with the finding",
            "Algorithm Version": "0.1.0",
            "Comment": "an artefact",
        }
    ]
    assert hd.sr.srread(BytesIO(to_bytes(feedback))).SOPInstanceUID == feedback.SOPInstanceUID


def test_feedback_belongs_to_the_report_it_speaks_of(report):
    """The same patient and study, the report as its evidence, its own series, our own UID root."""
    feedback = read(feedback_object(report, [opinion()]))
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID"):
        assert feedback[keyword].value == report[keyword].value
    evidence = feedback.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert evidence.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == report.SOPInstanceUID
    assert feedback.SeriesInstanceUID != report.SeriesInstanceUID
    assert is_result_uid(feedback.SOPInstanceUID)
    assert (feedback.ContentDate, feedback.ContentTime) == ("20260304", "150607")


def test_exporting_twice_gives_one_object_and_another_opinion_a_second(report):
    """The UID is that of what was said, whatever the order in which it was handed over."""
    first, second = opinion(), opinion(label="MCL", said_at=WHEN + timedelta(minutes=5))
    assert to_bytes(feedback_object(report, [first, second])) == to_bytes(feedback_object(report, [second, first]))
    one, both = feedback_object(report, [first]), feedback_object(report, [first, second])
    assert one.SOPInstanceUID != both.SOPInstanceUID


def test_a_comment_in_any_script_is_kept_with_the_patient_s_name(report):
    """The document becomes UTF-8; name and comment both come back."""
    feedback = read(feedback_object(report, [opinion(comment="Riß? 半月板 ✓", observer="Müller^Jörg")]))
    assert feedback.SpecificCharacterSet == "ISO_IR 192"
    assert str(feedback.PatientName) == str(report.PatientName) == "Yamada^Tarou=山田^太郎"
    assert said(feedback)[0]["Comment"] == "Riß? 半月板 ✓"
    assert said(feedback)[0]["Person Observer Name"] == "Müller^Jörg"


@pytest.mark.filterwarnings("ignore")  # pydicom warns of the very bytes that are under test
@pytest.mark.parametrize(("charset", "kept"), [("GB18030", "Ri?"), ("ISO_IR 192", "Riß")])
def test_a_name_that_can_not_be_decoded_is_kept_as_it_is(report, charset, kept):
    """The patient's bytes matter more than the accents of a comment, which stay where the study is UTF-8 already."""
    report.SpecificCharacterSet = charset
    report[0x00100010] = pydicom.DataElement(0x00100010, "UN", b"M\xfc")
    feedback = read(feedback_object(read(report), [opinion(comment="Riß")]))
    assert feedback.get_item("PatientName").value.rstrip() == b"M\xfc"
    assert said(feedback)[0]["Comment"] == kept


def test_hostile_text_stays_text(report):
    """Backslashes, equal signs and mark-up neither split a value nor break the file."""
    feedback = read(feedback_object(report, [opinion(comment="<b>\\x=y\n</b>", observer="A\\B=C" + "x" * 90)]))
    assert said(feedback)[0]["Comment"] == "<b>\\x=y\n</b>"
    assert len(said(feedback)[0]["Person Observer Name"]) == 64


@pytest.mark.parametrize("moment", [WHEN, datetime(2026, 3, 4, 23, 30, tzinfo=UTC)])
def test_the_time_is_the_same_moment(report, moment):
    """UTC is written with another offset, because DCMTK 3.6 refuses one of +0000."""
    written = said(read(feedback_object(report, [opinion(said_at=moment)])))[0]["Time of the opinion"]
    assert datetime.strptime(written, "%Y%m%d%H%M%S%z") == moment
    assert not written.endswith("+0000")


def test_what_can_not_be_said_is_refused(report):
    """No opinion, an unknown finding, a time without offset."""
    with pytest.raises(ValueError, match="without an opinion"):
        feedback_object(report, [])
    with pytest.raises(ValueError, match="one of the report's findings"):
        feedback_object(report, [opinion(label="Flu")])
    with pytest.raises(ValueError, match="offset"):
        feedback_object(report, [opinion(said_at=datetime(2026, 3, 4))])  # noqa: DTZ001 - the point of it
