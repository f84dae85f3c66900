"""A record on the model's grid: the same transforms that serve, and unknown where the record says nothing."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from services.common.errors import RefusalCode, StudyRefused
from services.common.finding import LABELS, Laterality
from services.common.tensors import CLASS_MAP_COLUMNS, CLASS_MAP_ROWS, GRID, LABEL_COUNT, SLICES, STRUCTURE_COUNT
from services.common.transforms import joint_region, model_grid, to_model_grid, window_to_uint8
from services.common.volume import PLANES
from tools.train.dataset import Example, cells, nearest, regions
from tools.train.partial import UNKNOWN
from tools.train.sources.record import Record, Series
from tools.train.sources.refusal import DataCode, DataRefused

Segmentation = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]  # of one plane, both (32, 256, 256)
_Arrays = tuple[NDArray[np.uint8], ...]


def example_of(record: Record, *, segmentation: Segmentation | None = None) -> Example:
    """The training example of a record.

    Where nobody drew the joint, ``segmentation`` says where it is, as it does when the models are served. They are also
    served long series in two ways, and one example can hold one: the classification sees means of slices, so does who
    knows findings; the segmentation sees single slices in passes, so structures alone come as the middle pass.

    Raises ``DataRefused`` (``NOTHING_LABELLED``) and ``StudyRefused`` (``NO_SIGNAL`` for a constant image).
    """
    by_plane = {series.image.plane: series for series in record.series}
    mirrored = record.laterality is Laterality.LEFT
    planes = [
        _plane(by_plane[plane], mirrored=mirrored, averaged=bool(record.findings)) if plane in by_plane else _missing()
        for plane in PLANES
    ]
    volumes, recoloured, mask, labels, lesions = (np.stack([plane[i] for plane in planes]) for i in range(5))
    findings = np.array([record.findings.get(name, UNKNOWN) for name in LABELS], dtype=np.uint8)
    region = regions(labels)
    for plane in np.flatnonzero(mask.any(axis=1) & ~region.any(axis=1)):
        if segmentation is not None:
            region[plane] = joint_region(segmentation(volumes[plane]))
    example = Example(volumes, recoloured, mask, labels, lesions, findings, region)
    if not (knows_findings(example) or knows_structures(example)):
        raise DataRefused(DataCode.NOTHING_LABELLED)
    return example


def knows_findings(example: Example) -> bool:
    """Whether at least one finding is known to be there or not."""
    return bool((example.findings != UNKNOWN).any())


def knows_structures(example: Example) -> bool:
    """Whether at least one structure is drawn."""
    return bool(((example.labels > 0) & (example.labels < STRUCTURE_COUNT)).any())


def _plane(series: Series, *, mirrored: bool, averaged: bool) -> _Arrays:
    grid = model_grid(series.image, mirrored=mirrored)
    if not averaged:
        passes = grid.passes()
        grid = passes[len(passes) // 2]
    image = to_model_grid(_windowed(series.image.voxels), grid)
    second = image if series.second is None else to_model_grid(_windowed(series.second), grid)
    drawn = np.full(series.image.voxels.shape, UNKNOWN, dtype=np.uint8)
    labels = nearest(drawn if series.structures is None else series.structures, grid)
    bits = np.zeros(drawn.shape, dtype=np.uint16) if series.lesions is None else series.lesions
    return image, second, grid.slice_mask, labels.astype(np.uint8), cells(nearest(bits, grid))


def _windowed(voxels: NDArray[np.generic]) -> NDArray[np.uint8]:
    try:
        return window_to_uint8(voxels)
    except ValueError as error:
        raise StudyRefused(RefusalCode.NO_SIGNAL) from error


def _missing() -> _Arrays:
    nothing = np.zeros(GRID, dtype=np.uint8)
    lesions = np.zeros((SLICES, LABEL_COUNT, CLASS_MAP_ROWS, CLASS_MAP_COLUMNS), dtype=np.uint8)
    return nothing, nothing, np.zeros(SLICES, dtype=np.uint8), np.full(GRID, UNKNOWN, dtype=np.uint8), lesions
