"""What lies where: layers of tissue over a set of sample points, painted one over another.

The knee is evaluated directly at the points of a slice stack, not in a 3D grid first, so the finest structure is as
sharp as the pixel. A layer keeps how much of each point it covers; the same layers give any contrast and the labels.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.common.finding import LABELS, Structure
from tools.phantom.anatomy import Knee
from tools.phantom.shapes import Block, Field, Points, coverage
from tools.phantom.tissues import Tissue

Box = tuple[tuple[float, float, float], tuple[float, float, float]]
FAR_MM = np.float32(60)
_COARSE = 8


@dataclass(frozen=True, eq=False)
class Layer:
    """Tissue over one index block; ``amount`` 0..1 is the share of the point that it takes."""

    block: Block
    amount: Field
    tissue: Tissue
    structure: Structure | None
    finding: str | None


@dataclass(eq=False)
class Scene:
    """Layers under construction. Points are ``(sample, row, column)``: ``thickness_samples`` samples make a slice."""

    knee: Knee
    points: Points
    softness_mm: float
    thickness_samples: int
    layers: list[Layer] = field(default_factory=list)

    def block(self, box: Box, margin_mm: float = 6.0) -> Block:
        """The index block, whole slices, that holds every point of a box of knee coordinates (with a margin)."""
        p = self.points.crop((slice(None), slice(None, None, _COARSE), slice(None, None, _COARSE)))
        inside = np.ones(p.x.shape, dtype=bool)
        for axis, low, high in zip((p.x, p.y, p.z), box[0], box[1], strict=True):
            inside &= (axis > low - margin_mm) & (axis < high + margin_mm)
        return (
            _extent(np.logical_or.reduce(inside, axis=(1, 2)), self.points.x.shape[0], 1, self.thickness_samples),
            _extent(np.logical_or.reduce(inside, axis=(0, 2)), self.points.x.shape[1], _COARSE, 1),
            _extent(np.logical_or.reduce(inside, axis=(0, 1)), self.points.x.shape[2], _COARSE, 1),
        )

    def far(self) -> Field:
        """A distance field that is far from everything, to be filled block by block."""
        return np.full(self.points.x.shape, FAR_MM, dtype=np.float32)

    def paint(self, block: Block, distance: Field, tissue: Tissue, structure: Structure | None = None) -> None:
        """Cover the inside of a solid with a tissue, and with a structure's label where one is given."""
        self._add(block, coverage(distance, self.softness_mm), tissue, structure, None)

    def lesion(self, block: Block, distance: Field, tissue: Tissue, finding: str, strength: float = 1.0) -> None:
        """Cover the inside of a solid as part of a finding; the labels of the structures stay."""
        amount = coverage(distance, self.softness_mm) * np.float32(strength)
        self._add(block, amount, tissue, None, finding)

    def cloud(self, block: Block, amount: Field, tissue: Tissue, finding: str | None) -> None:
        """Mix a tissue in by a soft amount 0..1."""
        self._add(block, amount.astype(np.float32), tissue, None, finding)

    def _add(
        self, block: Block, amount: Field, tissue: Tissue, structure: Structure | None, finding: str | None
    ) -> None:
        if amount.size and float(amount.max()) > 0:
            self.layers.append(Layer(block, amount, tissue, structure, finding))


def _extent(inside: NDArray[np.bool_], size: int, step: int, whole: int) -> slice:
    """Slice around the true entries of a coarse axis, a coarse step wider, rounded out to multiples of ``whole``."""
    found = np.flatnonzero(inside)
    if not found.size:
        return slice(0, 0)
    first, last = max(found[0] * step - step, 0), min((found[-1] + 1) * step + step, size)
    return slice(int(first // whole * whole), int(min(-(-last // whole) * whole, size)))


def render(scene: Scene, signal: NDArray[np.float32]) -> Field:
    """Signal at every sample for the given signal of each ``Tissue``."""
    canvas = np.full(scene.points.x.shape, signal[Tissue.AIR], dtype=np.float32)
    for layer in scene.layers:
        view = canvas[layer.block]
        view += layer.amount * (signal[layer.tissue] - view)
    return canvas


def structures(scene: Scene) -> NDArray[np.uint8]:
    """Label ``(slice, row, column)``: the last structure that covers more than half of a voxel."""
    samples, rows, columns = scene.points.x.shape
    labels = np.zeros((samples // scene.thickness_samples, rows, columns), dtype=np.uint8)
    for layer in scene.layers:
        if layer.structure is not None:
            view = labels[_by_slice(scene, layer.block)]
            view[_mean(scene, layer.amount) > 0.5] = layer.structure
    return labels


def lesions(scene: Scene) -> NDArray[np.uint16]:
    """Bit ``i`` of a voxel ``(slice, row, column)`` is set where the finding ``LABELS[i]`` is drawn."""
    samples, rows, columns = scene.points.x.shape
    masks = np.zeros((samples // scene.thickness_samples, rows, columns), dtype=np.uint16)
    for layer in scene.layers:
        if layer.finding is not None:
            view = masks[_by_slice(scene, layer.block)]
            view[_mean(scene, layer.amount) > 0.25] |= np.uint16(1 << LABELS.index(layer.finding))
    return masks


def _by_slice(scene: Scene, block: Block) -> Block:
    count = scene.thickness_samples
    return slice(block[0].start // count, block[0].stop // count), block[1], block[2]


def _mean(scene: Scene, amount: Field) -> Field:
    mean: Field = amount.reshape(-1, scene.thickness_samples, *amount.shape[1:]).mean(axis=1)
    return mean
