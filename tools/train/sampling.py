"""Training patches: windows of slices around what is rare, bent and recoloured, with their truth.

Most of a knee slice is fat, muscle and air, which are learnt from a few hundred of them. Windows around cartilages,
menisci and ligaments cost a third of a whole slice and hold most of what is hard.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.common.finding import Structure
from services.common.tensors import COLUMNS, PLANE_COUNT, ROWS, SLICES, STRUCTURE_COUNT
from services.common.volume import PLANES, Plane
from tools.train.contrast import Picture, clinical, degraded, mixed
from tools.train.dataset import Example, load
from tools.train.networks import SEGMENTATION_REACH

TIBIAL_CARTILAGES = [Structure.MEDIAL_TIBIAL_CARTILAGE, Structure.LATERAL_TIBIAL_CARTILAGE]
FEWEST_PIXELS = 12  # of a structure, for its slice to be drawn on its behalf
# windows that look as a scanner of one protocol makes them; the others may look like anything, and a network that sees
# nothing but those learns where an edge is only as well as the worst of them show it
CLINICAL_SHARE = 0.5
# how often a window is centred on a structure; background (0) stands for any place of any slice
_CENTRED_ON = np.tile([2.0, 0.6, 0.6, 0.9, 1.0, 1.0, 1.2, 1.2, 1.0, 1.3, 1.3, 1.2, 1.2, 1.0], (PLANE_COUNT, 1))
# what lies flat in the slices of a plane is hard to tell there and seen in two or three of them only
_CENTRED_ON[PLANES.index(Plane.AXIAL), TIBIAL_CARTILAGES] *= 2.5
_CENTRED_ON[PLANES.index(Plane.CORONAL), Structure.PATELLAR_CARTILAGE] *= 2.0


@dataclass(eq=False)
class Pool:
    """Examples opened so far, with the number of pixels of each structure in each slice."""

    examples: dict[Path, Example] = field(default_factory=dict)
    counts: dict[Path, NDArray[np.int64]] = field(default_factory=dict)

    def get(self, path: Path) -> tuple[Example, NDArray[np.int64]]:
        """The example of a file and its counts (3, 32, 14)."""
        if path not in self.examples:
            example = load(path)
            flat = example.labels.reshape(PLANE_COUNT * SLICES, -1)
            counts = [np.bincount(each, minlength=STRUCTURE_COUNT)[:STRUCTURE_COUNT] for each in flat]
            self.examples[path], self.counts[path] = example, np.reshape(counts, (PLANE_COUNT, SLICES, -1))
        return self.examples[path], self.counts[path]


@dataclass(frozen=True)
class Place:
    """A window: plane and slice of a study, and the pixel (row, column) that it is centred on."""

    plane: int
    slice_index: int
    row: int
    column: int


@dataclass(frozen=True)
class Bend:
    """Spread of the random deformation of a slice: radians, ratios, pixels of the model's grid."""

    turn: float = 0.12
    stretch: float = 0.1
    shift_pixels: float = 8.0
    wave_pixels: float = 4.0


class Patches(NamedTuple):
    """``images`` half (M,seen,S,S), ``position`` (M,3,S/2,S/2) in -1..1, ``plane`` (M,), ``labels`` uint8 (M,S,S)."""

    images: Tensor
    position: Tensor
    plane: Tensor
    labels: Tensor


def draw(
    pool: Pool, paths: Sequence[Path], rng: np.random.Generator, *, shape: tuple[int, int], anywhere: float = 0.0
) -> Patches:
    """Patches of a ``shape`` (count, pixels; 256: whole slices), a share of them ``anywhere`` and not at what is rare.

    What is sought is found too often: a network that saw nothing but windows around thin cartilage draws it too thick.
    """
    count, size = shape
    parts, planes = [], []
    for _ in range(count):
        example, counts = pool.get(paths[int(rng.integers(len(paths)))])
        place = choose_place(example, counts, rng, anywhere=anywhere)
        parts.append(_patch(example, place, rng, size))
        planes.append(place.plane)
    images, position, labels = (torch.from_numpy(np.stack(part)) for part in zip(*parts, strict=True))
    return Patches(images, position, torch.tensor(planes), labels)


def choose_place(
    example: Example, counts: NDArray[np.int64], rng: np.random.Generator, *, anywhere: float = 0.0
) -> Place:
    """A plane that is there, a structure by weight, a slice that shows it, one of its pixels; that often any place."""
    plane = int(rng.choice(np.flatnonzero(example.slice_mask.any(axis=1))))
    shown = counts[plane] >= FEWEST_PIXELS
    shown[:, 0] = example.slice_mask[plane] > 0
    weight = _CENTRED_ON[plane] * shown.any(axis=0)
    structure = 0 if rng.random() < anywhere else int(rng.choice(STRUCTURE_COUNT, p=weight / weight.sum()))
    slice_index = int(rng.choice(np.flatnonzero(shown[:, structure])))
    if structure == 0:
        return Place(plane, slice_index, int(rng.integers(ROWS)), int(rng.integers(COLUMNS)))
    pixels = np.flatnonzero(example.labels[plane, slice_index].ravel() == structure)
    row, column = divmod(int(rng.choice(pixels)), COLUMNS)
    return Place(plane, slice_index, row, column)


def _patch(
    example: Example, place: Place, rng: np.random.Generator, size: int
) -> tuple[NDArray[np.float16], Picture, NDArray[np.uint8]]:
    around = neighbourhood(place, SEGMENTATION_REACH)
    columns, rows, position = bent_window(place, rng, size)

    def warped(volume: NDArray[np.uint8], interpolation: int) -> NDArray[np.uint8]:
        slices = (volume[place.plane, index] for index in around)
        return np.stack([cv2.remap(each, columns, rows, interpolation) for each in slices])

    labels = warped(example.labels, cv2.INTER_NEAREST)
    imaged = warped(example.volumes, cv2.INTER_LINEAR)
    if rng.random() < CLINICAL_SHARE:
        picture = clinical(imaged, rng)
    else:
        picture = degraded(mixed(imaged, warped(example.recoloured, cv2.INTER_LINEAR), labels, rng), rng)
    return as_served(picture, example.slice_mask[place.plane, around]), position, labels[SEGMENTATION_REACH]


def neighbourhood(place: Place, reach: int) -> NDArray[np.intp]:
    """Indices of the slices that a network sees at a place, as the graph takes them: the ends of the grid repeated."""
    return np.clip(np.arange(place.slice_index - reach, place.slice_index + reach + 1), 0, SLICES - 1)


def as_served(picture: Picture, used: NDArray[np.uint8]) -> NDArray[np.float16]:
    """The picture (M, S, S) with black where the grid has no slice; half precision is a quarter of a grey level."""
    picture[used == 0] = -1
    return picture.astype(np.float16)


def bent_window(
    place: Place, rng: np.random.Generator, size: int, *, bend: Bend = Bend()
) -> tuple[Picture, Picture, Picture]:
    """Where each pixel of a window lies in the slice (columns, rows: (size, size)), and its position in the grid.

    The slice is turned, scaled, sheared, shifted and softly bent; the window lies around the place in what comes out.
    """
    turn = rng.normal(0, bend.turn)
    zoom, shear = np.exp(rng.normal(0, bend.stretch, 2)), rng.normal(0, bend.turn / 2)
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = linear @ np.array([[zoom[0], shear], [0, zoom[1]]])
    middle, shift = (ROWS - 1) / 2, rng.normal(0, bend.shift_pixels, 2)
    target = np.linalg.solve(linear, np.array([place.row, place.column]) - middle - shift) + middle
    room = max(ROWS - size, 0)
    corner = np.clip(np.rint(target + rng.normal(0, size / 6, 2) - size / 2), 0, room) if room else np.zeros(2)
    r, c = np.meshgrid(*(np.arange(size) + start - middle for start in corner), indexing="ij")
    rows = linear[0, 0] * r + linear[0, 1] * c + middle + shift[0]
    columns = linear[1, 0] * r + linear[1, 1] * c + middle + shift[1]
    if rng.random() < 0.6:
        waves = rng.normal(0, rng.uniform(0.2, 1) * bend.wave_pixels, (2, 6, 6)).astype(np.float32)
        rows, columns = (
            axis + cv2.resize(wave, (size, size), interpolation=cv2.INTER_CUBIC)
            for axis, wave in zip((rows, columns), waves, strict=True)
        )
    along_slices = (place.slice_index + rng.normal(0, 1.2)) * 2 / (SLICES - 1) - 1
    within = [(r[::2, ::2] + 0.5) / middle, (c[::2, ::2] + 0.5) / middle]
    position = np.stack([np.full((size // 2, size // 2), along_slices), *within]).astype(np.float32)
    return columns.astype(np.float32), rows.astype(np.float32), position
