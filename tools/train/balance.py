"""The last bias of the segmentation, fitted to whole studies: what windows taught it to draw too large is taken back.

The loss counts the overlap of a window, most of them are drawn where rare things lie, and doubt about a border costs
less outside than inside; so thin and rare structures are drawn a tenth larger than they are. One number a structure,
added to its logit, is chosen such that the Dice of held out studies is best.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.common.tensors import STRUCTURE_COUNT
from tools.train import dataset
from tools.train.networks import SEGMENTATION_REACH, SegmentationNetwork, grid_position, neighbours

DOUBT = 5.0  # of two logits; no bias in sight turns over a voxel whose best structure leads by more
STEPS = (0.4, 0.2, 0.1)
# mean Dice that a bias of one must be worth: fitted to one half of 28 studies, the other half gained 0.0039 with it and
# 0.0041 without, from biases a third larger, and a small one does less harm where a scanner is set otherwise
WORTH = 2.5e-4
FEWEST_VOXELS = 100  # of a structure in a study; fewer say nothing about it
_SLICES = 4  # at a time, for memory


@dataclass(frozen=True, eq=False)
class Doubts:
    """A study: ``logits`` (M,14) and ``truth`` (M,) of its doubtful voxels; all others in ``sure`` (found, true)."""

    logits: NDArray[np.float32]
    truth: NDArray[np.intp]
    sure: NDArray[np.intp]

    def dice(self, bias: NDArray[np.float32]) -> NDArray[np.float64]:
        """Dice of each structure (14,) with a bias (14,); NaN where the study has next to nothing of it."""
        table = self.sure + _table((self.logits + bias).argmax(axis=1), self.truth)
        found, true = table.sum(axis=1), table.sum(axis=0)
        return np.where(true < FEWEST_VOXELS, np.nan, 2 * np.diag(table) / np.maximum(found + true, 1))


def balance(network: SegmentationNetwork, paths: Iterable[Path]) -> NDArray[np.float32]:
    """Fit the network's last bias to studies that it was not trained on; returns what was added (14,)."""
    bias = fit([doubts(network, dataset.load(path)) for path in paths])
    with torch.no_grad():
        network.last.bias.view(STRUCTURE_COUNT, -1).add_(torch.from_numpy(bias)[:, None])
    return bias


def fit(studies: list[Doubts]) -> NDArray[np.float32]:
    """The smallest bias (14,) with the best mean Dice, one structure after the other and in ever finer steps."""
    bias = np.zeros(STRUCTURE_COUNT, dtype=np.float32)
    best = _score(studies, bias)
    for step in STEPS:
        for structure in range(1, STRUCTURE_COUNT):
            for direction in (-step, step):
                while (score := _score(studies, moved := _moved(bias, structure, direction))) > best:
                    bias, best = moved, score
    return bias


def _moved(bias: NDArray[np.float32], structure: int, by: float) -> NDArray[np.float32]:
    moved = bias.copy()
    moved[structure] += by
    return moved


def _score(studies: list[Doubts], bias: NDArray[np.float32]) -> float:
    by_study = np.stack([study.dice(bias)[1:] for study in studies])
    seen = ~np.isnan(by_study)
    mean = (np.where(seen, by_study, 0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)).mean()
    return float(mean - WORTH * np.abs(bias).sum())


@torch.no_grad()
def doubts(network: SegmentationNetwork, example: dataset.Example) -> Doubts:
    """What the network is not sure of in one study, in its clinical contrast; unlabelled voxels count nowhere."""
    network.eval()
    logits, truth, sure = [], [], np.zeros((STRUCTURE_COUNT, STRUCTURE_COUNT), dtype=np.intp)
    for volume, labels, mask in zip(example.volumes, example.labels, example.slice_mask, strict=True):
        slices = neighbours(torch.from_numpy(np.array(volume)), SEGMENTATION_REACH)
        used = np.flatnonzero(mask)
        for start in range(0, len(used), _SLICES):
            chosen = used[start : start + _SLICES]
            of_voxels = _by_voxel(network.slice_logits(slices[chosen], grid_position()[chosen]))
            true = labels[chosen].ravel().astype(np.intp)
            known = true < STRUCTURE_COUNT
            of_voxels, true = of_voxels[known], true[known]
            first_two = np.partition(of_voxels, -2, axis=1)[:, -2:]
            doubtful = first_two[:, 1] - first_two[:, 0] < DOUBT
            sure += _table(of_voxels[~doubtful].argmax(axis=1), true[~doubtful])
            logits.append(of_voxels[doubtful])
            truth.append(true[doubtful])
    return Doubts(np.concatenate(logits), np.concatenate(truth), sure)


def _by_voxel(logits: Tensor) -> NDArray[np.float32]:
    """(M, 14, H, W) -> (M * H * W, 14)."""
    rows: NDArray[np.float32] = logits.float().movedim(1, -1).reshape(-1, STRUCTURE_COUNT).numpy()
    return rows


def _table(found: NDArray[np.intp], true: NDArray[np.intp]) -> NDArray[np.intp]:
    """How many voxels were found as one structure and are another: (found, true)."""
    size = STRUCTURE_COUNT
    return np.bincount(found * size + true, minlength=size * size).reshape(size, size)
