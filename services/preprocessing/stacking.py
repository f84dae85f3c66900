"""From selected slices to the arrays the models take, one plane at a time and then all three together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pydicom
from numpy.typing import NDArray

from services.common.dicom import decode_frame
from services.common.errors import RefusalCode, StudyRefused
from services.common.finding import Laterality
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

    slices: Mapping[Plane, Sequence[pydicom.Dataset]]
    inputs: Mapping[Plane, ModelInput]
    laterality: Laterality


def assemble(slices: Sequence[pydicom.Dataset]) -> Volume:
    """Decode sorted slices into a volume of modality values, float32."""
    frames = [decode_frame(each) for each in slices]
    return Volume(np.stack(frames), affine_of(slices))


def transform(volume: Volume, *, mirrored: bool) -> ModelInput:
    """Window a volume and lay it on the model's grid; raises ``StudyRefused`` (``NO_SIGNAL``) for a constant one."""
    try:
        source = window_to_uint8(volume.voxels)
    except ValueError as error:
        raise StudyRefused(RefusalCode.NO_SIGNAL) from error
    grid = model_grid(volume, mirrored=mirrored)
    return ModelInput(source, to_model_grid(source, grid), grid)


def stack_planes(inputs: Mapping[Plane, ModelInput]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Volumes ``(3, 32, 256, 256)`` and slice mask ``(3, 32)`` in the slot order; a missing plane is zero."""
    volumes = np.zeros((PLANE_COUNT, *GRID), dtype=np.uint8)
    mask = np.zeros((PLANE_COUNT, SLICES), dtype=np.uint8)
    for slot, plane in enumerate(PLANES):
        if plane in inputs:
            volumes[slot] = inputs[plane].volume
            mask[slot] = inputs[plane].grid.slice_mask
    return volumes, mask
