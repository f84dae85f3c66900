"""Encapsulated pixel data (PS3.5 A.4): where the fragments lie, and which of them make up a frame."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from services.common.errors import RefusalCode, StudyRefused
from services.common.part10 import Buffer

MAX_FRAGMENTS = 100_000
_ITEM, _SEQUENCE_END = 0xFFFE_E000, 0xFFFE_E0DD
_ITEM_HEADER_BYTES = 8
_MAX_OFFSET_TABLE_BYTES = 4 * MAX_FRAGMENTS

Place = tuple[int, int]  # offset and length


@dataclass(frozen=True)
class Fragments:
    """Offset table (of items, counted from the first fragment's) and the place of each fragment's bytes."""

    offsets: tuple[int, ...]
    places: tuple[Place, ...]

    @property
    def encoded_bytes(self) -> int:
        """Bytes of all fragments."""
        return sum(length for _, length in self.places)


def locate_fragments(data: Buffer, position: int) -> Fragments:
    """Walk the items that follow a PixelData header of undefined length.

    A file that ends early ends the walk: its last frames are missing, which whoever decodes one finds out. Raises
    ``StudyRefused`` (``CORRUPT_PIXEL_DATA``, ``TOO_LARGE``).
    """
    places: list[Place] = []
    while position + _ITEM_HEADER_BYTES <= len(data):
        group, number, length = struct.unpack_from("<HHI", data, position)
        tag, position = group << 16 | number, position + _ITEM_HEADER_BYTES
        if tag == _SEQUENCE_END:
            break
        if tag != _ITEM:
            raise StudyRefused(RefusalCode.CORRUPT_PIXEL_DATA)
        places.append((position, length))
        if len(places) > MAX_FRAGMENTS:
            raise StudyRefused(RefusalCode.TOO_LARGE)
        position += length
    if not places:
        raise StudyRefused(RefusalCode.TRUNCATED_PIXEL_DATA)
    start, length = places[0]
    if length % 4 or length > _MAX_OFFSET_TABLE_BYTES or start + length > len(data):
        raise StudyRefused(RefusalCode.CORRUPT_PIXEL_DATA)
    return Fragments(struct.unpack_from(f"<{length // 4}I", data, start), tuple(places[1:]))


def frame_places(fragments: Fragments, frames: int, index: int, begins: Callable[[Place], bool]) -> list[Place]:
    """The fragments of one frame, in order.

    ``begins`` says whether an image begins in a fragment; it decides where there is neither an offset table
    nor one fragment a frame. Raises ``StudyRefused`` (``CORRUPT_PIXEL_DATA``, ``TRUNCATED_PIXEL_DATA``).
    """
    places = list(fragments.places)
    if frames == 1:
        return places
    if len(fragments.offsets) == frames:
        return _by_offset(fragments, index)
    if len(places) == frames:
        return places[index : index + 1]
    first = [number for number, place in enumerate(places) if begins(place)]
    if len(first) == frames and first[0] == 0:
        return places[first[index] : [*first, len(places)][index + 1]]
    raise StudyRefused(RefusalCode.TRUNCATED_PIXEL_DATA if len(places) < frames else RefusalCode.CORRUPT_PIXEL_DATA)


def _by_offset(fragments: Fragments, index: int) -> list[Place]:
    origin = fragments.places[0][0] - _ITEM_HEADER_BYTES if fragments.places else 0
    bounds = [*fragments.offsets, float("inf")]
    if any(second <= first for first, second in pairwise(bounds)):
        raise StudyRefused(RefusalCode.CORRUPT_PIXEL_DATA)
    items = [place[0] - _ITEM_HEADER_BYTES - origin for place in fragments.places]
    chosen = [
        place for item, place in zip(items, fragments.places, strict=True) if bounds[index] <= item < bounds[index + 1]
    ]
    if not chosen:
        raise StudyRefused(RefusalCode.TRUNCATED_PIXEL_DATA)
    if chosen[0][0] - _ITEM_HEADER_BYTES - origin != bounds[index]:
        raise StudyRefused(RefusalCode.CORRUPT_PIXEL_DATA)
    return chosen
