"""From selected slices to the arrays the models take, one plane at a time and then all three together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from services.common.errors import RefusalCode, StudyRefused
from services.common.finding import Laterality
from services.common.frame import Frame
from services.common.pixels import MAX_DECODED_BYTES, stored_frame
from services.common.tensors import GRID, PLANE_COUNT, SLICES
from services.common.transforms import ModelGrid, model_grid, to_model_grid, window_to_uint8
from services.common.volume import PLANES, Plane, Volume
from services.preprocessing.geometry import affine_of


@dataclass(frozen=True, eq=False)
class ModelInput:
    """One plane ready for the models.

    ``source`` is the windowed series on its own grid, ``(slice, row, column)`` uint8; ``volume`` the same on the
    model's grid, ``(32, 256, 256)``.
    """

    source: NDArray[np.uint8]
    volume: NDArray[np.uint8]
    grid: ModelGrid


@dataclass(frozen=True, eq=False)
class Sources:
    """The series that are analysed: sorted slices and model input by plane, and the side of the knee."""

    slices: Mapping[Plane, Sequence[Frame]]
    inputs: Mapping[Plane, ModelInput]
    laterality: Laterality


def assemble(slices: Sequence[Frame]) -> Volume:
    """Decode sorted slices into a volume, bright where the signal is strong.

    Slices that share one rescaling keep their stored values, which differ from modality values by a positive linear map
    only, and that the window undoes; others become modality values, float32.
    """
    stored = _stored(slices)
    scales = {(each.rescale, each.inverted) for each in slices}
    ((slope, _), inverted), *others = scales
    if not others and slope > 0 and not inverted:
        return Volume(stored, affine_of(slices))
    linear = np.array([each.rescale for each in slices], dtype=np.float32)[:, :, None, None]
    values = stored.astype(np.float32) * linear[:, 0] + linear[:, 1]
    turned = np.array([-1.0 if each.inverted else 1.0 for each in slices], dtype=np.float32)
    return Volume(values * turned[:, None, None], affine_of(slices))


def _stored(slices: Sequence[Frame]) -> NDArray[np.integer]:
    """Stored values of all slices in one array, taken once its size is known to be bounded."""
    first = _unpadded(slices[0])
    if first.nbytes * len(slices) > MAX_DECODED_BYTES:
        raise StudyRefused(RefusalCode.TOO_LARGE)
    volume = np.empty((len(slices), *first.shape), dtype=first.dtype)
    volume[0] = first
    for index, each in enumerate(slices[1:], start=1):
        stored = _unpadded(each, room=volume[index])
        if stored.shape != first.shape:
            raise StudyRefused(RefusalCode.NO_GEOMETRY)
        if stored.dtype != volume.dtype:  # a series may hold signed and unsigned slices
            volume = volume.astype(np.result_type(volume, stored))
        if not np.may_share_memory(volume, stored):
            volume[index] = stored
    return volume


def _unpadded(frame: Frame, *, room: NDArray[np.integer] | None = None) -> NDArray[np.integer]:
    """Stored values where the padding outside the image is as dark as the darkest voxel in it, perhaps in ``room``."""
    stored = stored_frame(frame.instance, frame.index, room=room)
    padding = frame.number("PixelPaddingValue")
    if padding is None:
        return stored
    limit = frame.number("PixelPaddingRangeLimit")
    low, high = sorted(_signed_like(stored, value) for value in (padding, padding if limit is None else limit))
    outside = (stored >= low) & (stored <= high)
    if not outside.any() or outside.all():
        return stored
    darkest = stored[~outside].max() if frame.inverted else stored[~outside].min()
    return np.where(outside, darkest, stored)


def _signed_like(stored: NDArray[np.integer], value: float) -> float:
    """A padding value with the sign of the pixels, which the VR of an implicit header leaves open."""
    return value - 65536 if stored.dtype == np.int16 and value > 32767 else value


def windowed(volume: Volume) -> Volume:
    """The volume in 8 bits; raises ``StudyRefused`` (``NO_SIGNAL``) for a constant one."""
    try:
        return replace(volume, voxels=window_to_uint8(volume.voxels))
    except ValueError as error:
        raise StudyRefused(RefusalCode.NO_SIGNAL) from error


def laid(volume: Volume, *, mirrored: bool) -> ModelInput:
    """A windowed volume on the model's grid."""
    grid = model_grid(volume, mirrored=mirrored)
    source = volume.voxels.view(np.uint8)
    return ModelInput(source, to_model_grid(source, grid), grid)


def transform(volume: Volume, *, mirrored: bool) -> ModelInput:
    """Window a volume and lay it on the model's grid; raises ``StudyRefused`` (``NO_SIGNAL``) for a constant one."""
    return laid(windowed(volume), mirrored=mirrored)


def as_side(sources: Sources, laterality: Laterality) -> Sources:
    """The same series laid on the grid of a right or left knee."""
    inputs = {}
    for plane, each in sources.inputs.items():
        volume = Volume(each.source, affine_of(sources.slices[plane]))
        inputs[plane] = laid(volume, mirrored=laterality is Laterality.LEFT)
    return replace(sources, inputs=inputs, laterality=laterality)


def stack_planes(inputs: Mapping[Plane, ModelInput]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Volumes ``(3, 32, 256, 256)`` and slice mask ``(3, 32)`` in the slot order; a missing plane is zero."""
    volumes = np.zeros((PLANE_COUNT, *GRID), dtype=np.uint8)
    mask = np.zeros((PLANE_COUNT, SLICES), dtype=np.uint8)
    for slot, plane in enumerate(PLANES):
        if plane in inputs:
            volumes[slot] = inputs[plane].volume
            mask[slot] = inputs[plane].grid.slice_mask
    return volumes, mask
