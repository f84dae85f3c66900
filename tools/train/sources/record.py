"""One study as a data set gives it, before it lies on the model's grid."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from services.common.finding import LABELS, Laterality
from services.common.volume import FloatArray, Plane, Volume, stack_affine

# row and column cosines of a stack as it is usually shown: head up, front to the left, right side to the left
_COSINES: dict[Plane, tuple[float, ...]] = {
    Plane.SAGITTAL: (0, 1, 0, 0, 0, -1),
    Plane.CORONAL: (1, 0, 0, 0, 0, -1),
    Plane.AXIAL: (1, 0, 0, 0, 1, 0),
}
_ALONG: dict[Plane, tuple[float, float, float]] = {
    Plane.SAGITTAL: (1, 0, 0),
    Plane.CORONAL: (0, 1, 0),
    Plane.AXIAL: (0, 0, 1),
}
AXIS_ORDERS = ((0, 1, 2), (1, 0, 2), (2, 0, 1))  # each axis once as the one along which slices are counted


@dataclass(frozen=True, eq=False)
class Series:
    """One stack of slices; all arrays are ``(slice, row, column)``.

    ``structures`` uint8 as ``tools.train.partial`` defines them, None where nothing is drawn; ``lesions`` uint16, bit i
    is ``LABELS[i]``; ``second`` is the same place in another contrast.
    """

    image: Volume
    structures: NDArray[np.uint8] | None = None
    lesions: NDArray[np.uint16] | None = None
    second: NDArray[np.generic] | None = None

    def turned(self, order: tuple[int, int, int]) -> "Series":
        """The same voxels with another axis along the slices: a 3D scan seen in another plane."""
        affine = self.image.affine.copy()
        affine[:3, :3] = affine[:3, list(order)]
        arrays = {name: getattr(self, name) for name in ("structures", "lesions", "second")}
        turned = {name: array if array is None else np.transpose(array, order) for name, array in arrays.items()}
        return replace(self, image=Volume(np.transpose(self.image.voxels, order), affine), **turned)


@dataclass(frozen=True, eq=False)
class Record:
    """A study: at most one series a plane, and what is known of the findings; a label left out is unknown."""

    series: tuple[Series, ...]
    findings: Mapping[str, bool]
    laterality: Laterality = Laterality.UNKNOWN


@dataclass(frozen=True, eq=False)
class Study:
    """A study that can be read. ``key`` names it within its data set, ``person`` whose knee it is, where that is said.

    ``held_out`` None leaves the choice to chance; the studies of one person stay together.
    """

    key: str
    read: Callable[[], Record]
    held_out: bool | None = None
    person: str = ""


def in_three_planes(series: Series) -> tuple[Series, ...]:
    """A 3D scan, seen in each plane."""
    return tuple(series.turned(order) for order in AXIS_ORDERS)


def usual_affine(plane: Plane, slices: int, spacing_mm: tuple[float, float, float]) -> FloatArray:
    """Affine of a stack whose file says nothing of its place: axes along the patient, slices in the model's order."""
    reach = spacing_mm[0] * (slices - 1) / 2
    first, last = ([sign * reach * axis for axis in _ALONG[plane]] for sign in (-1, 1))
    return stack_affine(_COSINES[plane], spacing_mm[1:], first_position=first, last_position=last, slices=slices)


def bit_of(label: str) -> np.uint16:
    """The bit of a finding in a lesion mask."""
    return np.uint16(1 << LABELS.index(label))
