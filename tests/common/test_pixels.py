"""Stored values come out exactly as they went in, in every transfer syntax, or a code does."""

import contextlib
import time
from io import BytesIO

import cv2
import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from services.common.dicom import read_instance
from services.common.errors import RefusalCode, StudyRefused
from services.common.pixels import has_pixel_data, stored_frame
from services.common.volume import Plane
from tests.studies import series
from tests.syntaxes import ENCODERS, LOSSLESS, LOSSY, NATIVE, NEAR, encoded, fragmented, stored_values, with_pixels

KINDS = {
    "12 of 16 bits": (np.uint16, 12),
    "16 bits": (np.uint16, 16),
    "signed 16 bits": (np.int16, 16),
    "signed 12 of 16 bits": (np.int16, 12),
    "8 bits": (np.uint8, 8),
    "10 of 16 bits": (np.uint16, 10),
}
COMPLETE = (JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, HTJ2KLossless, RLELossless)


def picture(dtype=np.uint16, bits=12, *, frames: int | None = None, side: tuple[int, int] = (70, 53)):
    """A smooth picture with noise and a hard edge over the whole range of the type."""
    rows, columns = np.mgrid[0 : side[0], 0 : side[1]] / max(side)
    stack = []
    for frame in range(frames or 1):
        noise = np.random.default_rng(frame).normal(0, 0.02, side)
        shape = np.sin(7 * rows + frame) * np.cos(5 * columns) * 0.4 + 0.5 + noise
        shape[10:20, 30:40] = frame % 2
        stack.append(shape.clip(0, 1))
    low = -(1 << bits - 1) if np.dtype(dtype).kind == "i" else 0
    values = (np.array(stack) * ((1 << bits) - 1) + low).round().astype(dtype)
    return values if frames else values[0]


@pytest.fixture
def instance():
    one = series(Plane.SAGITTAL, slices=1)[0]
    with_pixels(one, picture(), 12)
    return one


@pytest.fixture
def reread(tmp_path):
    def read(data: bytes):
        path = tmp_path / "file.dcm"
        path.write_bytes(data)
        return read_instance(path)

    return read


def code_of(action) -> RefusalCode:
    with pytest.raises(StudyRefused) as caught:
        action()
    return caught.value.code


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("syntax", [*NATIVE, *LOSSLESS], ids=lambda uid: uid.keyword)
def test_every_lossless_syntax_gives_back_every_bit(instance, reread, syntax, kind):
    """Values and sign survive, for signed, unsigned, full and partly used words."""
    dtype, bits = KINDS[kind]
    pixels = picture(dtype, bits)
    with_pixels(instance, pixels, bits)
    frame = stored_frame(reread(encoded(instance, syntax)), 0)
    assert frame.dtype == dtype
    assert np.array_equal(frame, pixels)


@pytest.mark.parametrize("syntax", [*LOSSLESS, *LOSSY, *NATIVE], ids=lambda uid: uid.keyword)
def test_a_second_decoder_says_the_same(instance, reread, syntax):
    """Pydicom with pylibjpeg or CharLS, or another decoder, agrees on every pixel (lossy wavelets: rounding)."""
    data = encoded(instance, syntax)
    other = _second_opinion(pydicom.dcmread(BytesIO(data)))
    difference = stored_frame(reread(data), 0).astype(int) - other
    assert np.abs(difference).max() <= (syntax in {JPEG2000, HTJ2K})


def _second_opinion(instance: pydicom.Dataset):
    if instance.file_meta.TransferSyntaxUID in {JPEGLossless, JPEGLosslessSV1}:
        return imagecodecs.ljpeg_decode(next(pydicom.encaps.generate_frames(instance.PixelData, number_of_frames=1)))
    if instance.file_meta.TransferSyntaxUID in {HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K}:
        return imagecodecs.htj2k_decode(next(pydicom.encaps.generate_frames(instance.PixelData, number_of_frames=1)))
    return instance.pixel_array


def test_lossless_jpeg_is_read_by_three_decoders_alike(instance):
    """The syntax in which decoders are known to return wrong pixels without a word: all predictors, all three agree."""
    for predictor in range(1, 8):
        codestream = imagecodecs.jpeg8_encode(picture(), lossless=True, predictor=predictor, bitspersample=12)
        instance.PixelData = encapsulate([codestream])
        instance.file_meta.TransferSyntaxUID = JPEGLossless
        frame = stored_frame(instance, 0)
        assert np.array_equal(frame, imagecodecs.jpegsof3_decode(codestream))
        assert np.array_equal(frame, imagecodecs.ljpeg_decode(codestream))
        assert np.array_equal(frame, picture())


@pytest.mark.parametrize(("syntax", "error"), [(JPEGLSNearLossless, NEAR), (JPEG2000, 40), (HTJ2K, 10)])
def test_lossy_syntaxes_stay_as_near_as_they_were_written(instance, reread, syntax, error):
    """Near-lossless JPEG-LS keeps its bound exactly, the wavelets theirs."""
    frame = stored_frame(reread(encoded(instance, syntax)), 0).astype(int)
    assert 0 < np.abs(frame - picture()).max() <= error


def test_baseline_jpeg_of_eight_bits_is_read(instance, reread):
    """As OpenCV reads it, to one grey level."""
    with_pixels(instance, picture(np.uint8, 8))
    frame = stored_frame(reread(encoded(instance, JPEGBaseline8Bit)), 0)
    codestream = ENCODERS[JPEGBaseline8Bit](picture(np.uint8, 8), 8)
    other = cv2.imdecode(np.frombuffer(codestream, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert np.abs(frame.astype(int) - other).max() <= 1
    assert np.abs(frame.astype(int) - picture(np.uint8, 8)).mean() < 4


@pytest.mark.parametrize("syntax", [*NATIVE, *LOSSLESS], ids=lambda uid: uid.keyword)
def test_one_frame_of_many_is_the_right_one(instance, reread, syntax):
    """Each of five frames by its index."""
    pixels = picture(frames=5)
    with_pixels(instance, pixels, 12)
    read = reread(encoded(instance, syntax))
    for index in (3, 0, 4):
        assert np.array_equal(stored_frame(read, index), pixels[index])
    assert code_of(lambda: stored_frame(read, 5)) == RefusalCode.TRUNCATED_PIXEL_DATA


@pytest.mark.parametrize("table", ["basic", "none", "extended"])
@pytest.mark.parametrize("pieces", [1, 3])
def test_frames_are_found_with_and_without_offset_tables(instance, reread, table, pieces):
    """A frame may be one fragment or several, listed in a basic or extended offset table or nowhere."""
    pixels = picture(frames=4)
    with_pixels(instance, pixels, 12)
    frames = [ENCODERS[JPEGLSLossless](frame, 12) for frame in pixels]
    if table == "extended":
        data, instance.ExtendedOffsetTable, instance.ExtendedOffsetTableLengths = encapsulate_extended(frames)
    else:
        data = encapsulate(frames, fragments_per_frame=pieces, has_bot=table == "basic")
    instance.PixelData = data
    instance.file_meta.TransferSyntaxUID = JPEGLSLossless
    read = reread(_bytes(instance))
    assert all(np.array_equal(stored_frame(read, index), pixels[index]) for index in range(4))


def test_a_single_frame_in_many_fragments_is_joined(instance):
    """Without NumberOfFrames all fragments are one image."""
    instance.PixelData = encapsulate([b"".join(fragmented(ENCODERS[JPEG2000Lossless](picture(), 12), 1))])
    pieces = fragmented(ENCODERS[JPEG2000Lossless](picture(), 12), 4)
    instance.PixelData = encapsulate(pieces, has_bot=False)
    instance.file_meta.TransferSyntaxUID = JPEG2000Lossless
    assert np.array_equal(stored_frame(instance, 0), picture())


def test_overlay_bits_and_left_justified_values_are_put_right(instance):
    """Bits above HighBit are no signal, and HighBit 15 with 12 stored means a shift by four."""
    pixels = picture()
    instance.PixelData = (pixels | 0xA000).tobytes()
    assert np.array_equal(stored_frame(instance, 0), pixels)
    instance.PixelData, instance.HighBit = (pixels << 4).tobytes(), 15
    assert np.array_equal(stored_frame(instance, 0), pixels)


def test_a_signed_codestream_keeps_its_sign(instance):
    """JPEG 2000 may carry signed samples itself; they are not extended a second time."""
    pixels = picture(np.int16, 12)
    with_pixels(instance, pixels, 12)
    instance.PixelData = encapsulate([imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k", reversible=True)])
    instance.file_meta.TransferSyntaxUID = JPEG2000Lossless
    assert np.array_equal(stored_frame(instance, 0), pixels)


def test_a_codestream_inside_a_jp2_file_is_found(instance):
    """Some writers wrap the codestream although the standard says not to."""
    instance.PixelData = encapsulate(
        [imagecodecs.jpeg2k_encode(picture(), level=0, codecformat="jp2", reversible=True)]
    )
    instance.file_meta.TransferSyntaxUID = JPEG2000Lossless
    assert np.array_equal(stored_frame(instance, 0), picture())


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_an_odd_number_of_bytes_is_read(instance, reread, syntax):
    """8 bit frames of odd size, whose second begins in the middle of a word."""
    pixels = picture(np.uint8, 8, frames=3, side=(7, 9))
    with_pixels(instance, pixels)
    instance.PixelData += b"\0"
    read = reread(encoded(instance, syntax))
    assert all(np.array_equal(stored_frame(read, index), pixels[index]) for index in range(3))


@pytest.mark.parametrize("syntax", COMPLETE, ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("lost", [1, 40, 0.5])
def test_half_a_codestream_is_never_half_an_image(instance, syntax, lost):
    """Two decoders return pixels for what is not there; every cut is refused."""
    codestream = ENCODERS[syntax](picture(), 12).rstrip(b"\0")
    kept = codestream[: -int(lost if lost >= 1 else lost * len(codestream))]
    instance.PixelData = encapsulate([kept + b"\0" * (len(kept) % 2)])
    instance.file_meta.TransferSyntaxUID = syntax
    assert code_of(lambda: stored_frame(instance, 0)) in {
        RefusalCode.TRUNCATED_PIXEL_DATA,
        RefusalCode.CORRUPT_PIXEL_DATA,
    }


@pytest.mark.parametrize("syntax", [HTJ2KLossless, JPEG2000Lossless], ids=lambda uid: uid.keyword)
def test_damage_inside_a_wavelet_codestream_ends(instance, syntax):
    """Wherever eight bytes are overwritten the decoder ends soon: with a code, or with values nobody can tell apart."""
    sound = ENCODERS[syntax](picture(), 12)
    instance.file_meta.TransferSyntaxUID = syntax
    began = time.process_time()
    for place in range(sound.index(b"\xff\x93") + 2, len(sound) - 2, 23):
        instance.PixelData = encapsulate([sound[:place] + b"\xff" * 8 + sound[place + 8 :]])
        with contextlib.suppress(StudyRefused):
            assert stored_frame(instance, 0).shape == (70, 53)
    assert time.process_time() - began < 30


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("junk", [b"", b"\0" * 70, b"\xff\xd8\xff\xd9", b"\xff\x4f\xff\x51" + b"\xff" * 60])
def test_what_is_no_codestream_is_refused(instance, syntax, junk):
    """Empty, zero and random fragments, and a header that asks for 2^32 rows."""
    instance.PixelData = encapsulate([junk or b"\0\0"])
    instance.file_meta.TransferSyntaxUID = syntax
    code_of(lambda: stored_frame(instance, 0))


@pytest.mark.parametrize("syntax", [each for each in LOSSLESS if each != RLELossless], ids=lambda uid: uid.keyword)
def test_a_codestream_that_contradicts_its_header_is_refused(instance, syntax):
    """The image in the fragment is larger than the header says: nobody knows which is right."""
    instance.PixelData = encapsulate([ENCODERS[syntax](picture(side=(140, 53)), 12)])
    instance.file_meta.TransferSyntaxUID = syntax
    assert code_of(lambda: stored_frame(instance, 0)) == RefusalCode.CORRUPT_PIXEL_DATA


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"PixelData": None}, RefusalCode.NO_PIXEL_DATA),
        ({"PixelData": b""}, RefusalCode.NO_PIXEL_DATA),
        ({"Rows": None}, RefusalCode.NO_PIXEL_DATA),
        ({"BitsAllocated": 0}, RefusalCode.NO_PIXEL_DATA),
        ({"Rows": 65535, "Columns": 65535}, RefusalCode.TOO_LARGE),
        ({"NumberOfFrames": 3000}, RefusalCode.TOO_LARGE),
        ({"Rows": 2048, "Columns": 2048, "NumberOfFrames": 2000}, RefusalCode.TOO_LARGE),
        ({"NumberOfFrames": 1000}, RefusalCode.TRUNCATED_PIXEL_DATA),
        ({"NumberOfFrames": -1}, RefusalCode.UNSUPPORTED_PIXELS),
        ({"BitsAllocated": 1}, RefusalCode.UNSUPPORTED_PIXELS),
        ({"BitsAllocated": 12}, RefusalCode.UNSUPPORTED_PIXELS),
        ({"BitsAllocated": 64}, RefusalCode.UNSUPPORTED_PIXELS),
        ({"BitsStored": 17}, RefusalCode.UNSUPPORTED_PIXELS),
        ({"HighBit": 3}, RefusalCode.UNSUPPORTED_PIXELS),
        ({"SamplesPerPixel": 3}, RefusalCode.UNSUPPORTED_PIXELS),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, RefusalCode.UNSUPPORTED_PIXELS),
    ],
)
def test_a_header_is_believed_only_within_bounds(attributes, code):
    """A few bytes of header can't ask for terabytes, and formats that are not read have a code of their own."""
    assert code_of(lambda: stored_frame(series(Plane.SAGITTAL, slices=1, **attributes)[0], 0)) == code


def test_a_small_file_cannot_ask_for_terabytes(instance, reread):
    """454 bytes of RLE with 65535 x 65535 x 1000 frames are refused without taking memory."""
    instance.Rows = instance.Columns = 65535
    instance.NumberOfFrames = 1000
    instance.PixelData = encapsulate([b"\0" * 64])
    instance.file_meta.TransferSyntaxUID = RLELossless
    assert code_of(lambda: stored_frame(reread(_bytes(instance)), 0)) == RefusalCode.TOO_LARGE


def test_many_frames_from_a_few_bytes_are_refused(instance):
    """More than 200 times the encoded size is no image, except where all of it is small."""
    with_pixels(instance, np.zeros((1, 1024, 1024), np.uint16))
    instance.NumberOfFrames = 200
    instance.PixelData = encapsulate([ENCODERS[JPEGLSLossless](np.zeros((1024, 1024), np.uint16), 16)] * 200)
    instance.file_meta.TransferSyntaxUID = JPEGLSLossless
    assert code_of(lambda: stored_frame(instance, 0)) == RefusalCode.TOO_LARGE


def test_a_black_slice_is_no_bomb(instance):
    """A constant image packs a thousandfold and is read."""
    with_pixels(instance, np.zeros((512, 512), np.uint16))
    instance.PixelData = encapsulate([ENCODERS[JPEGLSLossless](np.zeros((512, 512), np.uint16), 16)])
    instance.file_meta.TransferSyntaxUID = JPEGLSLossless
    assert not stored_frame(instance, 0).any()


def test_an_image_of_many_tiles_is_refused(instance):
    """A tile of one pixel each would cost the decoder hours."""
    codestream = bytearray(ENCODERS[JPEG2000Lossless](picture(side=(512, 512)), 12))
    codestream[24:32] = bytes([0, 0, 0, 1] * 2)
    with_pixels(instance, picture(side=(512, 512)), 12)
    instance.PixelData = encapsulate([bytes(codestream)])
    instance.file_meta.TransferSyntaxUID = JPEG2000Lossless
    assert code_of(lambda: stored_frame(instance, 0)) == RefusalCode.TOO_LARGE


def test_pixels_shorter_than_the_header_says_are_refused(instance, reread):
    """A truncated image is never padded: neither a short element nor a file that ends early."""
    whole = _bytes(instance)
    assert code_of(lambda: stored_frame(reread(whole[:-200]), 0)) == RefusalCode.TRUNCATED_PIXEL_DATA
    instance.PixelData = instance.PixelData[:-200]
    assert code_of(lambda: stored_frame(instance, 0)) == RefusalCode.TRUNCATED_PIXEL_DATA


def test_compressed_pixels_that_are_not_encapsulated_are_refused(instance, reread):
    """And uncompressed ones that are."""
    data = encoded(instance, RLELossless).replace(b"OB\0\0\xff\xff\xff\xff", b"OB\0\0\x10\0\0\0")
    assert code_of(lambda: stored_frame(reread(data), 0)) == RefusalCode.CORRUPT_PIXEL_DATA
    data = _bytes(instance).replace(b"\xe0\x7f\x10\0OW\0\0", b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff")
    assert code_of(lambda: stored_frame(reread(data), 0)) == RefusalCode.CORRUPT_PIXEL_DATA


def test_whether_there_are_pixels_is_known_without_reading_them(instance, reread):
    """For data sets in memory and in files."""
    assert has_pixel_data(instance)
    assert has_pixel_data(reread(_bytes(instance)))
    del instance.PixelData
    assert not has_pixel_data(instance)
    assert not has_pixel_data(reread(_bytes(instance)))


def test_a_deflated_frame_is_inflated_within_its_bound(instance, reread):
    """Frames of a deflated file are read one by one."""
    pixels = picture(frames=6)
    with_pixels(instance, pixels, 12)
    read = reread(encoded(instance, DeflatedExplicitVRLittleEndian))
    assert np.array_equal(np.stack([stored_frame(read, index) for index in range(6)]), stored_values(instance))


def _bytes(instance: pydicom.Dataset) -> bytes:
    buffer = BytesIO()
    instance.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
