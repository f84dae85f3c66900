"""Files that numpy alone does not read: HDF5 by h5py, NIfTI and MetaImage by SimpleITK (extra ``datasets``)."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.common.volume import FloatArray, Volume
from tools.train.sources.refusal import DataCode, DataRefused


@contextmanager
def hdf5(path: Path) -> Iterator[Any]:
    """An HDF5 file, open for reading.

    Raises ``DataRefused``: ``READER_MISSING``, or ``FILE_UNREADABLE`` for a file that is none, or lacks what is asked.
    """
    h5py = _reader("h5py")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError) as error:
        raise DataRefused(DataCode.FILE_UNREADABLE) from error


def medical_image(path: Path) -> Volume:
    """A 3D image of any format that SimpleITK reads, ``(slice, row, column)`` and in LPS mm, which is ITK's own frame.

    Raises ``DataRefused``: ``READER_MISSING``, or ``FILE_UNREADABLE`` where it is no 3D image.
    """
    itk = _reader("SimpleITK")
    try:
        image = itk.ReadImage(str(path))
    except RuntimeError as error:
        raise DataRefused(DataCode.FILE_UNREADABLE) from error
    voxels = itk.GetArrayFromImage(image)
    if image.GetDimension() != 3 or voxels.ndim != 3:
        raise DataRefused(DataCode.FILE_UNREADABLE)
    affine = np.eye(4)
    columns = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    affine[:3, :3] = columns[:, ::-1]  # the array counts z, y, x
    affine[:3, 3] = image.GetOrigin()
    return Volume(voxels, affine)


def sampled(labels: Volume, target: Volume, *, outside: int) -> NDArray[np.uint8]:
    """Labels at the voxels of another volume by nearest neighbour; ``outside`` where they do not reach."""
    to_source: FloatArray = np.linalg.inv(labels.affine) @ target.affine
    result = np.full(target.voxels.shape, outside, dtype=np.uint8)
    rows, columns = np.indices(target.voxels.shape[1:])
    last = np.reshape(labels.voxels.shape, (3, 1, 1)) - 1
    for index, one in enumerate(result):
        place = to_source[:3, 0] * index + to_source[:3, 3]
        nearest = np.rint(
            place[:, None, None] + to_source[:3, 1, None, None] * rows + to_source[:3, 2, None, None] * columns
        ).astype(int)
        inside = ((nearest >= 0) & (nearest <= last)).all(axis=0)
        one[inside] = labels.voxels[tuple(nearest[:, inside])]
    return result


def _reader(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise DataRefused(DataCode.READER_MISSING, f"({name} for this data set)") from error
