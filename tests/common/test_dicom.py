"""Reading what a stranger sent: pixels come out right, or a code does."""

import struct

import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG2MPML,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    MRImageStorage,
)

from services.common.dicom import floats, number, read_instance, syntax_refusal
from services.common.errors import RefusalCode, StudyRefused
from services.common.volume import Plane
from tests.studies import part10, series


@pytest.fixture
def instance():
    return series(Plane.SAGITTAL, slices=1)[0]


def code_of(action) -> RefusalCode:
    with pytest.raises(StudyRefused) as caught:
        action()
    return caught.value.code


@pytest.mark.parametrize(
    ("syntax", "code"),
    [
        (MPEG2MPML, RefusalCode.UNSUPPORTED_TRANSFER_SYNTAX),
        (JPEGExtended12Bit, RefusalCode.UNSUPPORTED_JPEG_EXTENDED),
        ("1.2.840.10008.1.2.4.94", RefusalCode.UNSUPPORTED_TRANSFER_SYNTAX),
        ("1.2.840.10008.1.2.4.93", RefusalCode.UNSUPPORTED_TRANSFER_SYNTAX),
        (JPEG2000Lossless, None),
    ],
)
def test_pixels_outside_the_list_are_refused_by_name_and_their_series_is_known(tmp_path, instance, syntax, code):
    """Video, referenced pixels and lossy JPEG of 12 bits: the header still says which series it was."""
    path = tmp_path / "file.dcm"
    instance.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
    instance.file_meta.TransferSyntaxUID = syntax
    path.write_bytes(part10(instance))
    read = read_instance(path)
    assert (syntax_refusal(read), read.SeriesNumber) == (code, 1)


@pytest.mark.parametrize(
    "syntax", ["1.2.840.10008.1.2.4.95", "1.2.840.113619.5.2", "1.2.3", "not a uid", MRImageStorage]
)
def test_files_whose_header_no_syntax_explains_are_not_parsed(tmp_path, instance, syntax):
    """Deflated references, private and invented syntaxes."""
    path = tmp_path / "file.dcm"
    data = part10(instance)
    name = str(instance.file_meta.TransferSyntaxUID).encode()
    other = syntax.encode() + b"\0" * (len(syntax) % 2)
    old, new = (b"\x02\0\x10\0UI" + struct.pack("<H", len(each)) + each for each in (name + b"\0", other))
    assert old in data
    path.write_bytes(data.replace(old, new))
    assert code_of(lambda: read_instance(path)) == RefusalCode.UNSUPPORTED_TRANSFER_SYNTAX


@pytest.mark.parametrize("data", [b"", b"not dicom", b"\0" * 128 + b"DICM", b"\0" * 128 + b"DICM" + b"\xff" * 64])
def test_anything_that_is_no_dicom_is_refused(tmp_path, data):
    """No exception of a parser gets out."""
    path = tmp_path / "file.dcm"
    path.write_bytes(data)
    assert code_of(lambda: read_instance(path)) == RefusalCode.UNREADABLE_DICOM


def test_a_file_without_identity_is_refused(tmp_path, instance):
    """No study, series or instance UID: nobody could say whose image it is."""
    del instance.StudyInstanceUID
    path = tmp_path / "file.dcm"
    path.write_bytes(part10(instance))
    assert code_of(lambda: read_instance(path)) == RefusalCode.INVALID_IDENTITY


def test_malformed_numbers_read_as_missing(instance):
    """Attributes of the wrong count, kind or finiteness are None."""
    assert floats(instance, "PixelSpacing", 2) == (2.0, 2.0)
    assert floats(instance, "PixelSpacing", 3) is None
    assert floats(instance, "ImageComments", 1) is None
    assert number(instance, "EchoTime") == 35
    instance.EchoTime = None
    assert number(instance, "EchoTime") is None
