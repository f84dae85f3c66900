"""Any test instance in any transfer syntax the product reads."""

from collections.abc import Callable
from copy import deepcopy
from io import BytesIO
from itertools import pairwise

import imagecodecs
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

Encoder = Callable[[NDArray[np.integer], int], bytes]

NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
LOSSLESS = (
    RLELossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEG2000Lossless,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
)
LOSSY = (JPEGLSNearLossless, JPEG2000, HTJ2K)
NEAR = 3  # largest error of the near-lossless JPEG-LS here


def with_pixels(instance: pydicom.Dataset, pixels: NDArray[np.integer], bits_stored: int | None = None) -> None:
    """Give an instance other pixels, ``(row, column)`` or ``(frame, row, column)``; in place."""
    instance.Rows, instance.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        instance.NumberOfFrames = len(pixels)
    bits = 8 * pixels.itemsize
    instance.BitsAllocated, instance.BitsStored = bits, bits_stored or bits
    instance.HighBit, instance.PixelRepresentation = instance.BitsStored - 1, int(pixels.dtype.kind == "i")
    instance.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    instance["PixelData"].VR = "OW"


def stored_values(instance: pydicom.Dataset) -> NDArray[np.integer]:
    """``(frame, row, column)`` of an uncompressed little endian instance."""
    kind = "i" if instance.PixelRepresentation else "u"
    shape = (int(instance.get("NumberOfFrames") or 1), instance.Rows, instance.Columns)
    return np.frombuffer(instance.PixelData, f"<{kind}{instance.BitsAllocated // 8}", np.prod(shape)).reshape(shape)


def encoded(instance: pydicom.Dataset, syntax: UID) -> bytes:
    """The file of an uncompressed little endian instance in another transfer syntax."""
    copy = deepcopy(instance)
    values = stored_values(instance)
    copy.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        copy.PixelData = values.byteswap().tobytes() if values.itemsize > 1 else _swapped(values.tobytes())
    elif syntax in ENCODERS:
        # two's complement, the bits a decoder gives back
        raw = values.view(f"u{values.itemsize}") & ((1 << instance.BitsStored) - 1)
        copy.PixelData = encapsulate([ENCODERS[syntax](frame, instance.BitsStored) for frame in raw])
        copy["PixelData"].VR = "OB"
    return _file(copy)


def fragmented(data: bytes, pieces: int) -> list[bytes]:
    """One frame cut into fragments of even length."""
    bounds = [2 * round(len(data) * piece / pieces / 2) for piece in range(pieces)] + [len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]


def _file(instance: pydicom.Dataset) -> bytes:
    buffer = BytesIO()
    instance.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _swapped(data: bytes) -> bytes:
    """8 bit pixels as 16 bit words of big endian order."""
    return np.frombuffer(data + b"\0" * (len(data) % 2), ">u2").astype("<u2").tobytes()


def _run_lengths(frame: NDArray[np.integer], _: int) -> bytes:
    return RLELosslessEncoder.encode(
        frame.astype(frame.dtype.newbyteorder("<")).tobytes(),
        rows=frame.shape[0],
        columns=frame.shape[1],
        samples_per_pixel=1,
        number_of_frames=1,
        bits_allocated=8 * frame.itemsize,
        bits_stored=8 * frame.itemsize,
        pixel_representation=0,
        photometric_interpretation="MONOCHROME2",
        encoding_plugin="pydicom",
    )


def _lossless_jpeg(predictor: int) -> Encoder:
    return lambda frame, bits: imagecodecs.jpeg8_encode(frame, lossless=True, predictor=predictor, bitspersample=bits)


def _jpeg_2000(frame: NDArray[np.integer], bits: int) -> bytes:
    return imagecodecs.jpeg2k_encode(frame, level=0, codecformat="j2k", reversible=True, bitspersample=bits)


ENCODERS: dict[str, Encoder] = {
    RLELossless: _run_lengths,
    JPEGBaseline8Bit: lambda frame, _: imagecodecs.jpeg8_encode(frame, level=95),
    JPEGLossless: _lossless_jpeg(6),
    JPEGLosslessSV1: _lossless_jpeg(1),
    JPEGLSLossless: lambda frame, _: imagecodecs.jpegls_encode(frame),
    JPEGLSNearLossless: lambda frame, _: imagecodecs.jpegls_encode(frame, level=NEAR),
    JPEG2000Lossless: _jpeg_2000,
    JPEG2000: lambda frame, bits: imagecodecs.jpeg2k_encode(frame, level=60, codecformat="j2k", bitspersample=bits),
    HTJ2KLossless: lambda frame, _: imagecodecs.htj2k_encode(frame, reversible=True),
    HTJ2KLosslessRPCL: lambda frame, _: imagecodecs.htj2k_encode(frame, reversible=True),
    HTJ2K: lambda frame, _: imagecodecs.htj2k_encode(frame, reversible=False, level=0.0001),
}
