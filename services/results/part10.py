"""Result objects as Part 10 files: Explicit VR Little Endian unless the object carries encapsulated pixels."""

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.charset import convert_encodings, default_encoding
from pydicom.tag import Tag
from pydicom.uid import UID

from services.common.uids import UID_ROOT

_FLOAT_PIXEL_DATA, _PIXEL_DATA = Tag("FloatPixelData"), Tag("PixelData")
_FLOAT_BYTES = 4


class FloatFrames(io.BufferedIOBase):
    """Frames ``(slice, row, column)`` uint8 that read as little-endian float32, scaled.

    pydicom takes a buffer for the value of a pixel element; this one holds a quarter of the bytes that it yields.
    """

    def __init__(self, frames: NDArray[np.uint8], scale: float) -> None:
        super().__init__()
        self._frames, self._scale = frames, np.float32(scale)
        self._position = 0

    def __len__(self) -> int:
        return self._frames.size * _FLOAT_BYTES

    def __iter__(self) -> Iterator[memoryview | int]:  # type: ignore[override]
        """Each frame, or the number of its bytes where all are zero."""
        for frame in self._frames:
            yield self._floats(frame).data if frame.max(initial=0) else frame.size * _FLOAT_BYTES

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Position in the bytes that are read."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position, which is a whole number of floats wherever pydicom asks for one."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self)}[whence]
        self._position = start + offset
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes."""
        first = self._position
        last = len(self) if size is None or size < 0 else min(first + size, len(self))
        floats = self._floats(self._frames.reshape(-1)[first // _FLOAT_BYTES : -(-last // _FLOAT_BYTES)])
        self._position = last
        return floats.tobytes()[first % _FLOAT_BYTES :][: last - first]

    def _floats(self, stored: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.multiply(stored, self._scale, dtype="<f4")


def to_bytes(dataset: pydicom.Dataset) -> bytes:
    """The bytes of the file."""
    _complete(dataset)
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def write_file(dataset: pydicom.Dataset, path: Path) -> None:
    """Write the same bytes to a file, pixels straight from where they lie.

    Frames of a map that are all zero become holes in the file, which cost nothing and read as zeros.
    """
    tag = next((each for each in (_FLOAT_PIXEL_DATA, _PIXEL_DATA) if each in dataset), None)
    pixels: Any = None if tag is None else dataset[tag]
    if tag is None or pixels.is_undefined_length:
        path.write_bytes(to_bytes(dataset))
        return
    del dataset[tag]
    header = to_bytes(dataset)
    dataset[tag] = pixels
    with path.open("wb") as file:
        # pixels stand last: nothing of ours has a tag beyond them
        length = struct.pack("<HH2s2xI", tag.group, tag.element, pixels.VR.encode(), len(pixels.value))
        file.write(header + length)
        for part in pixels.value if tag == _FLOAT_PIXEL_DATA else [pixels.value]:
            if isinstance(part, int):
                file.seek(part, io.SEEK_CUR)
            else:
                file.write(part)
        file.truncate()


def _complete(dataset: pydicom.Dataset) -> None:
    """Set the file meta information, and the encoding of raw elements, so that pydicom does not decode them."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.ImplementationClassUID = UID(f"{UID_ROOT}.1")
    meta.ImplementationVersionName = "ARTICULA"
    dataset.file_meta = meta
    dataset.preamble = b"\0" * 128
    charset = dataset.get("SpecificCharacterSet")
    dataset.set_original_encoding(
        is_implicit_vr=False,
        is_little_endian=True,
        character_encoding=convert_encodings(charset) if charset else default_encoding,
    )
