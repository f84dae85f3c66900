"""Three planes show one knee: where one of them doubts what it sees, the others are asked.

A thin structure that lies in the plane of a slice of 3 mm can't be told there from what is above and below it: tibial
cartilage in an axial slice. The other planes cut across it. So a voxel of a source series whose label is not sure gets
the label with most votes. The four model voxels of its own plane around it share one vote, by how near they are; each
other plane's two model voxels before and behind that place share half a vote. A model voxel's part goes to its label
and its runner-up, as its certainty says. By its own vote alone a border lies between model voxels where it belongs,
and not on the nearest one.

Measured in docs/decisions/0017-planes-are-asked-where-one-doubts.md.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from services.common.tensors import COLUMNS, ROWS
from services.common.transforms import places, to_source_grid
from services.common.volume import FloatArray, Plane
from services.preprocessing.motion import Motion
from services.preprocessing.segmented import Segmented

SURE = 252  # of a certainty of 255; who is as sure as that, with all around, asks nobody
OTHER_PLANE = 0.5  # its vote; two of them weigh as much as the plane itself
_AT_ONCE = 16384  # voxels; their ballot fits into a processor's cache
_CANDIDATES = 16  # room for every structure that the 4 bits of a vote can name
_SHARE = (np.arange(256) / 255).astype(np.float32)
_CELL = np.ones((2, 2), np.uint8)

Labels = NDArray[np.uint8]
Indices = NDArray[np.intp]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Votes:
    """Of ``n`` voxels: packed votes (voters, n) uint16 (``Segmented.votes``) and their weights (voters, n)."""

    packed: NDArray[np.uint16]
    weights: Floats


def agreed(segmented: Mapping[Plane, Segmented], motions: Mapping[Plane, Motion]) -> dict[Plane, Labels]:
    """Labels of each plane on its source grid ``(slice, row, column)``.

    ``motions`` lead from where each plane saw the knee to one place for all; a plane without one stays by itself.
    """
    found = {}
    for plane, own in segmented.items():
        asked = [other for other in segmented if other != plane and {plane, other} <= motions.keys()]
        others = [(segmented[each], _between(own, segmented[each], motions[plane], motions[each])) for each in asked]
        found[plane] = _labels(own, others)
    return found


def _between(own: Segmented, other: Segmented, motion: Motion, other_motion: Motion) -> FloatArray:
    """Model index of one plane -> model index of another."""
    affine: FloatArray = np.linalg.inv(other_motion @ other.to_patient) @ motion @ own.to_patient
    return affine


def _labels(own: Segmented, others: list[tuple[Segmented, FloatArray]]) -> Labels:
    """The nearest model voxel's label, and the elected one where there is doubt."""
    labels = to_source_grid(own.labels, own.grid)
    upright = np.transpose(labels, own.grid.source_axes)  # a view, along the model's axes
    along = [places(own.grid, axis) for axis in range(3)]
    for voxels in _doubtful(own, along):
        votes = [_own_votes(own, along, voxels)]
        votes += [_other_votes(other, affine, along, voxels) for other, affine in others]
        upright[voxels] = _elected(votes)
    return labels


def _doubtful(own: Segmented, along: list[FloatArray]) -> Iterator[tuple[Indices, ...]]:
    """Source indices, along the model's axes, of voxels between model voxels that differ or are not sure; by portions.

    ``along`` gives the place of each source index on each axis of the model, in model indices.
    """
    reached = _reached(along[1], ROWS)[:, None] & _reached(along[2], COLUMNS)
    rows, columns = _neighbours(along[1], ROWS)[0], _neighbours(along[2], COLUMNS)[0]
    found = []
    for index in np.flatnonzero(_reached(along[0], len(own.labels))):
        model_slice = round(along[0][index])
        labels, certainty = own.labels[model_slice], own.certainty[model_slice]
        lowest, least = (cv2.erode(each, _CELL, anchor=(0, 0)) for each in (labels, certainty))
        doubt = (lowest != cv2.dilate(labels, _CELL, anchor=(0, 0))) | (least < SURE)
        pixel = np.flatnonzero(doubt.take(rows, axis=0).take(columns, axis=1) & reached)
        row, column = np.divmod(pixel, len(columns))
        found.append((np.full(len(pixel), index), row, column))
    joined = [np.concatenate(each) for each in zip(*found, strict=True)]
    for start in range(0, len(joined[0]), _AT_ONCE):
        yield tuple(each[start : start + _AT_ONCE] for each in joined)


def _reached(along: FloatArray, size: int) -> NDArray[np.bool_]:
    nearest = np.rint(along)
    within: NDArray[np.bool_] = (nearest >= 0) & (nearest < size)
    return within


def _neighbours(along: FloatArray, size: int) -> tuple[Indices, Indices, Floats]:
    """Of places on an axis: the model index before, the one behind, and the way from the first to the second, 0..1."""
    before = np.floor(along)
    first, second = (np.clip(before + step, 0, size - 1).astype(np.intp) for step in (0, 1))
    return first, second, (along - before).astype(np.float32)


def _own_votes(own: Segmented, along: list[FloatArray], voxels: tuple[Indices, ...]) -> _Votes:
    """Of the four model voxels around each voxel in its slice."""
    slices, rows, columns = voxels
    start = np.rint(along[0]).astype(np.intp)[slices] * (ROWS * COLUMNS)
    above, below, down = (each[rows] for each in _neighbours(along[1], ROWS))
    left, right, across = (each[columns] for each in _neighbours(along[2], COLUMNS))
    above, below, both = start + above * COLUMNS, start + below * COLUMNS, down * across
    around = np.stack([above + left, above + right, below + left, below + right])
    return _Votes(
        own.votes.ravel().take(around), np.stack([1 - down - across + both, across - both, down - both, both])
    )


def _other_votes(other: Segmented, affine: FloatArray, along: list[FloatArray], voxels: tuple[Indices, ...]) -> _Votes:
    """Of the model voxels before and behind each voxel in another plane; without weight where that does not reach."""
    terms = [np.outer(affine[:3, axis], along[axis]).astype(np.float32) for axis in range(3)]
    terms[0] += affine[:3, 3:].astype(np.float32)
    by_slice, by_row, by_column = (term.take(index, axis=1) for term, index in zip(terms, voxels, strict=True))
    slices, rows, columns = by_slice + by_row + by_column
    first, last = other.used_slices
    inside = (slices >= first - 0.5) & (slices <= last + 0.5) & _reached(rows, ROWS) & _reached(columns, COLUMNS)
    pixel = np.where(inside, np.rint(rows) * COLUMNS + np.rint(columns), 0).astype(np.intp)
    before = np.floor(slices)
    two = [np.clip(each, first, last).astype(np.intp) * (ROWS * COLUMNS) + pixel for each in (before, before + 1)]
    behind = slices - before
    weights = np.stack([1 - behind, behind]) * (OTHER_PLANE * inside).astype(np.float32)
    return _Votes(other.votes.ravel().take(np.stack(two)), weights)


def _elected(votes: list[_Votes]) -> Labels:
    """The label with most votes (n,)."""
    packed = np.concatenate([each.packed for each in votes])
    weights = np.concatenate([each.weights for each in votes])
    size = packed.shape[1] * _CANDIDATES
    ballot = np.arange(0, size, _CANDIDATES)
    share = _SHARE.take(packed >> 8) * weights
    count = np.bincount((ballot + (packed & 15)).ravel(), share.ravel(), size)
    count += np.bincount((ballot + (packed >> 4 & 15)).ravel(), (weights - share).ravel(), size)
    elected: Labels = count.reshape(-1, _CANDIDATES).argmax(axis=1).astype(np.uint8)
    return elected
