"""One frame of an instance: where its bytes lie, what they mean, and its stored values.

A file's pixels are read when their frame is asked for, and only that frame's. Every size is checked before memory is
taken for it.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from services.common.attributes import PIXEL_DATA
from services.common.codestream import COMPRESSED, Stored, decode
from services.common.dicom import NATIVE, StoredInstance, inflated, mapped, number, text
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


def stored_frame(instance: pydicom.Dataset, index: int, *, room: Stored | None = None) -> Stored:
    """Stored values ``(row, column)`` of frame ``index`` (0 for a single-frame instance), signed where the header says.

    An own array in native byte order, 8 to 32 bits; no rescaling. Bits outside BitsStored are dropped (old files keep
    overlays there). ``room`` is a contiguous array that an uncompressed or run-length frame of its shape and item size
    is read into, which saves a copy; the result is then a view of it. Raises ``StudyRefused``: ``NO_PIXEL_DATA``,
    ``TRUNCATED_PIXEL_DATA``, ``CORRUPT_PIXEL_DATA``, ``UNSUPPORTED_PIXELS``, ``UNSUPPORTED_TRANSFER_SYNTAX``,
    ``TOO_LARGE``.
    """
    announced = pixel_format(instance)
    if not 0 <= index < announced.frames:
        raise StudyRefused(RefusalCode.TRUNCATED_PIXEL_DATA)
    syntax = instance.file_meta.TransferSyntaxUID
    if syntax in NATIVE:
        return _significant(_native(instance, announced, index, room), announced, announced.bits_allocated)
    if syntax not in COMPRESSED:
        raise StudyRefused(RefusalCode.UNSUPPORTED_TRANSFER_SYNTAX)
    pixels, codestream = decode(_encoded(instance, announced, index), syntax, _unsigned(announced, room))
    if codestream.signed and announced.signed:
        return pixels.astype(f"i{announced.item_bytes}", copy=False)
    return _significant(pixels.astype(f"u{announced.item_bytes}", copy=False), announced, codestream.precision)


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


def _native(instance: pydicom.Dataset, announced: PixelFormat, index: int, room: Stored | None) -> Stored:
    """One uncompressed frame, unsigned, as it lies in the file: in ``room`` where it fits, else in an own array."""
    place = _pixel_place(instance)
    if place.length == UNDEFINED:
        raise StudyRefused(RefusalCode.CORRUPT_PIXEL_DATA)
    if min(place.length, place.available) < announced.frame_bytes * announced.frames:
        raise StudyRefused(RefusalCode.TRUNCATED_PIXEL_DATA)
    big_endian = instance.file_meta.TransferSyntaxUID == ExplicitVRBigEndian
    first, count = index * announced.frame_bytes, announced.rows * announced.columns
    if announced.item_bytes == 1 and big_endian and place.vr != "OB":
        # bytes of 8 bit pixels travel in 16 bit words, swapped; a frame of odd size may begin inside a word
        words = place.array(">u2", first - first % 2, (count + 1 + first % 2) // 2).astype("<u2")
        return words.view("u1")[first % 2 :][:count].reshape(announced.rows, announced.columns).copy()
    raw = _unsigned(announced, room)
    place.read_into(raw, first)
    return raw.byteswap(inplace=True) if big_endian != (sys.byteorder == "big") else raw


def _unsigned(announced: PixelFormat, room: Stored | None) -> Stored:
    """An array for one frame's bits: ``room`` where it fits, else an own one."""
    shape, unsigned = (announced.rows, announced.columns), np.dtype(f"u{announced.item_bytes}")
    fits = room is not None and room.shape == shape and room.itemsize == unsigned.itemsize
    return room.view(unsigned) if room is not None and fits else np.empty(shape, unsigned)


def _encoded(instance: pydicom.Dataset, announced: PixelFormat, index: int) -> bytes:
    """The codestream of one frame."""
    where = _pixel_place(instance)
    if where.length != UNDEFINED:
        raise StudyRefused(RefusalCode.CORRUPT_PIXEL_DATA)
    buffer = where.mapped()
    fragments = _fragments(instance, buffer, where.start)
    if announced.frame_bytes * announced.frames > max(SMALL_BYTES, MAX_RATIO * fragments.encoded_bytes):
        raise StudyRefused(RefusalCode.TOO_LARGE)

    def begins(place: tuple[int, int]) -> bool:
        return bytes(buffer[place[0] : place[0] + 3]) in _IMAGE_STARTS

    places = frame_places(fragments, announced.frames, index, begins)
    if any(offset + size > len(buffer) for offset, size in places):
        raise StudyRefused(RefusalCode.TRUNCATED_PIXEL_DATA)
    return b"".join(buffer[offset : offset + size] for offset, size in places)


@dataclass(frozen=True)
class _PixelPlace:
    """Where the value of PixelData starts, in bytes at hand or in a file, its length as written, and its VR."""

    data: Buffer | Path
    start: int
    length: int
    vr: str | None

    @property
    def available(self) -> int:
        """Bytes from the start to the end of what is there."""
        return (self.data.stat().st_size if isinstance(self.data, Path) else len(self.data)) - self.start

    def mapped(self) -> Buffer:
        """All bytes; of a file they are paged in as they are touched."""
        return mapped(self.data) if isinstance(self.data, Path) else self.data

    def array(self, dtype: str, offset: int, count: int) -> Stored:
        """An own array of ``count`` values."""
        values = np.empty(count, dtype)
        self.read_into(values, offset)
        return values

    def read_into(self, values: Stored, offset: int) -> None:
        """Fill a contiguous array; the bytes are known to be there, unless the file shrinks meanwhile."""
        first, wanted = self.start + offset, values.reshape(-1).view(np.uint8).data
        if isinstance(self.data, Path):  # reading costs less than the page faults of a mapping
            with self.data.open("rb", buffering=0) as file:
                file.seek(first)
                if file.readinto(wanted) != len(wanted):
                    raise StudyRefused(RefusalCode.TRUNCATED_PIXEL_DATA)
        else:
            wanted[:] = memoryview(self.data)[first : first + len(wanted)]


def _pixel_place(instance: pydicom.Dataset) -> _PixelPlace:
    syntax = instance.file_meta.TransferSyntaxUID
    if isinstance(instance, StoredInstance) and instance.pixels is not None:
        data = inflated(instance.path) if syntax == DeflatedExplicitVRLittleEndian else instance.path
        return _PixelPlace(data, instance.pixels.value_tell, instance.pixels.length, instance.pixels.VR)
    element = instance[PIXEL_DATA]
    return _PixelPlace(element.value, 0, UNDEFINED if syntax in COMPRESSED else len(element.value), element.VR)


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
