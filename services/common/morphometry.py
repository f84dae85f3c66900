"""Sizes of shapes drawn on slices: volume, outline, area of contact, and how far one shape lies outside another.

Masks are boolean ``(slice, row, column)`` on a grid of ``spacing_mm`` in the same order. Lengths within a slice follow
the Cauchy-Crofton formula over four directions: it counts how often parallel lines cross an edge, so a slanted edge is
not measured along its stairs (within 5 % for a straight edge of any slant, exact on average).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
_STEPS = ((0, 1), (1, 1), (1, 0), (1, -1))  # (rows, columns), by ascending angle


def rows_seen(labels: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Which values below 16 a row holds, bit by bit: ``(slice, row, column)`` -> ``(slice, row)``.

    One pass tells where each structure lies, so that nobody searches a whole volume for a meniscus.
    """
    one = np.uint16(1)
    return np.stack([np.bitwise_or.reduce(np.left_shift(one, each, dtype=np.uint16), axis=1) for each in labels])


def volume_mm3(mask: Mask, spacing_mm: NDArray[np.float64]) -> float:
    """Volume of all voxels."""
    return float(np.count_nonzero(mask) * np.prod(spacing_mm))


def outline_area_mm2(mask: Mask, spacing_mm: NDArray[np.float64]) -> float:
    """Area of the surface that the slices cut: outline within each slice times the distance of slices.

    The faces towards the slices before and behind are not counted. A shape on the border of the grid is closed there.
    """
    padded = np.pad(mask, ((0, 0), (1, 1), (1, 1)))
    crossings = [int(np.count_nonzero(one != other)) for one, other in (_neighbours(padded, step) for step in _STEPS)]
    return _length_mm(crossings, spacing_mm) * float(spacing_mm[0])


def contact_area_mm2(one: Mask, other: Mask, spacing_mm: NDArray[np.float64]) -> float:
    """Area of the surface in which two shapes touch within the slices."""
    crossings = []
    for step in _STEPS:
        one_here, one_there = _neighbours(one, step)
        here, there = _neighbours(other, step)
        crossings.append(int(np.count_nonzero(one_here & there) + np.count_nonzero(here & one_there)))
    return _length_mm(crossings, spacing_mm) * float(spacing_mm[0])


def overhang_mm(inner: NDArray[np.bool_], outer: NDArray[np.bool_], column_mm: float) -> float | None:
    """How far ``outer`` reaches beyond ``inner`` along the columns of one slice, away from the middle of ``inner``.

    Both are ``(row, column)``. Negative where it stays inside, None where one of them is empty.
    """
    inner_columns, outer_columns = np.flatnonzero(inner.any(axis=0)), np.flatnonzero(outer.any(axis=0))
    if not (inner_columns.size and outer_columns.size):
        return None
    if outer_columns.mean() < inner_columns.mean():
        return float(inner_columns[0] - outer_columns[0]) * column_mm
    return float(outer_columns[-1] - inner_columns[-1]) * column_mm


def _neighbours(mask: Mask, step: tuple[int, int]) -> tuple[Mask, Mask]:
    """Two views of a mask, one step apart within the slice."""
    rows, columns = mask.shape[1:]
    down, right = step
    here = mask[:, : rows - down, max(-right, 0) : columns - max(right, 0)]
    there = mask[:, down:, max(right, 0) : columns + min(right, 0)]
    return here, there


def _length_mm(crossings: Sequence[int], spacing_mm: NDArray[np.float64]) -> float:
    """Length of an edge that lines along ``_STEPS`` cross so often: half the sum of count x line distance x angle."""
    steps = np.array(_STEPS, dtype=np.float64) * spacing_mm[1:]
    angles = np.arctan2(steps[:, 0], steps[:, 1])
    around = np.concatenate([[angles[-1] - np.pi], angles, [angles[0] + np.pi]])
    share = (around[2:] - around[:-2]) / 2
    line_distance = float(np.prod(spacing_mm[1:])) / np.linalg.norm(steps, axis=1)
    return float(0.5 * np.sum(np.asarray(crossings) * line_distance * share))
