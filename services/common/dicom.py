"""Reading DICOM that a stranger sent: bounded, typed, one file at a time.

Only killable worker processes call this. The transfer syntax is read from the file meta group and checked against an
allow-list before anything else is parsed, the elements are walked by ``part10``, which bounds what they can cost, and
the pixels stay in the file until ``pixels`` is asked for a frame. What goes wrong is a ``StudyRefused`` with a code.
"""

import math
import mmap
import re
import struct
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pydicom
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGExtended12Bit,
    LegacyConvertedEnhancedMRImageStorage,
    MRImageStorage,
)

from services.common.attributes import BY_KEYWORD, PIXEL_DATA
from services.common.codestream import COMPRESSED
from services.common.encapsulation import Fragments
from services.common.errors import RefusalCode, StudyRefused
from services.common.part10 import Buffer, Encoding, StoredDataset, inflate, parse, transfer_syntax

NATIVE = frozenset(
    {ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian}
)
READABLE = NATIVE | COMPRESSED
_DEFLATED = frozenset({"1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})  # JPIP references, deflated
MR_STORAGE = frozenset({MRImageStorage, EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage})

_UID_FORM = re.compile(r"(?=.{1,64}$)(0|[1-9]\d*)(\.(0|[1-9]\d*))*", re.ASCII)
_PUBLIC_SYNTAX = re.compile(r"1\.2\.840\.10008\.1\.2(\.[1-9]\d{0,3}){1,3}", re.ASCII)
_BINARY = {"US": "H", "US or SS": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
_DECIMAL_TEXT = frozenset({"DS", "IS"})
_PLAIN_TEXT = _DECIMAL_TEXT | {"CS", "UI", "DA", "TM", "DT", "AE", "AS"}


class StoredInstance(StoredDataset):
    """The attributes of one file; the pixels still lie there, ``pixels`` says where."""

    path: Path
    pixels: RawDataElement | None = None
    fragments: Fragments | None = None


def read_instance(path: Path) -> pydicom.Dataset:
    """Parse the attributes the product reads (``attributes.READ``) of one Part 10 file, pixels unread.

    ``syntax_refusal`` says whether its pixels can be read. Raises ``StudyRefused``: ``UNREADABLE_DICOM``,
    ``UNSUPPORTED_TRANSFER_SYNTAX`` where not even the header can, ``INVALID_IDENTITY``, ``TOO_LARGE``.
    """
    try:
        with mapped(path) as data:
            instance = _parse(data)
    except ValueError as error:  # an empty file can't be mapped
        raise StudyRefused(RefusalCode.UNREADABLE_DICOM) from error
    instance.path = path
    _require_identity(instance)
    return instance


def syntax_refusal(instance: pydicom.Dataset) -> RefusalCode | None:
    """Why pixels in this transfer syntax are not read; None where they are."""
    syntax = instance.file_meta.TransferSyntaxUID
    if syntax == JPEGExtended12Bit:
        return RefusalCode.UNSUPPORTED_JPEG_EXTENDED
    return None if syntax in READABLE else RefusalCode.UNSUPPORTED_TRANSFER_SYNTAX


def mapped(path: Path) -> mmap.mmap:
    """The bytes of a file, which offsets of its elements count in; raises ``ValueError`` for an empty one."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def inflated(path: Path) -> bytes:
    """What offsets of elements count in for a deflated file; the last one is kept, because its frames follow."""
    stat = path.stat()
    return _inflated(path, stat.st_mtime_ns, stat.st_size)


def floats(instance: pydicom.Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """``count`` finite numbers of one attribute, or None where it is missing or malformed."""
    try:
        values = _numbers(instance, keyword)
    except (KeyError, TypeError, ValueError, struct.error, OverflowError):
        return None
    return values if len(values) == count and all(map(math.isfinite, values)) else None


def number(instance: pydicom.Dataset, keyword: str) -> float | None:
    """One finite number of an attribute, or None where it is missing or malformed."""
    values = floats(instance, keyword, 1)
    return values[0] if values else None


def texts(instance: pydicom.Dataset, keyword: str) -> tuple[str, ...]:
    """The values of an attribute as text, stripped; empty where it is missing or malformed."""
    element = _undecoded(instance, keyword)
    if isinstance(element, RawDataElement) and (element.VR or _dictionary_vr(keyword)) in _PLAIN_TEXT:
        plain = (element.value or b"").decode("latin-1")
        return tuple(part.strip(" \0") for part in plain.split("\\")) if plain else ()
    try:
        value = None if element is None else instance[keyword].value
    except StudyRefused:
        return ()
    values = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]
    return tuple(str(part).strip(" \0") for part in values if part is not None)


def text(instance: pydicom.Dataset, keyword: str) -> str:
    """The first value of ``texts``, or nothing."""
    return next(iter(texts(instance, keyword)), "")


def _undecoded(instance: pydicom.Dataset, keyword: str) -> DataElement | RawDataElement | None:
    tag = BY_KEYWORD[keyword]
    if isinstance(instance, StoredDataset):
        return instance.undecoded(tag)
    return instance.get_item(tag) if tag in instance else None


def _parse(data: mmap.mmap) -> StoredInstance:
    syntax, start = transfer_syntax(data)
    if syntax not in READABLE and not _names_explicit_header(syntax):
        raise StudyRefused(RefusalCode.UNSUPPORTED_TRANSFER_SYNTAX)
    encoding = Encoding(syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian)
    buffer: Buffer = data
    if syntax == DeflatedExplicitVRLittleEndian:
        buffer, start = inflate(data[start:]), 0
    instance = parse(buffer, start, encoding, into=StoredInstance)
    pixels = instance.pop(PIXEL_DATA, None)
    instance.pixels = pixels if isinstance(pixels, RawDataElement) else None
    instance.file_meta = _file_meta(syntax)
    return instance


def _names_explicit_header(syntax: str) -> bool:
    """Whether a public syntax that is not read has a header that is: all but a deflated one (PS3.5 A.4)."""
    return bool(_PUBLIC_SYNTAX.fullmatch(syntax)) and syntax not in _DEFLATED


@lru_cache(maxsize=256)
def _file_meta(syntax: str) -> pydicom.dataset.FileMetaDataset:
    """The one line of the file meta group that matters later; instances share it."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = UID(syntax)
    return meta


@lru_cache(maxsize=1)
def _inflated(path: Path, *_: int) -> bytes:
    """One file's data set; its age and size are part of the key, because names return."""
    with mapped(path) as data:
        return inflate(data[transfer_syntax(data)[1] :])


def _numbers(instance: pydicom.Dataset, keyword: str) -> tuple[float, ...]:
    """All values of a numeric attribute; raw bytes are read without pydicom's value classes, which cost ten times."""
    element = _undecoded(instance, keyword)
    if element is None:
        return ()
    if not isinstance(element, RawDataElement) or element.value is None:
        value: Any = element.value
        return (float(value),) if isinstance(value, str | int | float) else tuple(float(each) for each in value)
    vr = element.VR if element.VR not in {None, "UN"} else _dictionary_vr(keyword)
    if vr in _DECIMAL_TEXT:
        return tuple(float(part) for part in element.value.decode("ascii").rstrip("\0 ").split("\\"))
    letter = _BINARY[vr]
    order = "<" if element.is_little_endian else ">"
    return struct.unpack(f"{order}{len(element.value) // struct.calcsize(letter)}{letter}", element.value)


@lru_cache(maxsize=256)
def _dictionary_vr(keyword: str) -> str:
    return dictionary_VR(BY_KEYWORD[keyword])


def _require_identity(instance: pydicom.Dataset) -> None:
    for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        if not _UID_FORM.fullmatch(text(instance, keyword)):
            raise StudyRefused(RefusalCode.INVALID_IDENTITY)
