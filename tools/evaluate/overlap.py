"""How well a label map meets the truth: overlap counts that add up over volumes, and surface distances in mm."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from services.common.finding import Structure

STRUCTURES = tuple(structure for structure in Structure if structure is not Structure.BACKGROUND)
FEWEST_VOXELS = 60  # of the truth in a volume; less is a corner of the structure
_MOST_POINTS = 3000

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Overlap:
    """One structure in one volume, as counts of voxels; ``surface_mm`` is None where one of the two is empty."""

    both: int
    found: int
    true: int
    surface_mm: float | None


def overlaps(
    found: NDArray[np.uint8], true: NDArray[np.uint8], inside: Mask, spacing_mm: NDArray[np.float64]
) -> dict[Structure, Overlap]:
    """Each structure that either map holds, compared where the model could look (``inside``)."""
    found, true = np.where(inside, found, 0), np.where(inside, true, 0)
    result: dict[Structure, Overlap] = {}
    for structure in STRUCTURES:
        a, b = found == structure, true == structure
        sizes = int(np.count_nonzero(a)), int(np.count_nonzero(b))
        if any(sizes):
            distance = surface_distance(a, b, spacing_mm) if sizes[0] and sizes[1] >= FEWEST_VOXELS else None
            result[structure] = Overlap(int(np.count_nonzero(a & b)), *sizes, distance)
    return result


def dice(both: float, found: float, true: float) -> float:
    """2 |A and B| / (|A| + |B|); NaN where both are empty."""
    return 2 * both / (found + true) if found + true else float("nan")


def surface_distance(one: Mask, other: Mask, spacing_mm: NDArray[np.float64]) -> float:
    """Average symmetric surface distance in mm, from at most 3000 points of each surface to all of the other."""
    a, b = _surface(one) * spacing_mm, _surface(other) * spacing_mm
    there = KDTree(b).query(_some(a))[0]
    back = KDTree(a).query(_some(b))[0]
    return float(np.concatenate([there, back]).mean())


def _surface(mask: Mask) -> NDArray[np.float64]:
    """Indices ``(point, 3)`` of voxels with a neighbour outside, within the slice: slices are far apart."""
    cross = np.zeros((3, 3, 3), dtype=bool)
    cross[1, 1, :] = cross[1, :, 1] = True
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    part = np.pad(mask[box], ((0, 0), (1, 1), (1, 1)))
    edge = part & ~ndimage.binary_erosion(part, cross)
    corner = [axis.start for axis in box]
    return np.argwhere(edge) + np.asarray(corner) - (0, 1, 1)


def _some(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return points[:: -(-len(points) // _MOST_POINTS)]
