"""Training patches for the evidence of findings: windows around lesions, and as many without any.

A meniscal tear is a hundredth of a slice. Drawn at random, most steps would show none; here each finding gets its turn,
and the rest of the window and of the batch are its negatives, with the mimics that every phantom has.
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

from services.common.finding import LABELS, Structure
from services.common.tensors import CLASS_MAP_COLUMNS, COLUMNS, LABEL_COUNT, ROWS
from tools.train.contrast import Picture, clinical, degraded, mixed
from tools.train.dataset import Example, load
from tools.train.networks import CLASSIFICATION_REACH
from tools.train.partial import located
from tools.train.sampling import Bend, Place, as_served, bent_window, neighbourhood

CELL = ROWS // CLASS_MAP_COLUMNS
SHOWN = 0.1  # share of a cell that a lesion covers, for the cell to count as positive
_SMALL = (LABELS.index("Medial Meniscus"), LABELS.index("Lateral Meniscus"))  # a hundredth of a slice, mostly missed
_CALM = Bend(turn=0.05, stretch=0.05, shift_pixels=6.0, wave_pixels=1.0)


@dataclass(eq=False)
class Pool:
    """Examples opened so far, with how many cells of each slice show each finding."""

    examples: dict[Path, Example] = field(default_factory=dict)
    cells: dict[Path, NDArray[np.int64]] = field(default_factory=dict)
    known: dict[Path, NDArray[np.float32]] = field(default_factory=dict)

    def get(self, path: Path) -> Example:
        """The example of a file; then ``cells`` (3, 32, 12) and ``known`` (12,) hold its path."""
        if path not in self.examples:
            example = load(path)
            self.examples[path] = example
            self.cells[path] = np.count_nonzero(example.lesions > SHOWN * 255, axis=(3, 4))
            self.known[path] = located(example.findings, example.lesions).astype(np.float32)
        return self.examples[path]


class LesionPatches(NamedTuple):
    """``images`` half (M,4,S,S): slices and the region; ``position`` (M,3,S/2,S/2); ``plane`` (M,); ``truth``.

    ``truth`` (M,12,S/8,S/8) is 1 where a cell shows a finding; ``known`` (M,12) is 0 for findings of which the study
    does not say whether or where they are.
    """

    images: Tensor
    position: Tensor
    plane: Tensor
    truth: Tensor
    known: Tensor


def draw(pool: Pool, paths: Sequence[Path], rng: np.random.Generator, *, shape: tuple[int, int]) -> LesionPatches:
    """Patches of a ``shape`` (count, pixels; 256: whole slices)."""
    count, size = shape
    parts, planes, known = [], [], []
    for _ in range(count):
        path = paths[int(rng.integers(len(paths)))]
        example = pool.get(path)
        place = choose_place(example, pool.cells[path], rng)
        region = jittered(example.region[place.plane], rng)
        parts.append(_patch(example, place, region, rng=rng, size=size))
        planes.append(place.plane)
        known.append(pool.known[path])
    images, position, truth = (torch.from_numpy(np.stack(part)) for part in zip(*parts, strict=True))
    return LesionPatches(images, position, torch.tensor(planes), truth, torch.from_numpy(np.stack(known)))


def choose_place(example: Example, cells: NDArray[np.int64], rng: np.random.Generator) -> Place:
    """Six times in ten a finding of the study, two in ten a meniscus, torn or not; else anywhere."""
    plane = int(rng.choice(np.flatnonzero(example.slice_mask.any(axis=1))))
    shown = np.flatnonzero(cells[plane].any(axis=0))
    kind = rng.random()
    if kind < 0.2 and (place := _meniscus(example, plane, rng)):
        return place
    if shown.size == 0 or kind < 0.4:
        used = np.flatnonzero(example.slice_mask[plane])
        row, column = rng.integers(ROWS // 5, ROWS * 4 // 5, 2)
        return Place(plane, int(rng.choice(used)), int(row), int(column))
    weight = np.where(np.isin(shown, _SMALL), 3.0, 1.0)
    label = int(rng.choice(shown, p=weight / weight.sum()))
    slice_index = int(rng.choice(np.flatnonzero(cells[plane, :, label])))
    there = np.flatnonzero(example.lesions[plane, slice_index, label].ravel() > SHOWN * 255)
    row, column = divmod(int(rng.choice(there)), CLASS_MAP_COLUMNS)
    return Place(plane, slice_index, row * CELL + CELL // 2, column * CELL + CELL // 2)


def _meniscus(example: Example, plane: int, rng: np.random.Generator) -> Place | None:
    """A pixel of a meniscus: most are sound, and their mimics are what a tear is mistaken for."""
    structure = rng.choice((Structure.MEDIAL_MENISCUS, Structure.LATERAL_MENISCUS))
    pixels = np.flatnonzero(example.labels[plane].ravel() == structure)
    if pixels.size == 0:
        return None
    slice_index, rest = divmod(int(rng.choice(pixels)), ROWS * COLUMNS)
    return Place(plane, slice_index, *divmod(rest, COLUMNS))


def jittered(region: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """The box as an imperfect segmentation would give it, one time in four not at all."""
    if rng.random() < 0.25 or not region.any():
        return np.zeros(4, dtype=np.float32)
    return np.clip(region + rng.normal(0, 6, 4), 0, ROWS - 1).astype(np.float32)


def _patch(
    example: Example, place: Place, region: NDArray[np.float32], *, rng: np.random.Generator, size: int
) -> tuple[NDArray[np.float16], Picture, Picture]:
    around = neighbourhood(place, CLASSIFICATION_REACH)
    columns, rows, position = bent_window(place, rng, size, bend=_CALM)

    def warped(volume: NDArray[np.uint8]) -> NDArray[np.uint8]:
        slices = (volume[place.plane, index] for index in around)
        return np.stack([cv2.remap(each, columns, rows, cv2.INTER_LINEAR) for each in slices])

    if rng.random() < 0.8:
        picture = clinical(warped(example.volumes), rng)
    else:
        own = warped(example.volumes)
        picture = degraded(mixed(own, warped(example.recoloured), np.zeros_like(own), rng), rng)
    box = (rows >= region[0]) & (rows <= region[2]) & (columns >= region[1]) & (columns <= region[3])
    box = box if region.any() else np.ones((size, size), dtype=bool)
    to_cell = [(axis[CELL // 2 :: CELL, CELL // 2 :: CELL] - (CELL - 1) / 2) / CELL for axis in (columns, rows)]
    cells = example.lesions[place.plane, place.slice_index]
    share = [cv2.remap(cells[i], to_cell[0], to_cell[1], cv2.INTER_LINEAR) for i in range(LABEL_COUNT)]
    seen = as_served(picture, example.slice_mask[place.plane, around])
    images = np.concatenate([seen, box[None].astype(np.float16)])
    return images, position, (np.stack(share) > SHOWN * 255).astype(np.float32)
