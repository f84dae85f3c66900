"""Patient and study come back byte for byte, from headers as archives really hold them."""

import io

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from services.common.errors import RefusalCode
from services.common.frame import Frame
from services.common.volume import Plane
from services.results.identity import new_object, sign
from services.results.no_result import no_result_object
from services.results.part10 import to_bytes
from services.results.segmentation import segmentation_object

from .conftest import source_instance

PATIENT_AND_STUDY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
)

ODD_HEADERS = {
    "Japanese": {"StudyDescription": "膝 MRI", "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう"},
    "Latin 1": {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller^Jän"},
    "no character set": {"SpecificCharacterSet": None, "PatientName": "Doe^Jane"},
    "unknown character set": {"SpecificCharacterSet": "ISO-8859-FOO", "PatientName": "Doe^Jane"},
    "spaces": {"PatientID": "  P 1", "AccessionNumber": " 77"},
    "two values": {"PatientID": "A\\B"},
    "dots and colons": {"StudyDate": "2024.01.02", "StudyTime": "10:11:12", "PatientBirthDate": "1970.01.01"},
    "empty": dict.fromkeys(("PatientName", "PatientID", "StudyDate", "StudyTime", "AccessionNumber")),
    "unreadable numbers": {"PatientAge": "abc", "SliceThickness": None},
}
WRITTEN_AS = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]


def stored(dataset: pydicom.Dataset, syntax: pydicom.uid.UID) -> pydicom.Dataset:
    """The instance as an archive hands it out, undecoded."""
    dataset.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    little = syntax.is_little_endian
    pydicom.dcmwrite(buffer, dataset, implicit_vr=syntax.is_implicit_VR, little_endian=little, enforce_file_format=True)
    buffer.seek(0)
    return pydicom.dcmread(buffer)


def raw_values(dataset: pydicom.Dataset) -> dict[str, bytes]:
    """Undecoded values without padding."""
    found = {keyword: dataset.get_item(keyword) for keyword in PATIENT_AND_STUDY if keyword in dataset}
    return {keyword: (element.value or b"").rstrip(b" \0") for keyword, element in found.items()}


@pytest.mark.parametrize("syntax", WRITTEN_AS, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("attributes", ODD_HEADERS.values(), ids=ODD_HEADERS.keys())
@pytest.mark.filterwarnings("ignore")  # pydicom warns of the very values that are under test
def test_patient_and_study_come_back_as_the_bytes_they_were(attributes, syntax, labels, provenance):
    """Whatever the encoding and however odd the value, nothing is decoded, corrected or lost."""
    sources = [source_instance(index) for index in range(len(labels))]
    for source in sources:
        for keyword, value in attributes.items():
            setattr(source, keyword, value)
    sources = [stored(source, syntax) for source in sources]
    expected = raw_values(sources[0])
    charset = sources[0].get("SpecificCharacterSet")
    frames = [Frame(source) for source in sources]
    for result in (
        segmentation_object(frames, labels, plane=Plane.SAGITTAL, provenance=provenance).dataset,
        no_result_object(sources[0], RefusalCode.UNEVEN_SLICES, provenance=provenance),
    ):
        read = pydicom.dcmread(io.BytesIO(to_bytes(result)))
        found = raw_values(read)
        assert {keyword: found[keyword] for keyword in expected} == expected
        assert read.get("SpecificCharacterSet") == charset


@pytest.mark.filterwarnings("ignore")
def test_a_name_that_its_character_set_can_not_decode_survives(provenance):
    """Raw Latin 1 bytes under a Japanese character set are kept, not replaced by question marks."""
    source = source_instance(0)
    source[0x00100010] = pydicom.DataElement(0x00100010, "UN", b"M\xfcller^J\xe4n")
    source = stored(source, ExplicitVRLittleEndian)
    result = no_result_object(source, RefusalCode.NOT_MR, provenance=provenance)
    read = pydicom.dcmread(io.BytesIO(to_bytes(result)))
    assert read.get_item("PatientName").VR == "PN"
    assert raw_values(read)["PatientName"] == b"M\xfcller^J\xe4n"


def test_nothing_else_of_the_source_header_gets_in(sources, labels, provenance):
    """Comments, addresses and private elements stay behind."""
    for source in (frame.instance for frame in sources):
        source.PatientComments, source.PatientAddress, source.InstitutionName = "free text", "1 Street", "Hospital"
        source.private_block(0x0011, "VENDOR", create=True).add_new(1, "LO", "secret")
    result = segmentation_object(sources, labels, plane=Plane.SAGITTAL, provenance=provenance).dataset
    assert not {"PatientComments", "PatientAddress", "InstitutionName"} & set(result.dir())
    assert not any(element.tag.is_private for element in result)


@pytest.mark.parametrize(
    ("date", "time", "expected"),
    [
        ("20240102", "101112.25", ("20240102", "101112.25")),
        ("2024.01.02", "10:11:12", ("19000101", "000000")),
        ("", None, ("19000101", "000000")),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_dates_are_the_study_s_where_it_has_valid_ones(date, time, expected, provenance):
    """A fixed date stands in for a missing or malformed one; today's would make the bytes differ."""
    source = source_instance(0)
    source.StudyDate, source.StudyTime = date, time
    dataset = new_object(source.SOPClassUID, "report", provenance=provenance)
    dataset.Modality = "SR"
    sign(dataset, source, kind="Report", description="Articula report")
    assert (dataset.ContentDate, dataset.ContentTime) == expected
    assert (dataset.InstanceCreationDate, dataset.InstanceCreationTime) == expected


def test_writing_reads_no_sequence(sources, labels, provenance):
    """Raw sequences stay raw until somebody looks, and looking does not change the bytes."""
    result = segmentation_object(sources, labels, plane=Plane.SAGITTAL, provenance=provenance).dataset
    first = to_bytes(result)
    assert result.get_item("PerFrameFunctionalGroupsSequence").is_raw
    assert len(result.PerFrameFunctionalGroupsSequence) == result.NumberOfFrames
    assert to_bytes(result) == first
    assert np.frombuffer(first, np.uint8).size % 2 == 0
