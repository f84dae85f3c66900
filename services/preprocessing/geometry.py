"""Where a stack's slices lie: sorting by position, even spacing, and one affine for all of them.

File order and InstanceNumber are never trusted; only ImagePositionPatient along the normal is.
"""

from collections.abc import Sequence

import numpy as np

from services.common.errors import RefusalCode, StudyRefused
from services.common.frame import Frame
from services.common.volume import FloatArray, slice_normal, stack_affine

MIN_SLICES = 3
MAX_SPACING_DEVIATION = 0.05  # of the median distance; more means a slice is missing
MAX_SHEAR = 0.05  # in-plane drift per distance; more than rounding, so the voxels are no boxes
_ROUNDING_MM = 0.11  # between positions written with one decimal
_SAME_PLACE_MM = 0.01


def has_geometry(frame: Frame) -> bool:
    """Whether the frame says where its pixels lie."""
    return frame.orientation is not None and frame.position_mm is not None and frame.pixel_spacing_mm is not None


def depths_mm(frames: Sequence[Frame]) -> FloatArray:
    """Distance of each frame along the normal of the first."""
    positions = np.array([frame.position_mm for frame in frames], dtype=np.float64)
    normal = slice_normal(frames[0].orientation or ())
    return np.asarray(positions @ normal, dtype=np.float64)


def overlapping(frames: Sequence[Frame]) -> bool:
    """Whether two frames lie at one place."""
    return bool((np.diff(np.sort(depths_mm(frames))) < _SAME_PLACE_MM).any())


def sort_slices(frames: Sequence[Frame]) -> tuple[Frame, ...]:
    """Order frames that share one orientation along their normal.

    Raises ``StudyRefused``: ``TOO_FEW_SLICES``; ``OVERLAPPING_SLICES`` where two lie at one place; ``UNEVEN_SLICES``
    where a distance deviates by more than 5 % of the median; ``SHEARED_SLICES`` where they drift sideways.
    """
    if len(frames) < MIN_SLICES:
        raise StudyRefused(RefusalCode.TOO_FEW_SLICES)
    if overlapping(frames):
        raise StudyRefused(RefusalCode.OVERLAPPING_SLICES)
    depth = depths_mm(frames)
    order = np.argsort(depth, kind="stable")
    gaps = np.diff(depth[order])
    median = float(np.median(gaps))
    if np.abs(gaps - median).max() > max(MAX_SPACING_DEVIATION * median, _ROUNDING_MM):
        raise StudyRefused(RefusalCode.UNEVEN_SLICES)
    ordered = tuple(frames[index] for index in order)
    if _shear_mm(ordered) > max(MAX_SHEAR * median, _ROUNDING_MM) * (len(ordered) - 1):
        raise StudyRefused(RefusalCode.SHEARED_SLICES)
    return ordered


def affine_of(slices: Sequence[Frame]) -> FloatArray:
    """Affine ``(slice, row, column, 1) -> LPS mm`` of sorted frames that all have geometry."""
    first, last = slices[0], slices[-1]
    return stack_affine(
        first.orientation or (),
        first.pixel_spacing_mm or (),
        first_position=first.position_mm or (),
        last_position=last.position_mm or (),
        slices=len(slices),
    )


def _shear_mm(slices: Sequence[Frame]) -> float:
    """How far the last slice lies beside the first, seen along the normal."""
    way = np.subtract(slices[-1].position_mm or (), slices[0].position_mm or ())
    normal = slice_normal(slices[0].orientation or ())
    return float(np.linalg.norm(way - (way @ normal) * normal))
