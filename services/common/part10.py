"""A Part 10 file as a data set, bounded by construction.

The general parser of pydicom builds everything a file asks for: a depth of 240 sequences ends in a RecursionError, a
deflated megabyte in two gigabytes. This one walks the elements once, keeps those of ``attributes.READ`` and steps over
the rest; depth, number of elements and size of values are bounded, and the pixels stay where they are. What it returns
is an ordinary pydicom data set of raw elements, so values are decoded, by pydicom, only when somebody asks.
"""

import mmap
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any, TypeAlias, TypeVar

import pydicom
from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import BaseTag
from pydicom.valuerep import VR

from services.common.attributes import PIXEL_DATA, READ
from services.common.errors import RefusalCode, StudyRefused

Buffer: TypeAlias = bytes | mmap.mmap
_Elements: TypeAlias = "dict[BaseTag, DataElement | RawDataElement]"
_DatasetT = TypeVar("_DatasetT", bound="StoredDataset")

MAX_DEPTH = 32
MAX_ELEMENTS = 2_000_000  # an enhanced object of 2000 frames has about half as many
MAX_VALUE_BYTES = 1 << 20
MAX_KEPT_BYTES = 64 << 20
MAX_INFLATED_BYTES = 512 << 20
MAX_RATIO = 200  # decoded to encoded size; more is no image
SMALL_BYTES = 64 << 20  # below this a ratio says nothing: a black slice packs to a few bytes

UNDEFINED = 0xFFFF_FFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFE_E000, 0xFFFE_E00D, 0xFFFE_E0DD
_PIXELS = BaseTag(PIXEL_DATA)
_TRANSFER_SYNTAX, _CHARACTER_SET = 0x0002_0010, READ[0x0008_0005][0]
_PREAMBLE = 132
_MAY_BE_SEQUENCE = frozenset({None, b"SQ", b"UN"})
_LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OW", b"OV", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_VRS = frozenset(bytes(pair) for pair in product(range(65, 91), repeat=2))
_KNOWN_VRS = {name.encode(): name for name in (str(vr.value) for vr in VR) if len(name) == 2}


class StoredDataset(pydicom.Dataset):
    """A data set of raw elements; one whose value breaks its VR is a ``StudyRefused`` when it is asked for."""

    def undecoded(self, tag: BaseTag) -> DataElement | RawDataElement | None:
        """The element as it is held, raw unless somebody asked for its value before; None where it is missing."""
        return self._dict.get(tag)

    def __getitem__(self, key: Any) -> Any:
        """The element; raises ``KeyError``, or ``StudyRefused`` (``UNREADABLE_DICOM``)."""
        try:
            return super().__getitem__(key)
        except (KeyError, StudyRefused):
            raise
        except Exception as error:  # pydicom's converters raise what their values make them
            raise StudyRefused(RefusalCode.UNREADABLE_DICOM) from error


class _Malformed(Exception):
    """The bytes break the encoding rules."""


@dataclass(frozen=True)
class Encoding:
    """How elements are written."""

    implicit: bool
    little_endian: bool


def transfer_syntax(data: Buffer) -> tuple[str, int]:
    """Transfer Syntax UID of a file and the offset at which its data set starts.

    Raises ``StudyRefused`` (``UNREADABLE_DICOM``) where there is no file meta group.
    """
    if bytes(data[128:_PREAMBLE]) != b"DICM":
        raise StudyRefused(RefusalCode.UNREADABLE_DICOM)
    position, found = _PREAMBLE, ""
    try:
        while position + 8 <= len(data):
            group, number, vr, length = struct.unpack_from("<HH2sH", data, position)
            if group != 2:
                break
            position += 8
            if vr in _LONG:
                (length,) = struct.unpack_from("<I", data, position)
                position += 4
            if group << 16 | number == _TRANSFER_SYNTAX and length <= 64:
                found = bytes(data[position : position + length]).rstrip(b"\0 ").decode("ascii")
            position += length
    except (struct.error, UnicodeDecodeError) as error:
        raise StudyRefused(RefusalCode.UNREADABLE_DICOM) from error
    if not found or position > len(data):
        raise StudyRefused(RefusalCode.UNREADABLE_DICOM)
    return found, position


def inflate(data: bytes) -> bytes:
    """The data set of a deflated file; raises ``StudyRefused`` (``TOO_LARGE``, ``UNREADABLE_DICOM``)."""
    limit = min(max(SMALL_BYTES, MAX_RATIO * len(data)), MAX_INFLATED_BYTES)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(data, limit)
    except zlib.error as error:
        raise StudyRefused(RefusalCode.UNREADABLE_DICOM) from error
    if len(inflated) == limit:
        raise StudyRefused(RefusalCode.TOO_LARGE)
    if not inflater.eof:
        raise StudyRefused(RefusalCode.UNREADABLE_DICOM)
    return inflated


def parse(data: Buffer, start: int, encoding: Encoding, *, into: type[_DatasetT]) -> _DatasetT:
    """The elements of ``attributes.READ`` from ``start`` on, undecoded.

    PixelData is an element without value whose ``value_tell`` is its offset in ``data``. Raises ``StudyRefused`` with
    ``UNREADABLE_DICOM``, or ``TOO_LARGE`` where a bound is exceeded.
    """
    walk = _Walk(data, _as_written(data, start, encoding), _Budget())
    try:
        elements, _ = walk.elements(start, len(data), 0, keep=True)
    except (struct.error, _Malformed) as error:
        raise StudyRefused(RefusalCode.UNREADABLE_DICOM) from error
    return _dataset(elements, walk.encoding, default_encoding, into)


def _as_written(data: Buffer, start: int, encoding: Encoding) -> Encoding:
    """Explicit or implicit as the first element shows it: some archives announce one and write the other."""
    return Encoding(bytes(data[start + 4 : start + 6]) not in _VRS, encoding.little_endian)


class _Budget:
    """What one file may still ask for."""

    def __init__(self) -> None:
        self._elements = MAX_ELEMENTS
        self._bytes = MAX_KEPT_BYTES

    def element(self) -> None:
        """Count one element or item."""
        self._elements -= 1
        if self._elements < 0:
            raise StudyRefused(RefusalCode.TOO_LARGE)

    def value(self, length: int) -> None:
        """Count the bytes of one kept value."""
        self._bytes -= length
        if length > MAX_VALUE_BYTES or self._bytes < 0:
            raise StudyRefused(RefusalCode.TOO_LARGE)


class _Walk:
    """One pass over elements of one encoding."""

    def __init__(self, data: Buffer, encoding: Encoding, budget: _Budget) -> None:
        self.data = data
        self.encoding = encoding
        self.budget = budget
        self.character_set: str | list[str] = default_encoding
        order = "<" if encoding.little_endian else ">"
        self._explicit = struct.Struct(f"{order}HH2sH").unpack_from
        self._implicit = struct.Struct(f"{order}HHI").unpack_from
        self._long = struct.Struct(f"{order}I").unpack_from

    def elements(self, position: int, end: int, depth: int, *, keep: bool) -> tuple[_Elements, int]:
        """Elements from ``position`` to ``end`` or to the delimiter of their item, and where that is."""
        if depth > MAX_DEPTH:
            raise _Malformed
        found: _Elements = {}
        while position + 8 <= end:
            tag, vr, length, value = self._header(position)
            if tag == _ITEM_END:
                return found, value
            if tag == PIXEL_DATA and depth == 0:
                found[_PIXELS] = self._raw(_PIXELS, vr, (value, length), None)
                return found, end
            wanted = READ.get(tag) if keep else None
            if length == UNDEFINED:
                items, position = self._open_sequence(value, end, depth, vr, keep=wanted is not None)
                if wanted:
                    found[wanted[0]] = DataElement(wanted[0], "SQ", pydicom.Sequence(items))
                continue
            position = value + length
            if position > end:
                raise _Malformed
            if wanted:
                found[wanted[0]] = self._kept(wanted, vr, (value, length), depth)
        return found, position

    def _kept(
        self, wanted: tuple[BaseTag, str | None], vr: bytes | None, place: tuple[int, int], depth: int
    ) -> DataElement | RawDataElement:
        """An element of defined length; a sequence with its items."""
        tag, dictionary_vr = wanted
        value, length = place
        if dictionary_vr == "SQ" and vr in _MAY_BE_SEQUENCE:
            walk = self._inside_unknown() if vr == b"UN" else self
            try:
                return DataElement(tag, "SQ", pydicom.Sequence(walk.items(value, value + length, depth)))
            except (_Malformed, struct.error):
                if not tag.is_private:  # another vendor's element of the same number may be anything
                    raise
        self.budget.value(length)
        return self._raw(tag, vr, place, bytes(self.data[value : value + length]))

    def items(self, position: int, end: int, depth: int) -> list[StoredDataset]:
        """Items of a sequence of defined length."""
        found: list[StoredDataset] = []
        while position < end:
            length, position = self.item(position)
            if length is None:
                return found
            stop = end if length == UNDEFINED else position + length
            elements, position = self.elements(position, min(stop, end), depth + 1, keep=True)
            found.append(_dataset(elements, self.encoding, self.character_set, StoredDataset))
            if stop > end or (length != UNDEFINED and position != stop):
                raise _Malformed
        return found

    def _open_sequence(
        self, position: int, end: int, depth: int, vr: bytes | None, *, keep: bool
    ) -> tuple[list[StoredDataset], int]:
        """Items of a sequence that ends at its delimiter, and where that is."""
        walk = self._inside_unknown() if vr == b"UN" else self
        found: list[StoredDataset] = []
        while True:
            length, position = walk.item(position)
            if position > end:
                raise _Malformed
            if length is None:
                return found, position
            stop = end if length == UNDEFINED else position + length
            if stop > end:
                raise _Malformed
            if keep or length == UNDEFINED:
                elements, position = walk.elements(position, stop, depth + 1, keep=keep)
                if keep:
                    found.append(_dataset(elements, walk.encoding, walk.character_set, StoredDataset))
            position = position if length == UNDEFINED else stop

    def item(self, position: int) -> tuple[int | None, int]:
        """Length of the item at ``position``, None at the end of the sequence, and where its content starts."""
        self.budget.element()
        group, number, length = self._implicit(self.data, position)
        tag = group << 16 | number
        if tag == _SEQUENCE_END:
            return None, position + 8
        if tag != _ITEM:
            raise _Malformed
        return length, position + 8

    def _header(self, position: int) -> tuple[int, bytes | None, int, int]:
        """Tag, VR where it is written, length of the value and its offset."""
        self.budget.element()
        if self.encoding.implicit:
            group, number, length = self._implicit(self.data, position)
            return group << 16 | number, None, length, position + 8
        group, number, vr, length = self._explicit(self.data, position)
        if vr in _LONG:
            return group << 16 | number, vr, self._long(self.data, position + 8)[0], position + 12
        if vr in _VRS:
            return group << 16 | number, vr, length, position + 8
        return group << 16 | number, None, self._long(self.data, position + 4)[0], position + 8

    def _raw(self, tag: BaseTag, vr: bytes | None, place: tuple[int, int], value: bytes | None) -> RawDataElement:
        name = None if vr is None else _KNOWN_VRS.get(vr, "UN")
        if tag is _CHARACTER_SET and value is not None:
            self.character_set = _character_set(value)
        position, length = place
        return RawDataElement(tag, name, length, value, position, vr is None, self.encoding.little_endian)

    def _inside_unknown(self) -> "_Walk":
        """A sequence of unknown VR is written implicit and little endian, whatever surrounds it (PS3.5 6.2.2)."""
        walk = _Walk(self.data, Encoding(implicit=True, little_endian=True), self.budget)
        walk.character_set = self.character_set
        return walk


def _dataset(
    elements: _Elements, encoding: Encoding, character_set: str | list[str], into: type[_DatasetT]
) -> _DatasetT:
    dataset = into(elements)
    charset = elements.get(_CHARACTER_SET)
    if isinstance(charset, RawDataElement) and charset.value is not None:
        character_set = _character_set(charset.value)
    dataset.set_original_encoding(encoding.implicit, encoding.little_endian, character_set)
    return dataset


@lru_cache(maxsize=64)
def _character_set(value: bytes) -> str | list[str]:
    """Python's names of a Specific Character Set; the default where pydicom knows none."""
    names = [name.strip() for name in value.rstrip(b"\0 ").decode("ascii", "replace").split("\\")]
    try:
        return convert_encodings(names)
    except (LookupError, ValueError):
        return default_encoding
