"""What the segmentation says of one plane, and where its voxels lie in the patient."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from services.common.transforms import ModelGrid, weave
from services.common.volume import FloatArray


@dataclass(frozen=True, eq=False)
class Segmented:
    """One plane, its passes woven into one grid.

    ``labels``, ``runner_up`` and ``certainty`` are uint8 ``(slices, 256, 256)`` and ``confidence`` (14,), all as the
    model gives them (``tensors.KNEE_SEGMENTATION``); ``to_patient`` maps a model index ``(slice, row, column, 1)`` to
    LPS in mm.
    """

    grid: ModelGrid
    to_patient: FloatArray
    labels: NDArray[np.uint8]
    runner_up: NDArray[np.uint8]
    certainty: NDArray[np.uint8]
    confidence: NDArray[np.float32]

    @classmethod
    def of(cls, grid: ModelGrid, source_to_patient: FloatArray, answers: Sequence[Mapping[str, NDArray[Any]]]) -> Self:
        """The model's answers to all passes of a plane's grid, in their order."""
        woven = grid.woven()
        labels, runner_up, certainty = (
            weave([each[name] for each in answers]) for name in ("labels", "runner_up", "certainty")
        )
        confidence = np.mean([each["confidence"] for each in answers], axis=0)
        return cls(woven, source_to_patient @ woven.affine, labels, runner_up, certainty, confidence)

    @cached_property
    def votes(self) -> NDArray[np.uint16]:
        """Label (4 bits), runner-up (4 bits) and certainty (8 bits) of each voxel: one look-up instead of three."""
        packed = self.certainty.astype(np.uint16)
        packed <<= 4
        packed |= self.runner_up
        packed <<= 4
        packed |= self.labels
        return packed

    @property
    def used_slices(self) -> tuple[int, int]:
        """The first and the last slice that a source slice fills."""
        used = np.flatnonzero(self.grid.slice_mask)
        return int(used[0]), int(used[-1])
