"""One frame of an instance: where its bytes lie, what they mean, and its stored values.

A file's pixels are read when their frame is asked for, and only that frame's. Every size is checked before memory is
taken for it.
"""

from dataclasses import dataclass

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRBigEndian

from services.common.attributes import PIXEL_DATA
from services.common.codestream import COMPRESSED, Stored, decode
from services.common.dicom import NATIVE, StoredInstance, element_bytes, number, text
from services.common.encapsulation import Fragments, frame_places, locate_fragments
from services.common.errors import RefusalCode, StudyRefused
from services.common.part10 import MAX_RATIO, SMALL_BYTES, UNDEFINED, Buffer

MAX_SIDE = 2048
MAX_FRAMES = 2000
MAX_DECODED_BYTES = 1 << 30
_GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
_IMAGE_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff")


@dataclass(frozen=True)
class PixelFormat:
    """Size and layout of the frames of one instance (PS3.3 C.7.6.3.1)."""

    rows: int
    columns: int
    frames: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool

    @property
    def item_bytes(self) -> int:
        """Bytes of one stored value."""
        return self.bits_allocated // 8

    @property
    def frame_bytes(self) -> int:
        """Bytes of one decoded frame."""
        return self.rows * self.columns * self.item_bytes


def has_pixel_data(instance: pydicom.Dataset) -> bool:
    """Whether the instance carries pixels; does not read them."""
    if isinstance(instance, StoredInstance):
        return instance.pixels is not None and bool(instance.pixels.length)
    return PIXEL_DATA in instance and bool(instance.PixelData)


def pixel_format(instance: pydicom.Dataset) -> PixelFormat:
    """What an instance announces about its frames, once it is known to be something this product reads.

    Raises ``StudyRefused``: ``NO_PIXEL_DATA``, ``UNSUPPORTED_PIXELS``, ``TOO_LARGE``.
    """
    rows, columns, bits = (int(number(instance, keyword) or 0) for keyword in ("Rows", "Columns", "BitsAllocated"))
    if not has_pixel_data(instance) or min(rows, columns, bits) <= 0:
        raise StudyRefused(RefusalCode.NO_PIXEL_DATA)
    frames = int(number(instance, "NumberOfFrames") or 1)
    stored = int(number(instance, "BitsStored") or bits)
    high_bit = number(instance, "HighBit")
    announced = PixelFormat(
        rows,
        columns,
        frames,
        bits,
        stored,
        stored - 1 if high_bit is None else int(high_bit),
        signed=number(instance, "PixelRepresentation") == 1,
    )
    _require_readable(instance, announced)
    return announced


def stored_frame(instance: pydicom.Dataset, index: int) -> Stored:
    """Stored values ``(row, column)`` of frame ``index`` (0 for a single-frame instance), signed where the header says.

    An own array in native byte order, 8 to 32 bits; no rescaling. Bits outside BitsStored are dropped (old files keep
    overlays there). Raises ``StudyRefused``: ``NO_PIXEL_DATA``, ``TRUNCATED_PIXEL_DATA``, ``CORRUPT_PIXEL_DATA``,
    ``UNSUPPORTED_PIXELS``, ``UNSUPPORTED_TRANSFER_SYNTAX``, ``TOO_LARGE``.
    """
    announced = pixel_format(instance)
    if not 0 <= index < announced.frames:
        raise StudyRefused(RefusalCode.TRUNCATED_PIXEL_DATA)
    syntax = instance.file_meta.TransferSyntaxUID
    if syntax in NATIVE:
        return _significant(_native(instance, announced, index), announced, announced.bits_allocated)
    if syntax not in COMPRESSED:
        raise StudyRefused(RefusalCode.UNSUPPORTED_TRANSFER_SYNTAX)
    encoded = _encoded(instance, announced, index)
    pixels, codestream = decode(encoded, syntax, (announced.rows, announced.columns), announced.item_bytes)
    if codestream.signed and announced.signed:
        return pixels.astype(f"i{announced.item_bytes}", copy=False)
    return _significant(pixels.astype(f"u{announced.item_bytes}", copy=False), announced, codestream.precision)


def decode_frame(instance: pydicom.Dataset) -> NDArray[np.float32]:
    """Modality values of a single-frame instance, ``(row, column)`` float32, bright where the signal is strong.

    RescaleSlope and RescaleIntercept are applied and MONOCHROME1 is turned around; raises as ``stored_frame`` does.
    """
    slope, intercept = number(instance, "RescaleSlope"), number(instance, "RescaleIntercept")
    values = stored_frame(instance, 0).astype(np.float32)
    if slope is not None or intercept is not None:
        values = values * np.float32(1.0 if slope is None else slope) + np.float32(intercept or 0.0)
    return -values if text(instance, "PhotometricInterpretation") == "MONOCHROME1" else values


def _require_readable(instance: pydicom.Dataset, announced: PixelFormat) -> None:
    if max(announced.rows, announced.columns) > MAX_SIDE or announced.frames > MAX_FRAMES:
        raise StudyRefused(RefusalCode.TOO_LARGE)
    if announced.frame_bytes * announced.frames > MAX_DECODED_BYTES:
        raise StudyRefused(RefusalCode.TOO_LARGE)
    interpretation = text(instance, "PhotometricInterpretation") or "MONOCHROME2"
    grey = number(instance, "SamplesPerPixel") in {None, 1} and interpretation in _GREY
    bits = announced.bits_allocated in {8, 16, 32} and 0 < announced.bits_stored <= announced.high_bit + 1
    if announced.frames <= 0 or not grey or not bits or announced.high_bit >= announced.bits_allocated:
        raise StudyRefused(RefusalCode.UNSUPPORTED_PIXELS)


def _native(instance: pydicom.Dataset, announced: PixelFormat, index: int) -> Stored:
    """An own array of one uncompressed frame, unsigned, as it lies in the file."""
    buffer, start, length, vr = _pixel_bytes(instance)
    if length == UNDEFINED:
        raise StudyRefused(RefusalCode.CORRUPT_PIXEL_DATA)
    if min(length, len(buffer) - start) < announced.frame_bytes * announced.frames:
        raise StudyRefused(RefusalCode.TRUNCATED_PIXEL_DATA)
    big_endian = instance.file_meta.TransferSyntaxUID == ExplicitVRBigEndian
    words = announced.item_bytes == 1 and big_endian and vr != "OB"
    first = start + index * announced.frame_bytes
    count = announced.rows * announced.columns
    if words:  # bytes of 8 bit pixels travel in 16 bit words, swapped
        swapped = np.frombuffer(buffer, ">u2", (count + 1 + first % 2) // 2, first - first % 2).astype("<u2")
        return swapped.view("u1")[first % 2 :][:count].reshape(announced.rows, announced.columns).copy()
    order = ">" if big_endian else "<"
    raw = np.frombuffer(buffer, f"{order}u{announced.item_bytes}", count, first)
    return raw.astype(f"=u{announced.item_bytes}").reshape(announced.rows, announced.columns)


def _encoded(instance: pydicom.Dataset, announced: PixelFormat, index: int) -> bytes:
    """The codestream of one frame."""
    buffer, start, length, _ = _pixel_bytes(instance)
    if length != UNDEFINED:
        raise StudyRefused(RefusalCode.CORRUPT_PIXEL_DATA)
    fragments = _fragments(instance, buffer, start)
    if announced.frame_bytes * announced.frames > max(SMALL_BYTES, MAX_RATIO * fragments.encoded_bytes):
        raise StudyRefused(RefusalCode.TOO_LARGE)

    def begins(place: tuple[int, int]) -> bool:
        return bytes(buffer[place[0] : place[0] + 3]) in _IMAGE_STARTS

    places = frame_places(fragments, announced.frames, index, begins)
    if any(offset + size > len(buffer) for offset, size in places):
        raise StudyRefused(RefusalCode.TRUNCATED_PIXEL_DATA)
    return b"".join(buffer[offset : offset + size] for offset, size in places)


def _pixel_bytes(instance: pydicom.Dataset) -> tuple[Buffer, int, int, str | None]:
    """The bytes that hold the pixels, where they start in them, their length as written, and their VR."""
    if isinstance(instance, StoredInstance) and instance.pixels is not None:
        data = element_bytes(instance.path, instance.file_meta.TransferSyntaxUID)
        return data, instance.pixels.value_tell, instance.pixels.length, instance.pixels.VR
    element = instance[PIXEL_DATA]
    compressed = instance.file_meta.TransferSyntaxUID in COMPRESSED
    return element.value, 0, UNDEFINED if compressed else len(element.value), element.VR


def _fragments(instance: pydicom.Dataset, buffer: Buffer, start: int) -> Fragments:
    """Where the fragments lie; walked once a file."""
    if not isinstance(instance, StoredInstance):
        return locate_fragments(buffer, start)
    if instance.fragments is None:
        instance.fragments = locate_fragments(buffer, start)
    return instance.fragments


def _significant(raw: Stored, announced: PixelFormat, precision: int) -> Stored:
    """The BitsStored bits below HighBit of unsigned values, in place, sign extended where the pixels are signed."""
    if precision > announced.bits_stored and announced.high_bit >= announced.bits_stored:
        raw >>= announced.high_bit + 1 - announced.bits_stored
    unused = announced.bits_allocated - min(announced.bits_stored, precision)
    if not announced.signed:
        if unused:
            raw &= (1 << (announced.bits_allocated - unused)) - 1
        return raw
    raw <<= unused
    signed = raw.view(f"i{announced.item_bytes}")
    signed >>= unused
    return signed
