"""Where a series' slices lie: sorting by position, even spacing, and the side of the knee.

File order and InstanceNumber are never trusted; only ImagePositionPatient along the normal is.
"""

from collections.abc import Sequence

import numpy as np
import pydicom

from services.common.dicom import floats
from services.common.errors import RefusalCode, StudyRefused
from services.common.finding import Laterality
from services.common.volume import FloatArray, slice_normal, stack_affine

MIN_SLICES = 3
MAX_SPACING_DEVIATION = 0.05  # of the median distance; more means a slice is missing
_ORTHONORMAL_TOLERANCE = 1e-3


def orientation(instance: pydicom.Dataset) -> tuple[float, ...] | None:
    """ImageOrientationPatient as six numbers, or None where it is missing or not two orthonormal vectors."""
    cosines = floats(instance, "ImageOrientationPatient", 6)
    if cosines is None:
        return None
    vectors = np.reshape(cosines, (2, 3))
    return cosines if np.allclose(vectors @ vectors.T, np.eye(2), atol=_ORTHONORMAL_TOLERANCE) else None


def has_geometry(instance: pydicom.Dataset) -> bool:
    """Whether the instance says where its pixels lie."""
    spacing = floats(instance, "PixelSpacing", 2)
    position = floats(instance, "ImagePositionPatient", 3)
    return orientation(instance) is not None and position is not None and spacing is not None and min(spacing) > 0


def sort_slices(instances: Sequence[pydicom.Dataset]) -> list[pydicom.Dataset]:
    """Order instances that share one orientation along their normal.

    Raises ``StudyRefused``: ``TOO_FEW_SLICES``, or ``UNEVEN_SLICES`` where a distance is zero or deviates by more than
    5 % of the median.
    """
    if len(instances) < MIN_SLICES:
        raise StudyRefused(RefusalCode.TOO_FEW_SLICES)
    normal = slice_normal(instances[0].ImageOrientationPatient)
    depth = np.array([np.dot(normal, np.asarray(each.ImagePositionPatient, dtype=float)) for each in instances])
    order = np.argsort(depth, kind="stable")
    gaps = np.diff(depth[order])
    median = float(np.median(gaps))
    if median <= 0 or np.abs(gaps - median).max() > MAX_SPACING_DEVIATION * median:
        raise StudyRefused(RefusalCode.UNEVEN_SLICES)
    return [instances[index] for index in order]


def affine_of(slices: Sequence[pydicom.Dataset]) -> FloatArray:
    """Affine ``(slice, row, column, 1) -> LPS mm`` of sorted instances."""
    first, last = slices[0], slices[-1]
    return stack_affine(
        [float(value) for value in first.ImageOrientationPatient],
        [float(value) for value in first.PixelSpacing],
        first_position=[float(value) for value in first.ImagePositionPatient],
        last_position=[float(value) for value in last.ImagePositionPatient],
        slices=len(slices),
    )


def laterality_of(instances: Sequence[pydicom.Dataset]) -> Laterality:
    """The side all tags agree on; ``UNKNOWN`` where none speaks or two disagree."""
    spoken = {
        str(instance.get(keyword, "")).strip().upper()
        for instance in instances
        for keyword in ("Laterality", "ImageLaterality")
    } - {""}
    if len(spoken) == 1:
        side = spoken.pop()
        return Laterality(side) if side in {"R", "L"} else Laterality.UNKNOWN
    return Laterality.UNKNOWN
