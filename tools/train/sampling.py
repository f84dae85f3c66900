"""Batches of slices for both trainings, with the augmentation that makes contrast and placement unimportant."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from services.common.tensors import COLUMNS, PLANE_COUNT, ROWS
from services.common.transforms import joint_region
from tools.train.dataset import Example, load

_CACHE_LIMIT = 500  # 20 MB each


@dataclass(eq=False)
class Pool:
    """Examples read so far; the most that memory should hold are kept."""

    cache: dict[Path, Example]

    def get(self, path: Path) -> Example:
        """The example of a file, from memory where it was read before."""
        if path not in self.cache:
            if len(self.cache) >= _CACHE_LIMIT:
                self.cache.pop(next(iter(self.cache)))
            self.cache[path] = load(path)
        return self.cache[path]


@dataclass(frozen=True, eq=False)
class SliceBatch:
    """Slices with their truth.

    ``images`` (M,3,256,256) in 0..1: previous, own, next slice; ``labels`` (M,256,256); ``lesions`` (M,12,32,32);
    ``plane`` (M,); ``region`` (M,4) in pixels.
    """

    images: Tensor
    labels: Tensor
    lesions: Tensor
    plane: Tensor
    region: Tensor


def draw(pool: Pool, paths: Sequence[Path], rng: np.random.Generator, *, size: int, recoloured: float) -> SliceBatch:
    """A batch of single slices; a share ``recoloured`` of them in randomised contrast."""
    images, labels, lesions, planes, regions = [], [], [], [], []
    for _ in range(size):
        example = pool.get(paths[int(rng.integers(len(paths)))])
        plane = int(rng.integers(PLANE_COUNT))
        volume = (example.recoloured if rng.random() < recoloured else example.volumes)[plane]
        used = np.flatnonzero(example.slice_mask[plane])
        index = int(rng.choice(used))
        images.append(volume[np.clip([index - 1, index, index + 1], used[0], used[-1])])
        labels.append(example.labels[plane, index])
        lesions.append(example.lesions[plane, index])
        planes.append(plane)
        regions.append(jittered(joint_region(example.labels[plane]), rng))
    return SliceBatch(
        torch.from_numpy(np.stack(images)).float() / 255,
        torch.from_numpy(np.stack(labels)).long(),
        torch.from_numpy(np.stack(lesions)).float() / 255,
        torch.tensor(planes),
        torch.from_numpy(np.stack(regions)),
    )


def jittered(region: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """The box as an imperfect segmentation would give it, one time in four not at all."""
    if rng.random() < 0.25 or not region.any():
        return np.zeros(4, dtype=np.float32)
    return np.clip(region + rng.normal(0, 6, 4), 0, ROWS - 1).astype(np.float32)


def move(batch: SliceBatch, rng: np.random.Generator) -> SliceBatch:
    """Turn, scale and shift each slice with its labels by a random affine."""
    size = batch.images.shape[0]
    turn, zoom = rng.normal(0, 0.12, size), np.exp(rng.normal(0, 0.12, size))
    cosine, sine = np.cos(turn) * zoom, np.sin(turn) * zoom
    shift = rng.normal(0, 0.08, (2, size))
    theta = np.stack([np.stack([cosine, -sine, shift[0]], 1), np.stack([sine, cosine, shift[1]], 1)], 1)
    grid = functional.affine_grid(torch.from_numpy(theta).float(), [size, 1, ROWS, COLUMNS], align_corners=False)
    images = functional.grid_sample(batch.images, grid, align_corners=False)
    labels = functional.grid_sample(batch.labels[:, None].float(), grid, mode="nearest", align_corners=False)
    return SliceBatch(images, labels[:, 0].long(), batch.lesions, batch.plane, batch.region)


def recolour(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Gamma, gain, offset, blur and noise on images of 0..1, as the network's input range -1..3."""
    size = images.shape[0]

    def each(values: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(values).float()[:, None, None, None]

    x = images.clamp(min=1e-4) ** each(np.exp(rng.normal(0, 0.3, size)))
    if rng.random() < 0.3:
        low = functional.avg_pool2d(x, 2)
        x = functional.interpolate(low, scale_factor=2.0, mode="bilinear", align_corners=False)
    x = x * each(rng.uniform(0.75, 1.2, size)) + each(rng.normal(0, 0.03, size))
    x = x + torch.randn_like(x) * each(np.abs(rng.normal(0, 0.03, size)))
    return x.clamp(0, 1) * 4 - 1
