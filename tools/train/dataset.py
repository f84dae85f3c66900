"""Training data: phantom studies on the model's grid, made once and kept as ``.npz``.

The grid comes from ``services.common.transforms``, the same code that serves, so training and serving can't drift
apart. ``python -m tools.train.dataset --count 300`` fills ``build/train/data``; more processes may run beside it with
another ``--first``.
"""

import argparse
import os
import struct
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from services.common.finding import LABELS, Laterality
from services.common.tensors import CLASS_MAP_COLUMNS, CLASS_MAP_ROWS, GRID, SLICES
from services.common.transforms import ModelGrid, joint_region, model_grid, to_model_grid, window_to_uint8
from services.common.volume import PLANES, Plane, Volume
from tools.phantom.acquire import THICKNESS_SAMPLES, degrade, lay_out, patient_position
from tools.phantom.anatomy import Knee, knee, stream
from tools.phantom.protocol import PD_FS, SEQUENCES, T2_FS, Protocol, stack, vary
from tools.phantom.scene import Scene, lesions, render, structures
from tools.phantom.shapes import Field
from tools.phantom.tissues import Tissue, signals

DATA = Path("build/train/data")
TRAINING_SEED, VALIDATION_SEED, LABELMAP_SEED = 1_000_000, 2_000_000, 3_000_000
MATRIX = 256


@dataclass(frozen=True, eq=False)
class Example:
    """One study on the model grid.

    ``volumes`` and ``recoloured`` (3,32,256,256) uint8: the clinical contrast and a strongly randomised one;
    ``slice_mask`` (3,32), all 0 for a plane that is missing; ``labels`` (3,32,256,256) of ``Structure``, or what
    ``partial`` says of voxels without a label; ``lesions`` (3,32,12,32,32) uint8, the share of each class map cell that
    a finding covers, in 255ths; ``findings`` (12,) 0, 1 or ``partial.UNKNOWN``; ``region`` (3,4) float32, the box of
    the joint in each plane as ``transforms.joint_region`` gives it.
    """

    volumes: NDArray[np.uint8]
    recoloured: NDArray[np.uint8]
    slice_mask: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    lesions: NDArray[np.uint8]
    findings: NDArray[np.uint8]
    region: NDArray[np.float32]


def draw_findings(seed: int) -> frozenset[str]:
    """The findings of a seed: one knee in ten is healthy, else each finding is there one time in three."""
    rng = stream(seed, "findings")
    healthy, chance = rng.random() < 0.1, rng.random(len(LABELS))
    return (
        frozenset() if healthy else frozenset(name for name, value in zip(LABELS, chance, strict=True) if value < 0.33)
    )


def make(seed: int) -> Example:
    """The training example of a seed."""
    one = knee(seed, draw_findings(seed))
    planes = [_plane(one, plane) for plane in PLANES]
    volumes, recoloured, mask, labels, cells = (np.stack([plane[i] for plane in planes]) for i in range(5))
    findings = np.array([name in one.findings for name in LABELS], dtype=np.uint8)
    return Example(volumes, recoloured, mask, labels, cells, findings, regions(labels))


def regions(labels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The joint's box in each plane (3, 4) of labels (3, 32, 256, 256)."""
    return np.stack([joint_region(plane) for plane in labels])


def _plane(one: Knee, plane: Plane) -> tuple[NDArray[np.uint8], ...]:
    rng = one.stream(f"series {plane}")
    sequence = T2_FS if rng.random() < 0.2 else PD_FS
    protocol = vary(Protocol(plane, sequence, matrix=MATRIX), rng)
    affine = stack(protocol, rng)
    scene = lay_out(one, protocol, affine)
    affine[:3, 3] += patient_position(one)
    clinical = signals(protocol.sequence)
    image = _scan(scene, clinical, clinical[Tissue.MUSCLE] / protocol.muscle_snr, rng)
    grid = model_grid(Volume(image, affine), mirrored=one.laterality is Laterality.LEFT)
    random = colours(rng)
    other = _scan(scene, random, float(np.median(random)) / rng.uniform(8, 28), rng)
    bits = nearest(lesions(scene), grid)
    return (
        to_model_grid(window_to_uint8(image), grid),
        to_model_grid(window_to_uint8(other), grid),
        grid.slice_mask,
        nearest(structures(scene), grid).astype(np.uint8),
        cells(bits),
    )


def _scan(scene: Scene, signal: NDArray[np.float32], noise: float, rng: np.random.Generator) -> NDArray[np.uint16]:
    ideal = render(scene, signal)
    return degrade(ideal.reshape(-1, THICKNESS_SAMPLES, *ideal.shape[1:]).mean(axis=1), float(noise), rng)


def colours(rng: np.random.Generator) -> Field:
    """Signals of another clinical contrast, or wholly random ones with alike bones and a dark cortex as a rule."""
    if rng.random() < 0.5:
        name = str(rng.choice(list(SEQUENCES)))
        return signals(SEQUENCES[name]) * rng.uniform(0.8, 1.25, len(Tissue)).astype(np.float32)
    signal = rng.uniform(0.05, 1, len(Tissue)).astype(np.float32)
    signal[Tissue.AIR] = 0.0
    if rng.random() < 0.85:
        signal[Tissue.CORTEX] = rng.uniform(0, 0.08)
    signal[Tissue.RED_MARROW] = signal[Tissue.MARROW] * rng.uniform(0.75, 1.3)
    signal[Tissue.SCLEROSIS] = signal[Tissue.MARROW] * rng.uniform(0.5, 1)
    return signal


def nearest(voxels: NDArray[np.generic], grid: ModelGrid) -> NDArray[np.generic]:
    """Source labels on the model's grid by nearest neighbour, zero outside."""
    stacked = np.transpose(voxels, grid.source_axes)
    indices, inside = [], []
    for axis, count in enumerate(GRID):
        scale, offset = grid.along(axis)
        index = np.rint(scale * np.arange(count) + offset).astype(int)
        inside.append((index >= 0) & (index < stacked.shape[axis]))
        indices.append(np.clip(index, 0, stacked.shape[axis] - 1))
    within = inside[0][:, None, None] & inside[1][None, :, None] & inside[2][None, None, :]
    return np.where(within, stacked[np.ix_(*indices)], 0).astype(voxels.dtype)


def cells(bits: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Share of each class map cell with a bit set: ``(32, 12, 32, 32)`` uint8 in 255ths."""
    step = GRID[1] // CLASS_MAP_ROWS
    tiles = bits.reshape(SLICES, CLASS_MAP_ROWS, step, CLASS_MAP_COLUMNS, step)
    shares = [((tiles >> i) & 1).mean(axis=(2, 4)) for i in range(len(LABELS))]  # type: ignore[operator]
    return np.rint(np.stack(shares, axis=1) * 255).astype(np.uint8)


def save(path: Path, example: Example) -> None:
    """Write whole or not at all, so that a stopped run leaves no half file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.npz")
    np.savez(part, **vars(example))  # compressed, reading them back would cost more than training on them
    part.rename(path)


def load(path: Path) -> Example:
    """One example, mapped from its file: only the slices that are looked at are ever read."""
    with zipfile.ZipFile(path) as archive:
        members = {Path(each.filename).stem: each.header_offset for each in archive.infolist()}
    return Example(**{name: _mapped(path, members[name]) for name in Example.__dataclass_fields__})


def _mapped(path: Path, header_offset: int) -> NDArray[Any]:
    """A stored member of a zip file as an array on disk; writes to it stay in memory."""
    with path.open("rb") as file:
        file.seek(header_offset + 26)
        name_length, extra_length = struct.unpack("<HH", file.read(4))
        file.seek(name_length + extra_length, os.SEEK_CUR)
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        return np.memmap(path, dtype, mode="c", offset=file.tell(), shape=shape)


def paths(first_seed: int, data: Path = DATA) -> Iterator[Path]:
    """Files that exist, training (``TRAINING_SEED``) or validation (``VALIDATION_SEED``), in order of the seed."""
    whole = (path for path in sorted(data.glob("[0-9]*.npz")) if path.stem.isdigit())
    return (path for path in whole if first_seed <= int(path.stem) < first_seed + VALIDATION_SEED - TRAINING_SEED)


def require(paths: Sequence[Path], purpose: str, command: str) -> None:
    """End the program where there is no study to go on with, and say which command makes some."""
    if not paths:
        message = f"no study to {purpose}: python -m tools.train.{command} makes some"
        raise SystemExit(message)


def main() -> None:
    """Make the examples of consecutive seeds that are not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=TRAINING_SEED)
    parser.add_argument("--count", type=int, default=300)
    options = parser.parse_args()
    for seed in track(range(options.first, options.first + options.count), description="phantom studies"):
        path = DATA / f"{seed:07d}.npz"
        if not path.exists():
            save(path, make(seed))


if __name__ == "__main__":
    main()
