"""The one recipe from a scanner's volume to a model's input and back; training and serving both use it.

Model space is fixed: ``(32 slices, 256 rows, 256 columns)``, a square of ``FIELD_OF_VIEW_MM`` around the image centre,
axes in one direction per plane, and a left knee mirrored so that the lateral side is always on the patient's right:

    sagittal   slices lateral -> medial    rows head -> foot        columns front -> back
    coronal    slices front -> back        rows head -> foot        columns lateral -> medial
    axial      slices foot -> head         rows front -> back       columns lateral -> medial

Slices are never invented: up to 32 keep their own place (the rest is padding, marked in the mask), of up to 48 the 32
nearest ones are taken, and more are averaged in equal slabs. Where each slice counts, ``ModelGrid.passes`` lays several
grids side by side, and ``woven`` is all of them as one. Everything is one affine, model index -> source index, held by
``ModelGrid``; ``to_model_grid`` and ``to_source_grid`` are the pair that uses it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from services.common.finding import Structure
from services.common.tensors import COLUMNS, GRID, ROWS, SLICES
from services.common.volume import FloatArray, Plane, Volume

FIELD_OF_VIEW_MM = 150.0
PIXEL_MM = FIELD_OF_VIEW_MM / COLUMNS
WINDOW_PERCENTILES = (1.0, 99.0)
AVERAGED_FROM = 1.5  # source slices a model slice; the mean of two slices of 3 mm is as blurred as one of 6 mm
MOST_PASSES = 5  # 160 slices, the usual 3D series of a knee

JOINT_STRUCTURES = tuple(range(Structure.FEMORAL_CARTILAGE, Structure.PCL + 1))
REGION_MARGIN_PIXELS = 16
_SCALED_BY_OPENCV = frozenset(map(np.dtype, (np.uint8, np.int16, np.uint16, np.float32)))
_COUNTED = frozenset(map(np.dtype, (np.uint8, np.int16, np.uint16)))
_JOINT_VOXELS_NEEDED = 200  # fewer are noise, not a joint

# LPS directions of (slice, row, column) in model space, for a right knee
_MODEL_AXES: dict[Plane, FloatArray] = {
    Plane.SAGITTAL: np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    Plane.CORONAL: np.array([[0.0, 1, 0], [0, 0, -1], [1, 0, 0]]),
    Plane.AXIAL: np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]]),
}


@dataclass(frozen=True, eq=False)
class ModelGrid:
    """Where model voxels lie in one source volume.

    ``affine`` maps a model index ``(slice, row, column, 1)`` to a source index; each model axis runs along exactly one
    source axis. ``slice_mask`` (slices,) is 1 where a model slice has a source. A model slice is the mean of the source
    slices that it spans where they are ``averaged``, else the nearest one.
    """

    plane: Plane
    source_shape: tuple[int, int, int]
    affine: FloatArray
    slice_mask: NDArray[np.uint8]
    averaged: bool

    @property
    def source_axes(self) -> tuple[int, int, int]:
        """The source axis that each of (slice, row, column) of the model runs along."""
        slice_axis, row_axis, column_axis = (int(axis) for axis in np.argmax(np.abs(self.affine[:3, :3]), axis=0))
        return slice_axis, row_axis, column_axis

    def along(self, model_axis: int) -> tuple[float, float]:
        """Scale and offset of ``source index = scale * model index + offset`` along one model axis."""
        source_axis = self.source_axes[model_axis]
        return float(self.affine[source_axis, model_axis]), float(self.affine[source_axis, 3])

    def source_slice(self, model_slice: int) -> int:
        """Index of the source slice under the middle of a model slice, clipped to the stack."""
        scale, offset = self.along(0)
        return int(np.clip(round(scale * model_slice + offset), 0, self.source_shape[0] - 1))

    def passes(self) -> tuple["ModelGrid", ...]:
        """Grids on which every source slice has its turn, as it is: this one, or ones moved by parts of a model slice.

        They keep the distance between slices that the models know. Beyond ``MOST_PASSES`` times 32 slices neighbours
        share a turn.
        """
        count = self._pass_count
        step, start = self.affine[:, 0], self.affine[:, 3]
        places = [start + step * ((number + 0.5) / count - 0.5) for number in range(count)]
        affines = [np.column_stack([self.affine[:, :3], place]) for place in places]
        return tuple(replace(self, affine=affine, averaged=False) for affine in affines)

    def woven(self) -> "ModelGrid":
        """One grid of all passes' slices in their order along the stack, ``(32 * passes, 256, 256)``; see ``weave``."""
        first, count = self.passes()[0], self._pass_count
        affine = np.column_stack([first.affine[:, 0] / count, first.affine[:, 1:]])
        return replace(first, affine=affine, slice_mask=np.repeat(self.slice_mask, count))

    @property
    def _pass_count(self) -> int:
        return min(-(-self.source_shape[0] // SLICES), MOST_PASSES)


def weave(maps: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Maps of the passes, ``(32, 256, 256)`` each, on the grid that ``ModelGrid.woven`` gives."""
    return np.stack(maps, axis=1).reshape(-1, *maps[0].shape[1:])


def window_to_uint8(voxels: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Scale the 1st-99th percentile of the volume to 0..255 and clip.

    Raises ``ValueError`` where the volume is constant or not finite, because no window exists.
    """
    low, high = _window(voxels[:, ::4, ::4])
    if not (np.isfinite(low) and np.isfinite(high) and high > low):
        message = "volume has no finite intensity range"
        raise ValueError(message)
    scale = 255.0 / (high - low)
    windowed = np.empty(voxels.shape, dtype=np.uint8)
    # convertScaleAbs mirrors what is below the window, so all of it is raised to the first value that becomes 0
    floor = np.ceil(low) if voxels.dtype.kind in "iu" else low
    if voxels.dtype not in _SCALED_BY_OPENCV or (floor - low) * scale > 0.5:
        voxels, floor = voxels.astype(np.float32), low
    raised = np.empty(voxels.shape[1:], dtype=voxels.dtype)
    for source, target in zip(voxels, windowed, strict=True):  # one slice stays in the processor's cache
        cv2.max(source, float(floor), raised)
        cv2.convertScaleAbs(raised, target, scale, -low * scale)
    return windowed


def model_grid(volume: Volume, *, mirrored: bool) -> ModelGrid:
    """Lay the model's grid over a volume; ``mirrored`` for a left knee.

    The in-plane centre of the model is the centre of the image, and the stack is centred in the 32 slices.
    """
    axes = _MODEL_AXES[volume.plane] * np.array([-1.0 if mirrored else 1.0, 1.0, 1.0])
    source_of_model, sign = _match_axes(volume.affine[:3, :3], axes)
    shape = (volume.voxels.shape[0], volume.voxels.shape[1], volume.voxels.shape[2])
    affine = np.eye(4)
    affine[:3, :3] = 0.0
    counts = (SLICES, ROWS, COLUMNS)
    for model_axis, source_axis in enumerate(source_of_model):
        size = shape[source_axis]
        step = max(size / SLICES, 1.0) if model_axis == 0 else PIXEL_MM / volume.spacing_mm[source_axis]
        affine[source_axis, model_axis] = sign[model_axis] * step
        affine[source_axis, 3] = (size - 1) / 2 - affine[source_axis, model_axis] * (counts[model_axis] - 1) / 2
    slice_mask = _slice_mask(shape[0])
    if shape[0] <= SLICES:
        # a short stack's slices meet model slices exactly, which centring would miss by half a slice when odd
        first = int(np.argmax(slice_mask))
        affine[0, 3] = -first if sign[0] > 0 else shape[0] - 1 + first
    return ModelGrid(volume.plane, shape, affine, slice_mask, averaged=shape[0] >= AVERAGED_FROM * SLICES)


def to_model_grid(voxels: NDArray[np.uint8], grid: ModelGrid) -> NDArray[np.uint8]:
    """Resample source voxels onto the model's grid: ``(32, 256, 256)`` uint8, zero outside the source.

    Rows and columns are box averages over one model pixel (linear interpolation where the model is finer than the
    source), slices as the grid says.
    """
    model = np.zeros(GRID, dtype=np.uint8)
    for model_slice, resampled in resampled_slices(voxels, grid):
        model[model_slice] = np.rint(resampled, out=resampled)  # weights sum to 1, so nothing leaves 0..255
    return model


def resampled_slices(voxels: NDArray[np.generic], grid: ModelGrid) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """What ``to_model_grid`` rounds: each used model slice's index with its pixels (256, 256)."""
    stacked = np.transpose(voxels, grid.source_axes)
    slices = _slice_weights(grid)
    by_row, by_column = (  # two or three weights of a row are not zero
        csr_array(_weights(*grid.along(axis), GRID[axis], stacked.shape[axis])) for axis in (1, 2)
    )
    source = np.empty(stacked.shape[1:], dtype=np.float32)
    for model_slice in np.flatnonzero(grid.slice_mask):
        _average(stacked, slices[model_slice], out=source)
        yield int(model_slice), cv2.transpose(by_column @ cv2.transpose(by_row @ source))


def to_source_grid(model: NDArray[np.uint8], grid: ModelGrid) -> NDArray[np.uint8]:
    """Bring a model label or saliency map ``(slices, 256, 256)`` back to the source's ``(slice, row, column)``.

    Nearest neighbour, zero where the model's field of view does not reach.
    """
    source = model
    for model_axis, size in enumerate(model.shape):
        place = np.rint(places(grid, model_axis)).astype(int)
        source = source.take(np.clip(place, 0, size - 1), axis=model_axis)
        np.moveaxis(source, model_axis, 0)[(place < 0) | (place >= size)] = 0
    return np.ascontiguousarray(np.transpose(source, np.argsort(grid.source_axes)))


def places(grid: ModelGrid, model_axis: int) -> FloatArray:
    """Where each source index lies along a model axis, in model indices."""
    scale, offset = grid.along(model_axis)
    return (np.arange(float(grid.source_shape[grid.source_axes[model_axis]])) - offset) / scale


def joint_region(labels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Box around cartilages, menisci and cruciates of a model label map ``(slices, 256, 256)``.

    Returns ``(row_min, column_min, row_max, column_max)`` in model pixels with a margin; zeros where no joint is seen.
    """
    joint = np.isin(labels, JOINT_STRUCTURES)
    if np.count_nonzero(joint) < _JOINT_VOXELS_NEEDED:
        return np.zeros(4, dtype=np.float32)
    _, rows, columns = np.nonzero(joint)
    corners = np.percentile(np.stack([rows, columns]), (1, 99), axis=1)  # stray voxels must not stretch the box
    low = np.maximum(corners[0] - REGION_MARGIN_PIXELS, 0)
    high = np.minimum(corners[1] + REGION_MARGIN_PIXELS, (ROWS - 1, COLUMNS - 1))
    return np.concatenate([low, high]).astype(np.float32)


def _match_axes(directions: FloatArray, axes: FloatArray) -> tuple[list[int], list[float]]:
    """Which source axis serves each model axis, and whether it runs forwards (+1) or backwards (-1)."""
    cosine = axes @ (directions / np.linalg.norm(directions, axis=0))
    slice_first = [0, *(1 + np.argsort(-np.abs(cosine[1, 1:]))).tolist()]
    return slice_first, [float(np.sign(cosine[model, source]) or 1.0) for model, source in enumerate(slice_first)]


def _slice_mask(source_slices: int) -> NDArray[np.uint8]:
    used = min(source_slices, SLICES)
    first = (SLICES - used + 1) // 2
    mask = np.zeros(SLICES, dtype=np.uint8)
    mask[first : first + used] = 1
    return mask


def _slice_weights(grid: ModelGrid) -> NDArray[np.float32]:
    """Share of each source slice in each model slice: ``(32, source slices)``."""
    if grid.averaged:
        return _weights(*grid.along(0), SLICES, grid.source_shape[0])
    nearest = [grid.source_slice(model_slice) for model_slice in range(SLICES)]
    return np.eye(grid.source_shape[0], dtype=np.float32)[nearest]


def _weights(scale: float, offset: float, count: int, size: int) -> NDArray[np.float32]:
    """Rows of interpolation weights ``(count, size)``; a row sums to 1, or to 0 where it lies outside the source."""
    centre = scale * np.arange(count)[:, None] + offset
    reach = max(abs(scale), 1.0)
    index = np.ceil(centre - (reach + 1.0) / 2).astype(int) + np.arange(int(reach) + 3)
    distance = np.abs(index - centre)
    weight = np.clip((reach + 1.0) / 2 - distance, 0.0, 1.0) if reach > 1.0 else np.clip(1.0 - distance, 0.0, None)
    inside = (index >= 0) & (index < size) & (centre >= -0.5) & (centre <= size - 0.5)
    weight = np.where(inside, weight, 0.0)
    total = weight.sum(axis=1, keepdims=True)
    weight /= np.where(total == 0, 1.0, total)
    dense = np.zeros((count, size), dtype=np.float32)
    dense[np.nonzero(inside)[0], index[inside]] = weight[inside]
    return dense


def _average(stacked: NDArray[np.uint8], weights: NDArray[np.float32], *, out: NDArray[np.float32]) -> None:
    """Weighted mean of slices, into ``out``."""
    used = np.flatnonzero(weights)
    if len(used) == 1 and weights[used[0]] == 1.0:
        out[...] = stacked[used[0]]
        return
    out.fill(0.0)
    for index in used:
        out += stacked[index] * weights[index]


def _window(sample: NDArray[np.generic]) -> tuple[float, float]:
    """The two percentiles of a sample; of 16 bit integers by counting, which gives the same numbers faster."""
    if sample.dtype not in _COUNTED:
        low, high = np.percentile(sample.astype(np.float32), WINDOW_PERCENTILES)
        return float(low), float(high)
    smallest = -(1 << 15) if sample.dtype.kind == "i" else 0
    counted = sample.astype(np.int64) - smallest if smallest else sample
    below = np.cumsum(np.bincount(counted.ravel()))
    place = np.array(WINDOW_PERCENTILES) / 100 * (sample.size - 1)
    lower, upper = (np.searchsorted(below, side(place), side="right") for side in (np.floor, np.ceil))
    low, high = smallest + lower + (upper - lower) * (place - np.floor(place))
    return float(low), float(high)
