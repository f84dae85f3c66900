"""A pickle that may hold one numpy array and nothing else.

Unpickling runs whatever the file names, so a data set of pickles is a data set of programs. Here the only names that
mean anything are those that numpy writes for an array, and each is answered by code of our own; every other name, a
call of a class, or a result that is no array of numbers is refused before it runs.
"""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.train.sources.refusal import DataCode, DataRefused

_ARRAY_CLASS = object()  # stands for numpy.ndarray, and can't be called


def _empty(_subtype: object, _shape: object, _kind: object) -> NDArray[Any]:
    """What numpy's ``_reconstruct`` gives before the state is set; the file's own shape would be allocated unseen."""
    return np.ndarray((0,), dtype=np.int8)


def _from_buffer(buffer: bytes, dtype: Any, shape: tuple[int, ...], order: str) -> NDArray[Any]:
    """Protocol 5 keeps the bytes beside the shape."""
    return np.frombuffer(buffer, dtype).reshape(shape, order="F" if order == "F" else "C")


def _to_latin_1(text: str, _encoding: str) -> bytes:
    """How protocol 2 writes bytes."""
    return text.encode("latin-1")


_MEANINGS: dict[tuple[str, str], Any] = {("numpy", "ndarray"): _ARRAY_CLASS, ("numpy", "dtype"): np.dtype}
_MEANINGS |= {(f"numpy.{core}.multiarray", "_reconstruct"): _empty for core in ("core", "_core")}
_MEANINGS |= {(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")}
_MEANINGS[("_codecs", "encode")] = _to_latin_1


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _MEANINGS[module, name]
        except KeyError:
            raise DataRefused(DataCode.PICKLE_UNSAFE) from None


def array_from_pickle(path: Path) -> NDArray[np.generic]:
    """The array of numbers that a pickle file holds, written by Python 2 or 3.

    Raises ``DataRefused``: ``PICKLE_UNSAFE`` for anything else, ``FILE_UNREADABLE`` for a damaged file.
    """
    try:
        value = _ArrayUnpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except DataRefused:
        raise
    except Exception as error:  # a hostile file can make the unpickler raise whatever it likes
        raise DataRefused(DataCode.FILE_UNREADABLE) from error
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf":
        raise DataRefused(DataCode.PICKLE_UNSAFE)
    return value
