"""A contact sheet of one study, because a phantom has to be looked at."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.common.transforms import model_grid, to_model_grid, window_to_uint8
from tools.phantom.acquire import Acquisition

_COLOURS = np.random.default_rng(3).integers(60, 255, (14, 3)).astype(np.uint8)


def write_sheet(path: Path, series: Sequence[Acquisition], *, columns: int = 6) -> None:
    """One row of slices per series, and below it the same slices with the labels in colour."""
    rows: list[NDArray[np.uint8]] = []
    for one in series:
        grid = model_grid(one.image, mirrored=False)
        picture = to_model_grid(window_to_uint8(one.image.voxels), grid)
        labels = to_model_grid(one.labels.voxels.astype(np.uint8), grid)
        used = np.flatnonzero(grid.slice_mask)
        chosen = used[np.linspace(len(used) * 0.12, len(used) * 0.88, columns).astype(int)]
        grey = np.concatenate(list(picture[chosen]), axis=1)
        colour = np.repeat(grey[..., None], 3, axis=2)
        mask = np.concatenate(list(labels[chosen]), axis=1)
        rows += [colour, np.where(mask[..., None] > 0, _COLOURS[np.clip(mask, 0, 13)], colour)]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows, axis=0)).save(path)
