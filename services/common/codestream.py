"""One compressed frame to its stored values, by the fastest decoder that is exact.

Every decoder is of imagecodecs (CharLS, OpenJPEG, libjpeg-turbo): measured 2 to 6 times less CPU than the others for
Python, and it lets other threads run. One of them returns pixels for half a file without a word, so a codestream's own
header is read first: it must agree with the data set's, it must be complete, and its size bounds what the decoder can
allocate.
"""

import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
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

from services.common.errors import RefusalCode, StudyRefused

MAX_TILES = 4096
_RLE_FILL_BYTES = 1024

Stored = NDArray[np.integer]
_BASELINE, _LOSSLESS, _LOSSLESS_LS = 0xC0, 0xC3, 0xF7
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), _LOSSLESS_LS}) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, b"\xff\xd9"
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_SIZ, _SOT, _SOD, _EOC = 0xFF51, 0xFF90, 0xFF93, 0xFFD9
_CODESTREAM_START = b"\xff\x4f\xff\x51"


@dataclass(frozen=True)
class Codestream:
    """What a compressed image says about itself."""

    rows: int
    columns: int
    components: int
    precision: int
    signed: bool


class _Scratch(threading.local):
    """Memory that the next frame of a thread uses again: fresh pages cost more than unpacking into them."""

    def __init__(self) -> None:
        self._held = np.empty(0, np.uint8)

    def bytes(self, count: int) -> NDArray[np.uint8]:
        """``count`` bytes of no particular content, valid until the next call."""
        if len(self._held) < count:
            self._held = np.empty(count, np.uint8)
        return self._held[:count]


_scratch = _Scratch()


def decode(encoded: bytes, transfer_syntax: str, out: Stored) -> tuple[Stored, Codestream]:
    """Stored values ``(row, column)`` of one frame, and its codestream's header.

    ``out`` is a contiguous unsigned array of the frame's shape and item size, which a decoder may fill and return.
    Raises ``StudyRefused``: ``TRUNCATED_PIXEL_DATA`` for an incomplete frame, ``UNSUPPORTED_PIXELS`` for colour,
    ``CORRUPT_PIXEL_DATA`` for anything else that can't be decoded or contradicts the data set.
    """
    try:
        if transfer_syntax == RLELossless:
            return _run_lengths(encoded, out)
        examine, decoder = _DECODERS[transfer_syntax]
        codestream = examine(encoded)
        _require_agreement(codestream, out.shape, out.itemsize)
        pixels = decoder(encoded)
    except StudyRefused:
        raise
    except Exception as error:  # each codec has its own error, and a damaged file may cause any
        raise StudyRefused(RefusalCode.CORRUPT_PIXEL_DATA) from error
    if pixels.shape != out.shape or pixels.dtype.kind not in "iu":
        raise StudyRefused(RefusalCode.CORRUPT_PIXEL_DATA)
    return pixels, codestream


def _require_agreement(codestream: Codestream, shape: tuple[int, ...], item_bytes: int) -> None:
    if codestream.components != 1:
        raise StudyRefused(RefusalCode.UNSUPPORTED_PIXELS)
    if (codestream.rows, codestream.columns) != shape or not 2 <= codestream.precision <= 8 * item_bytes:
        raise StudyRefused(RefusalCode.CORRUPT_PIXEL_DATA)


def _run_lengths(encoded: bytes, out: Stored) -> tuple[Stored, Codestream]:
    """One PackBits segment for each byte of a value, the most significant first (PS3.5 G); fills ``out``."""
    if len(encoded) < 64:
        raise StudyRefused(RefusalCode.TRUNCATED_PIXEL_DATA)
    segments, *starts = struct.unpack_from("<16I", encoded)
    if segments != out.itemsize:
        raise StudyRefused(RefusalCode.CORRUPT_PIXEL_DATA)
    if max(starts[:segments]) >= len(encoded):
        raise StudyRefused(RefusalCode.TRUNCATED_PIXEL_DATA)
    # the room bounds what hostile runs expand to; a few writers fill up a segment's end
    room = _scratch.bytes(segments * (out.size + _RLE_FILL_BYTES)).reshape(segments, -1)
    view: Any = memoryview(encoded)  # any buffer will do, though the stubs name three
    for (start, end), plane in zip(pairwise([*starts[:segments], len(encoded)]), room[::-1], strict=True):
        if len(imagecodecs.packbits_decode(view[start:end], out=plane)) < out.size:
            raise StudyRefused(RefusalCode.TRUNCATED_PIXEL_DATA)
    planes = room[:, : out.size].reshape(segments, *out.shape)
    if segments == 1:
        out[...] = planes[0]
    else:
        cv2.merge(list(planes), out.view(np.uint8).reshape(*out.shape, segments))
    stored = out.view(out.dtype.newbyteorder("<"))
    return stored, Codestream(out.shape[0], out.shape[1], 1, 8 * segments, signed=False)


def _jpeg(kind: int) -> Callable[[bytes], Codestream]:
    """A reader of the frame header, which must be of this kind (ITU-T T.81 B.2.2, T.87 C.2.2)."""

    def examine(encoded: bytes) -> Codestream:
        if encoded[:2] != b"\xff\xd8":
            raise StudyRefused(RefusalCode.CORRUPT_PIXEL_DATA)
        if _END_OF_IMAGE not in encoded[-16:]:
            raise StudyRefused(RefusalCode.TRUNCATED_PIXEL_DATA)
        headers = [(marker, at) for marker, at in _segments(encoded) if marker in _FRAME_HEADERS]
        if [marker for marker, _ in headers] != [kind]:
            raise StudyRefused(RefusalCode.CORRUPT_PIXEL_DATA)
        precision, rows, columns, components = struct.unpack_from(">BHHB", encoded, headers[0][1] + 2)
        return Codestream(rows, columns, components, precision, signed=False)

    return examine


def _segments(encoded: bytes) -> Iterator[tuple[int, int]]:
    """Marker and place of its length, for each segment before the first scan."""
    position = 2
    while (marker := encoded[position + 1]) != _START_OF_SCAN or encoded[position] != 0xFF:
        if encoded[position] != 0xFF or marker == 0xFF:
            position += 1  # fill bytes
        elif marker in _STANDALONE:
            position += 2
        else:
            yield marker, position + 2
            position += 2 + struct.unpack_from(">H", encoded, position + 2)[0]


def _jpeg_2000(encoded: bytes) -> Codestream:
    """Image size of the SIZ segment (ISO 15444-1 A.5.1), after every tile-part proved to be complete."""
    start = encoded.find(_CODESTREAM_START, 0, 4096)  # some writers put the codestream into a JP2 file
    if start < 0:
        raise StudyRefused(RefusalCode.CORRUPT_PIXEL_DATA)
    x_end, y_end, x_start, y_start, tile_width, tile_height, tile_x, tile_y, components, depth = struct.unpack_from(
        ">8IHB", encoded, start + 8
    )
    if not tile_width or not tile_height:
        raise StudyRefused(RefusalCode.CORRUPT_PIXEL_DATA)
    if ((x_end - tile_x) // tile_width + 1) * ((y_end - tile_y) // tile_height + 1) > MAX_TILES:
        raise StudyRefused(RefusalCode.TOO_LARGE)
    _require_all_tile_parts(encoded, start + 2)
    return Codestream(y_end - y_start, x_end - x_start, components, (depth & 0x7F) + 1, signed=bool(depth & 0x80))


def _require_all_tile_parts(encoded: bytes, position: int) -> None:
    while True:
        if position + 4 > len(encoded):
            raise StudyRefused(RefusalCode.TRUNCATED_PIXEL_DATA)
        marker, length = struct.unpack_from(">HH", encoded, position)
        if marker == _EOC:
            return
        if marker != _SOT:
            position += 2 + length
            continue
        (tile_part_bytes,) = struct.unpack_from(">I", encoded, position + 6)
        if tile_part_bytes == 0:  # the last one, up to the end of the codestream
            if _END_OF_IMAGE not in encoded[-16:]:
                raise StudyRefused(RefusalCode.TRUNCATED_PIXEL_DATA)
            return
        position += max(tile_part_bytes, 12)
        if position == len(encoded):  # complete but for the end marker, as some writers leave it
            return
        if encoded[position : position + 2] == b"\xff\xd9":
            return


_lossless = (_jpeg(_LOSSLESS), imagecodecs.jpeg8_decode)
_near_lossless = (_jpeg(_LOSSLESS_LS), imagecodecs.jpegls_decode)
# OpenJPH would halve the CPU of HTJ2K, but on damaged files it loops without end or returns memory as pixels
_wavelet = (_jpeg_2000, imagecodecs.jpeg2k_decode)

_DECODERS: dict[str, tuple[Callable[[bytes], Codestream], Callable[[bytes], Stored]]] = {
    JPEGBaseline8Bit: (_jpeg(_BASELINE), imagecodecs.jpeg8_decode),
    JPEGLossless: _lossless,
    JPEGLosslessSV1: _lossless,
    JPEGLSLossless: _near_lossless,
    JPEGLSNearLossless: _near_lossless,
    JPEG2000Lossless: _wavelet,
    JPEG2000: _wavelet,
    HTJ2KLossless: _wavelet,
    HTJ2KLosslessRPCL: _wavelet,
    HTJ2K: _wavelet,
}
COMPRESSED = frozenset({RLELossless, *_DECODERS})
