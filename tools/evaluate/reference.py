"""A reference for femur and tibia on real slices, half by hand and half by computation.

By hand: a rough outline of each bone, drawn by eye on the first echo and stored as polygons (``reference.json``; no
image data). By computation: a random walker (Grady 2006, IEEE TPAMI 28, 1768) decides the band of a few millimetres on
both sides of that outline, walking easily between pixels that look alike in an early and a later echo. It finds the
marrow; the dark cortex next to it, which belongs to the bone, is added as far as it is dark. Last, by hand again, the
few places that look wrong are added or removed. Nothing of the models under test is used.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.linalg import spsolve

OUTLINES = Path(__file__).with_name("reference.json")
BAND_PIXELS = 6
CORTEX_PIXELS = 3
_STEEPNESS = 120.0
_DARK = 0.45  # of the marrow beside it

Mask = NDArray[np.bool_]
Picture = NDArray[np.float32]


@dataclass(frozen=True)
class Outline:
    """One bone on one slice: a rough outline as (column, row) pixels, and what the eye then added or took away.

    ``add`` and ``remove`` are polygons applied after the computation.
    """

    slice_index: int
    structure: str
    polygon: tuple[tuple[float, float], ...]
    add: tuple[tuple[tuple[float, float], ...], ...] = ()
    remove: tuple[tuple[tuple[float, float], ...], ...] = ()


def outlines(path: Path = OUTLINES) -> list[Outline]:
    """The outlines drawn by hand."""
    return [
        Outline(
            each["slice"],
            each["structure"],
            tuple(map(tuple, each["polygon"])),
            tuple(tuple(map(tuple, polygon)) for polygon in each.get("add", ())),
            tuple(tuple(map(tuple, polygon)) for polygon in each.get("remove", ())),
        )
        for each in json.loads(path.read_text())["outlines"]
    ]


def reference(echoes: Picture, outline: Outline) -> Mask:
    """The bone on one slice; ``echoes`` are (echo, row, column) of that slice, the earliest first."""
    rough = filled(outline.polygon, echoes.shape[1:])
    depth = ndimage.distance_transform_edt(rough) - ndimage.distance_transform_edt(~rough)
    marrow = random_walk(features(echoes, rough), inside=depth > BAND_PIXELS, outside=depth < -BAND_PIXELS)
    bone = with_cortex(marrow, echoes[0], within=depth > -BAND_PIXELS)
    for polygon in outline.add:
        bone |= filled(polygon, bone.shape)
    for polygon in outline.remove:
        bone &= ~filled(polygon, bone.shape)
    kept: Mask = ndimage.binary_fill_holes(ndimage.binary_opening(bone, iterations=1))
    return kept


def filled(polygon: tuple[tuple[float, float], ...], shape: tuple[int, ...]) -> Mask:
    """The inside of a polygon of (column, row) pixels."""
    canvas = np.zeros(shape, dtype=np.uint8)
    cv2.fillPoly(canvas, [np.rint(np.asarray(polygon)).astype(np.int32)], 1)
    return canvas.astype(bool)


def features(echoes: Picture, rough: Mask) -> Picture:
    """An early and a middle echo relative to the bone's own smooth brightness: (2, row, column)."""
    chosen = np.stack([echoes[0], echoes[min(3, len(echoes) - 1)]])
    weight = ndimage.gaussian_filter(rough.astype(np.float32), 20) + np.float32(1e-3)
    local = np.stack([ndimage.gaussian_filter(each * rough, 20) / weight for each in chosen])
    floor = np.stack([np.full(rough.shape, np.median(each[rough]) * 0.3, np.float32) for each in chosen])
    return np.clip(chosen / np.maximum(local, floor), 0, 1.3).astype(np.float32)


def random_walk(feature: Picture, *, inside: Mask, outside: Mask) -> Mask:
    """Pixels from which a walker more likely meets ``inside`` than ``outside`` first."""
    free = ~(inside | outside)
    number = np.full(free.shape, -1)
    number[free] = np.arange(np.count_nonzero(free))
    rows, columns, values = [], [], []
    diagonal = np.zeros(np.count_nonzero(free))
    certain = np.zeros(np.count_nonzero(free))
    for axis in (0, 1):
        for one, other in (((slice(None, -1)), slice(1, None)), (slice(1, None), slice(None, -1))):
            a = (one, slice(None)) if axis == 0 else (slice(None), one)
            b = (other, slice(None)) if axis == 0 else (slice(None), other)
            weight = np.exp(-_STEEPNESS * ((feature[:, *a] - feature[:, *b]) ** 2).sum(axis=0)) + 1e-6
            walks = free[a]
            source = number[a][walks]
            np.add.at(diagonal, source, weight[walks])
            np.add.at(certain, source, weight[walks] * inside[b][walks])
            both = walks & free[b]
            rows.append(number[a][both])
            columns.append(number[b][both])
            values.append(-weight[both])
    size = len(diagonal)
    off = sparse.coo_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), (size, size))
    probability = inside.astype(float)
    probability[free] = spsolve((off + sparse.diags(diagonal)).tocsr(), certain)
    return probability > 0.5


def with_cortex(marrow: Mask, picture: Picture, *, within: Mask) -> Mask:
    """The marrow and the dark shell that touches it, at most ``CORTEX_PIXELS`` thick."""
    smooth = ndimage.gaussian_filter(picture * marrow, 6) / (ndimage.gaussian_filter(marrow.astype(float), 6) + 1e-3)
    dark = (picture < _DARK * smooth) & within
    grown = ndimage.binary_dilation(marrow, iterations=CORTEX_PIXELS, mask=dark | marrow)
    shell: Mask = grown | ndimage.binary_dilation(marrow)
    return shell
