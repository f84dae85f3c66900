"""What is measured on a knee: cartilage volume and thickness, meniscal extrusion, effusion volume.

Everything is measured on the label map on the source series' own grid, in the plane that cuts the structure best.

- *volume*: voxels of the structure.
- *thickness*: volume over the area of bone that the cartilage covers, so bare bone does not count. Slices that cut the
  surface at a slant make it look thicker.
- *extrusion*: how far the meniscus reaches beyond the outer edge of the tibia below it, osteophytes included, on
  coronal slices; the middle one of the slices through the meniscus' middle third.

The uncertainty is what the value would change by if every drawn edge lay half a pixel of the model further out
(``BOUNDARY_MM``), combined in quadrature with half the spread between planes where a second plane shows the structure.
It says nothing about a structure that the model mistook for another.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from services.common.finding import Structure
from services.common.morphometry import contact_area_mm2, outline_area_mm2, overhang_mm, rows_seen, volume_mm3
from services.common.reference_ranges import REFERENCE_RANGES, ReferenceRange
from services.common.transforms import PIXEL_MM
from services.common.volume import Plane, Volume

BOUNDARY_MM = PIXEL_MM / 2
MIN_VOLUME_ML = 0.05  # less is noise of the model, not a structure
MIN_CONTACT_MM2 = 50.0
_PLATEAU_MM = 10.0  # of tibia below the meniscus, whose outer edge counts
_MM3_PER_ML = 1000.0

# the bone that a cartilage lies on, and the planes that show it, the best first
_CARTILAGES: dict[Structure, tuple[Structure, tuple[Plane, ...]]] = {
    Structure.FEMORAL_CARTILAGE: (Structure.FEMUR, (Plane.SAGITTAL, Plane.CORONAL)),
    Structure.MEDIAL_TIBIAL_CARTILAGE: (Structure.TIBIA, (Plane.SAGITTAL, Plane.CORONAL)),
    Structure.LATERAL_TIBIAL_CARTILAGE: (Structure.TIBIA, (Plane.SAGITTAL, Plane.CORONAL)),
    Structure.PATELLAR_CARTILAGE: (Structure.PATELLA, (Plane.AXIAL, Plane.SAGITTAL)),
}
_MENISCI = (Structure.MEDIAL_MENISCUS, Structure.LATERAL_MENISCUS)
_EFFUSION_PLANES = (Plane.SAGITTAL, Plane.AXIAL)


class Quantity(StrEnum):
    """What is measured."""

    VOLUME = "volume"
    THICKNESS = "thickness"
    EXTRUSION = "extrusion"


class Normality(StrEnum):
    """A value against its reference range."""

    NORMAL = "normal"
    UNDETERMINED = "undetermined"
    ABNORMAL = "abnormal"


@dataclass(frozen=True)
class Measurement:
    """One value with its uncertainty, both in ``unit``; ``slice_index`` names the slice that shows it best."""

    quantity: Quantity
    structure: Structure
    value: float
    uncertainty: float
    plane: Plane
    slice_index: int

    @property
    def unit(self) -> str:
        """``ml`` or ``mm``."""
        return "ml" if self.quantity is Quantity.VOLUME else "mm"

    @property
    def key(self) -> str:
        """Name in tables."""
        return f"{self.structure.name.lower()}_{self.quantity}"

    @property
    def reference(self) -> ReferenceRange | None:
        """What other knees measure, where somebody has published it."""
        return REFERENCE_RANGES.get(self.key)

    @property
    def normality(self) -> Normality | None:
        """Abnormal only where the value lies beyond its range by more than its uncertainty; None without a range."""
        if self.reference is None:
            return None
        beyond = self.reference.beyond(self.value)
        if beyond <= 0:
            return Normality.NORMAL
        return Normality.ABNORMAL if beyond > self.uncertainty else Normality.UNDETERMINED


@dataclass(frozen=True)
class _Seen:
    """A value as one plane shows it."""

    value: float
    edge: float  # its change with every edge half a model pixel further out
    slice_index: int


def measure(labels: Mapping[Plane, Volume]) -> tuple[Measurement, ...]:
    """All measurements that the label maps at hand allow, in a fixed order."""
    upright = {plane: _Labels.of(_upright(volume)) for plane, volume in labels.items()}
    return tuple(_measurements(upright))


def _upright(volume: Volume) -> Volume:
    """The same voxels with rows from head to foot, where the slices are not axial."""
    to_head = volume.affine[2, :3] / volume.spacing_mm
    if np.argmax(np.abs(to_head)) == 0:
        return volume
    order = [0, 1, 2] if abs(to_head[1]) > abs(to_head[2]) else [0, 2, 1]
    voxels, affine = np.transpose(volume.voxels, order), volume.affine[:, [*order, 3]]
    return Volume(voxels if affine[2, 1] < 0 else voxels[:, ::-1], affine)  # spacing is all that is read of it


def _measurements(labels: Mapping[Plane, "_Labels"]) -> Iterator[Measurement]:
    for structure, (bone, planes) in _CARTILAGES.items():
        seen = {plane: _cartilage(labels[plane], structure, bone) for plane in planes if plane in labels}
        for quantity in (Quantity.VOLUME, Quantity.THICKNESS):
            yield from _combined(quantity, structure, {plane: each.get(quantity) for plane, each in seen.items()})
    for structure in _MENISCI:
        coronal = {plane: _extrusion(labels[plane], structure) for plane in (Plane.CORONAL,) if plane in labels}
        yield from _combined(Quantity.EXTRUSION, structure, coronal)
    fluid = {
        plane: _volume(labels[plane].around(Structure.EFFUSION), Structure.EFFUSION)
        for plane in _EFFUSION_PLANES
        if plane in labels
    }
    yield from _combined(Quantity.VOLUME, Structure.EFFUSION, fluid)


def _combined(
    quantity: Quantity, structure: Structure, by_plane: Mapping[Plane, _Seen | None]
) -> Iterator[Measurement]:
    seen = {plane: each for plane, each in by_plane.items() if each is not None}
    if not seen:
        return
    plane, best = next(iter(seen.items()))
    values = [each.value for each in seen.values()]
    uncertainty = float(np.hypot(best.edge, (max(values) - min(values)) / 2))
    yield Measurement(quantity, structure, best.value, uncertainty, plane, best.slice_index)


@dataclass(frozen=True, eq=False)
class _Labels:
    """A label map, where its structures lie, and how many slices were cut off before its first."""

    voxels: NDArray[np.uint8]
    seen: NDArray[np.uint16]
    spacing_mm: NDArray[np.float64]
    first: int = 0

    @classmethod
    def of(cls, volume: Volume) -> "_Labels":
        voxels = np.asarray(volume.voxels, dtype=np.uint8)
        return cls(voxels, rows_seen(voxels), volume.spacing_mm)

    def around(self, structure: Structure) -> "_Labels":
        """The box of one structure, with one row and column of its neighbours on each side."""
        seen = (self.seen >> np.uint16(structure)) & 1
        slices, rows = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        if not slices.size:
            return _Labels(self.voxels[:0], self.seen[:0], self.spacing_mm)
        box = slice(slices[0], slices[-1] + 1), slice(max(rows[0] - 1, 0), rows[-1] + 2)
        found = np.bitwise_or.reduce((self.voxels[box] == structure).view(np.uint8), axis=(0, 1))
        columns = np.flatnonzero(found)
        near = self.voxels[box][:, :, max(columns[0] - 1, 0) : columns[-1] + 2]
        return _Labels(near, self.seen[box], self.spacing_mm, self.first + int(slices[0]))


def _volume(part: _Labels, structure: Structure) -> _Seen | None:
    """Volume of what is in the structure's own box."""
    mask = part.voxels == structure
    value = volume_mm3(mask, part.spacing_mm) / _MM3_PER_ML
    if value < MIN_VOLUME_ML:
        return None
    edge = outline_area_mm2(mask, part.spacing_mm) * BOUNDARY_MM / _MM3_PER_ML
    return _Seen(value, edge, part.first + int(np.argmax(mask.sum(axis=(1, 2)))))


def _cartilage(labels: _Labels, structure: Structure, bone: Structure) -> dict[Quantity, _Seen]:
    part = labels.around(structure)
    volume = _volume(part, structure)
    if volume is None:
        return {}
    covered = contact_area_mm2(part.voxels == structure, part.voxels == bone, part.spacing_mm)
    if covered < MIN_CONTACT_MM2:
        return {Quantity.VOLUME: volume}
    per_area = _MM3_PER_ML / covered
    thickness = _Seen(volume.value * per_area, volume.edge * per_area, volume.slice_index)
    return {Quantity.VOLUME: volume, Quantity.THICKNESS: thickness}


def _extrusion(labels: _Labels, structure: Structure) -> _Seen | None:
    """The median over the middle third of the slices through the meniscus."""
    meniscus = labels.around(structure)
    if volume_mm3(meniscus.voxels == structure, meniscus.spacing_mm) / _MM3_PER_ML < MIN_VOLUME_ML:
        return None
    first, count = meniscus.first - labels.first, len(meniscus.voxels)
    third = count // 3
    found = []
    for index in range(first + third, first + count - third):
        value = _slice_extrusion(labels.voxels[index], structure, labels.spacing_mm)
        if value is not None:
            found.append((value, index))
    if not found:
        return None
    value, index = sorted(found)[len(found) // 2]
    return _Seen(value, 2 * BOUNDARY_MM, labels.first + index)


def _slice_extrusion(
    labels: NDArray[np.generic], structure: Structure, spacing_mm: NDArray[np.float64]
) -> float | None:
    """One coronal slice: beyond the tibia's outer edge from the lowest row of the meniscus downwards."""
    meniscus = labels == structure
    rows = np.flatnonzero(meniscus.any(axis=1))
    if not rows.size:
        return None
    deepest = int(rows[-1]) + round(_PLATEAU_MM / float(spacing_mm[1]))
    tibia = (labels == Structure.TIBIA)[rows[0] : deepest + 1]
    return overhang_mm(tibia, meniscus, float(spacing_mm[2]))
