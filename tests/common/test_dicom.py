"""Reading what a stranger sent: pixels come out right, or a code does."""

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG2MPML, JPEGExtended12Bit, JPIPReferenced, RLELossless

from services.common.dicom import floats, number, read_instance
from services.common.errors import RefusalCode, StudyRefused
from services.common.pixels import decode_frame
from services.common.volume import Plane
from tests.studies import COLUMNS, ROWS, part10, series


@pytest.fixture
def instance():
    return series(Plane.SAGITTAL, slices=1)[0]


def code_of(action) -> RefusalCode:
    with pytest.raises(StudyRefused) as caught:
        action()
    return caught.value.code


def test_a_frame_is_decoded_with_rescale_slope_and_intercept(instance):
    """Stored value x slope + intercept."""
    stored = instance.pixel_array.astype(float)
    instance.RescaleSlope, instance.RescaleIntercept = "2.5", "-10"
    assert np.allclose(decode_frame(instance), stored * 2.5 - 10)


def test_inverted_images_are_turned_around(instance):
    """MONOCHROME1 means bright is low; the model must not see a negative."""
    stored = instance.pixel_array.astype(float)
    instance.PhotometricInterpretation = "MONOCHROME1"
    assert np.allclose(decode_frame(instance), -stored)


def test_signed_pixels_keep_their_sign(instance):
    """PixelRepresentation 1 is two's complement."""
    instance.PixelRepresentation, instance.BitsStored, instance.HighBit = 1, 16, 15
    instance.PixelData = np.full((ROWS, COLUMNS), -7, np.int16).tobytes()
    assert (decode_frame(instance) == -7).all()


def test_compressed_frames_decode_to_the_same_pixels(tmp_path, instance):
    """RLE goes through read and decode without a change."""
    expected = decode_frame(instance)
    instance.compress(RLELossless)
    path = tmp_path / "rle.dcm"
    path.write_bytes(part10(instance))
    assert np.array_equal(decode_frame(read_instance(path)), expected)


@pytest.mark.parametrize(
    ("syntax", "code"),
    [
        (MPEG2MPML, RefusalCode.UNSUPPORTED_TRANSFER_SYNTAX),
        (JPEGExtended12Bit, RefusalCode.UNSUPPORTED_JPEG_EXTENDED),
        (JPIPReferenced, RefusalCode.UNSUPPORTED_TRANSFER_SYNTAX),
    ],
)
def test_syntaxes_outside_the_list_are_refused_before_anything_is_parsed(tmp_path, instance, syntax, code):
    """Video, referenced pixels and lossy JPEG of 12 bits are refused by name."""
    path = tmp_path / "file.dcm"
    instance.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
    instance.file_meta.TransferSyntaxUID = syntax
    path.write_bytes(part10(instance))
    assert code_of(lambda: read_instance(path)) == code


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


def test_pixels_shorter_than_the_header_says_are_refused(instance):
    """A truncated image is never padded."""
    instance.PixelData = instance.PixelData[:-200]
    assert code_of(lambda: decode_frame(instance)) == RefusalCode.TRUNCATED_PIXEL_DATA


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"PixelData": None}, RefusalCode.NO_PIXEL_DATA),
        ({"Rows": None}, RefusalCode.NO_PIXEL_DATA),
        ({"Rows": 65535, "Columns": 65535}, RefusalCode.TOO_LARGE),
        ({"NumberOfFrames": 3000}, RefusalCode.TOO_LARGE),
    ],
)
def test_sizes_are_checked_before_memory_is_taken(attributes, code):
    """A few bytes of header can't ask for terabytes."""
    assert code_of(lambda: decode_frame(series(Plane.SAGITTAL, slices=1, **attributes)[0])) == code


def test_malformed_numbers_read_as_missing(instance):
    """Attributes of the wrong count, kind or finiteness are None."""
    assert floats(instance, "PixelSpacing", 2) == (2.0, 2.0)
    assert floats(instance, "PixelSpacing", 3) is None
    assert floats(instance, "ImageComments", 1) is None
    assert number(instance, "EchoTime") == 35
    instance.EchoTime = None
    assert number(instance, "EchoTime") is None
