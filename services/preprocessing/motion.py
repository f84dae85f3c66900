"""How the knee moved between two series: the rigid motion that lays the bones of one plane on those of another.

Nobody lies still from series to series, a millimetre is half of a cartilage, and knees of two visits lie anywhere.
Femur and tibia are told well in every plane, so their surfaces are laid on each other: points on those of the first
plane, each with the smoothed share of bone around it, and the smoothed bones of the other plane to slide in, by Gauss
and Newton with the slopes of the first, which are taken once (the inverse compositional way of Baker and Matthews, IJCV
56, 2004).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from services.common.finding import Structure
from services.common.volume import FloatArray, Plane
from services.preprocessing.segmented import Segmented

Motion = FloatArray  # affine, LPS in mm where one series saw the knee -> LPS in mm where the reference did

# Dice of the bones of two planes where both look: 0.956 and more of one phantom, at most 0.942 of two (264 pairs)
LEAST_AGREEMENT = 0.93
_FEWEST_POINTS = 500  # on the surface of the bones; fewer tell no motion
_MOST_POINTS = 6000
_SURFACE = (0.1, 0.9)  # smoothed share of bone
_AROUND = (9, 9)  # pixels
_MOST_STEPS, _SMALL_STEP = 12, 1e-3  # mm, and radians
_DIGITS = 4  # of the answer, so that the last bit of another processor's arithmetic can't change a result
_COARSE = 8  # every so many pixels agreement is looked at


@dataclass(frozen=True, eq=False)
class _Surface:
    """Points (n, 3) in LPS on the bones of a plane, the share of bone there (n,), its slope for a motion (n, 6)."""

    points: FloatArray
    shares: FloatArray
    slopes: FloatArray
    centre: FloatArray


def motions(segmented: Mapping[Plane, Segmented]) -> dict[Plane, Motion]:
    """The motion of each plane to where the first one with bones saw them; none for a plane whose bones don't fit."""
    surfaces = ((plane, surface) for plane, each in segmented.items() if (surface := _surface(each)))
    first, surface = next(surfaces, (next(iter(segmented)), None))
    found: dict[Plane, Motion] = {first: np.eye(4)}
    for plane, other in segmented.items():
        if plane == first or surface is None:
            continue
        motion = _fitted(surface, other)
        if motion is not None and _agreement(segmented[first], other, motion) >= LEAST_AGREEMENT:
            found[plane] = motion
    return found


def rigid(step: FloatArray, centre: FloatArray) -> FloatArray:
    """Translation by 3 mm values and rotation by 3 radians about a centre."""
    affine = np.eye(4)
    affine[:3, :3] = cv2.Rodrigues(step[3:])[0]
    affine[:3, 3] = centre + step[:3] - affine[:3, :3] @ centre
    return affine


def _is_bone(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (labels == Structure.FEMUR) | (labels == Structure.TIBIA)
    return found


def _share_of_bone(each: Segmented) -> NDArray[np.float32]:
    """Around each model voxel in its slice."""
    bone = _is_bone(each.labels).astype(np.float32)
    for image in bone:
        cv2.blur(image, _AROUND, dst=image)
    return bone


def _surface(each: Segmented) -> _Surface | None:
    """None where there are hardly any bones."""
    bone = _share_of_bone(each)
    first, last = each.used_slices
    inner = bone[first + 1 : last, 1:-1, 1:-1]
    places = np.argwhere((inner > _SURFACE[0]) & (inner < _SURFACE[1]))
    if len(places) < _FEWEST_POINTS:
        return None
    index = np.add(places[:: -(-len(places) // _MOST_POINTS)], (first + 1, 1, 1)).T
    steps = np.eye(3, dtype=int)[:, :, None]
    by_index = np.stack([bone[tuple(index + step)] - bone[tuple(index - step)] for step in steps], axis=1) / 2
    by_mm = by_index @ np.linalg.inv(each.to_patient)[:3, :3]
    points = _moved(each.to_patient, index.T)
    centre = points.mean(axis=0)
    slopes = np.concatenate([by_mm, np.cross(points - centre, by_mm)], axis=1)
    return _Surface(points, bone[tuple(index)], slopes, centre)


def _moved(affine: FloatArray, points: NDArray[Any]) -> FloatArray:
    """Points (n, 3) under an affine."""
    moved: FloatArray = points @ affine[:3, :3].T + affine[:3, 3]
    return moved


def _fitted(surface: _Surface, other: Segmented) -> Motion | None:
    """The other plane's motion to the surface; None where it doesn't reach it."""
    bone, to_index = _share_of_bone(other), np.linalg.inv(other.to_patient)
    first, last = other.used_slices
    back: FloatArray = np.eye(4)  # LPS of the surface -> LPS of the other plane
    for _ in range(_MOST_STEPS):
        index = _moved(to_index @ back, surface.points)
        inside = np.all((index >= (first, 0, 0)) & (index <= (last, bone.shape[1] - 1, bone.shape[2] - 1)), axis=1)
        if np.count_nonzero(inside) < _FEWEST_POINTS:
            return None
        slopes = surface.slopes[inside]
        error = ndimage.map_coordinates(bone, index[inside].T, order=1) - surface.shares[inside]
        step = np.linalg.lstsq(slopes.T @ slopes, slopes.T @ error)[0].astype(np.float64)
        back = back @ np.linalg.inv(rigid(step, surface.centre))
        if np.abs(step).max() < _SMALL_STEP:
            break
    motion: Motion = np.round(np.linalg.inv(back), _DIGITS)
    return motion


def _agreement(one: Segmented, other: Segmented, motion: Motion) -> float:
    """Dice of femur and tibia together in the planes where both look; 0 where they see none."""
    first, last = one.used_slices
    seen = np.indices((last - first + 1, *(size // _COARSE for size in one.labels.shape[1:]))).reshape(3, -1).T
    index = seen * (1, _COARSE, _COARSE) + (first, 0, 0)
    there = np.rint(_moved(np.linalg.inv(motion @ other.to_patient) @ one.to_patient, index)).astype(int)
    low, high = other.used_slices
    inside = np.all((there >= (low, 0, 0)) & (there <= (high, *np.subtract(other.labels.shape[1:], 1))), axis=1)
    a, b = _is_bone(one.labels[tuple(index[inside].T)]), _is_bone(other.labels[tuple(there[inside].T)])
    bones = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2 * int(np.count_nonzero(a & b)) / max(bones, 1)
