"""Reading DICOM that a stranger sent: bounded, typed, one file at a time.

Only killable worker processes call this. The transfer syntax is read from the file meta group and checked against an
allow-list before anything else is parsed (a deflated megabyte can inflate to gigabytes), sizes are checked before
pixels are decoded, and whatever pydicom or a codec raises becomes a ``StudyRefused`` with a code.
"""

from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.filereader import read_file_meta_info
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    UID,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    LegacyConvertedEnhancedMRImageStorage,
    MRImageStorage,
    RLELossless,
)

from services.common.errors import RefusalCode, StudyRefused

UNCOMPRESSED = frozenset({ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian})
# JPEG Lossless is missing on purpose: the decoder at hand returns wrong pixels on some scanners' files without a word
READABLE = UNCOMPRESSED | {RLELossless, JPEGLSLossless, JPEG2000Lossless, HTJ2KLossless, HTJ2KLosslessRPCL}
MR_STORAGE = frozenset({MRImageStorage, EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage})

MAX_SIDE = 2048


def read_instance(path: Path) -> pydicom.Dataset:
    """Parse one Part 10 file, pixels undecoded.

    Raises ``StudyRefused`` with ``UNSUPPORTED_TRANSFER_SYNTAX`` or ``UNREADABLE_DICOM``.
    """
    try:
        transfer_syntax = UID(read_file_meta_info(path).TransferSyntaxUID)
    except Exception as error:
        raise StudyRefused(RefusalCode.UNREADABLE_DICOM) from error
    if transfer_syntax not in READABLE:
        raise StudyRefused(RefusalCode.UNSUPPORTED_TRANSFER_SYNTAX)
    try:
        dataset = pydicom.dcmread(path)
        _require_identity(dataset)
    except Exception as error:  # pydicom raises many types on broken input, RecursionError among them
        raise StudyRefused(RefusalCode.UNREADABLE_DICOM) from error
    return dataset


def stored_frame(dataset: pydicom.Dataset, index: int) -> NDArray[np.integer]:
    """Stored values of one frame, counted from 0: ``(row, column)``, no rescale.

    Raises ``StudyRefused`` with ``NO_PIXEL_DATA``, ``TOO_LARGE``, ``TRUNCATED_PIXEL_DATA``, ``UNREADABLE_DICOM``.
    """
    _check_pixel_data(dataset)
    try:
        stored: NDArray[np.integer] = pixel_array(dataset, index=index)
    except Exception as error:
        raise StudyRefused(RefusalCode.UNREADABLE_DICOM) from error
    if stored.ndim != 2:  # a colour object slipped through selection
        raise StudyRefused(RefusalCode.NO_USABLE_SERIES)
    return stored


def floats(dataset: pydicom.Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """``count`` finite numbers of one attribute, or None where it is missing or malformed."""
    try:
        values = tuple(float(value) for value in dataset[keyword].value)
    except (KeyError, TypeError, ValueError):
        return None
    return values if len(values) == count and np.isfinite(values).all() else None


def number(dataset: pydicom.Dataset, keyword: str) -> float | None:
    """One finite number of an attribute, or None where it is missing or malformed."""
    try:
        value = float(dataset[keyword].value)
    except (KeyError, TypeError, ValueError):
        return None
    return value if np.isfinite(value) else None


def _require_identity(dataset: pydicom.Dataset) -> None:
    for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        if not UID(dataset[keyword].value).is_valid:
            message = f"{keyword} is not a valid UID"
            raise ValueError(message)


def _check_pixel_data(dataset: pydicom.Dataset) -> None:
    if "PixelData" not in dataset or not dataset.PixelData:
        raise StudyRefused(RefusalCode.NO_PIXEL_DATA)
    rows, columns, bits = (number(dataset, keyword) or 0 for keyword in ("Rows", "Columns", "BitsAllocated"))
    if not (rows and columns and bits):
        raise StudyRefused(RefusalCode.NO_PIXEL_DATA)
    if max(rows, columns) > MAX_SIDE:
        raise StudyRefused(RefusalCode.TOO_LARGE)
    expected = rows * columns * bits / 8 * (number(dataset, "NumberOfFrames") or 1)
    if dataset.file_meta.TransferSyntaxUID in UNCOMPRESSED and len(dataset.PixelData) < expected:
        raise StudyRefused(RefusalCode.TRUNCATED_PIXEL_DATA)
