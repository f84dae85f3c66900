"""Reading what a stranger sent: pixels come out right, or a code does."""

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGLosslessSV1, RLELossless

from services.common.dicom import floats, number, read_instance, stored_frame
from services.common.errors import RefusalCode, StudyRefused
from services.common.volume import Plane
from tests.studies import COLUMNS, ROWS, part10, series


@pytest.fixture
def instance():
    return series(Plane.SAGITTAL, slices=1)[0]


def code_of(action) -> RefusalCode:
    with pytest.raises(StudyRefused) as caught:
        action()
    return caught.value.code


def test_signed_pixels_keep_their_sign(instance):
    """PixelRepresentation 1 is two's complement."""
    instance.PixelRepresentation, instance.BitsStored, instance.HighBit = 1, 16, 15
    instance.PixelData = np.full((ROWS, COLUMNS), -7, np.int16).tobytes()
    assert (stored_frame(instance, 0) == -7).all()


def test_compressed_frames_decode_to_the_same_pixels(tmp_path, instance):
    """RLE goes through read and decode without a change."""
    expected = stored_frame(instance, 0)
    instance.compress(RLELossless)
    path = tmp_path / "rle.dcm"
    path.write_bytes(part10(instance))
    assert np.array_equal(stored_frame(read_instance(path), 0), expected)


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, JPEGLosslessSV1])
def test_syntaxes_outside_the_list_are_refused_before_anything_is_parsed(tmp_path, instance, syntax):
    """A deflated file may be a bomb, and one JPEG Lossless decoder gives wrong pixels: both are refused by name."""
    if syntax == JPEGLosslessSV1:
        instance.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
    instance.file_meta.TransferSyntaxUID = syntax
    path = tmp_path / "file.dcm"
    path.write_bytes(part10(instance))
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
    assert code_of(lambda: read_instance(path)) == RefusalCode.UNREADABLE_DICOM


def test_pixels_shorter_than_the_header_says_are_refused(instance):
    """A truncated image is never padded."""
    instance.PixelData = instance.PixelData[:-200]
    assert code_of(lambda: stored_frame(instance, 0)) == RefusalCode.TRUNCATED_PIXEL_DATA


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"PixelData": None}, RefusalCode.NO_PIXEL_DATA),
        ({"Rows": None}, RefusalCode.NO_PIXEL_DATA),
        ({"Rows": 65535, "Columns": 65535}, RefusalCode.TOO_LARGE),
        ({"NumberOfFrames": 1000}, RefusalCode.TRUNCATED_PIXEL_DATA),
    ],
)
def test_sizes_are_checked_before_memory_is_taken(attributes, code):
    """A few bytes of header can't ask for terabytes."""
    assert code_of(lambda: stored_frame(series(Plane.SAGITTAL, slices=1, **attributes)[0], 0)) == code


def test_malformed_numbers_read_as_missing(instance):
    """Attributes of the wrong count, kind or finiteness are None."""
    assert floats(instance, "PixelSpacing", 2) == (2.0, 2.0)
    assert floats(instance, "PixelSpacing", 3) is None
    assert floats(instance, "ImageComments", 1) is None
    assert number(instance, "EchoTime") == 35
    instance.EchoTime = None
    assert number(instance, "EchoTime") is None
