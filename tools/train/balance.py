"""How readily each structure is drawn, set once training is over: an offset for each, added to the last layer's bias.

The soft Dice in the loss and windows around what is rare both make a network draw thin structures too thick. The offset
that gives the best Dice is found on whole volumes, structure by structure; pixels that no offset could change are only
counted.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.common.tensors import PLANE_COUNT, STRUCTURE_COUNT
from tools.train.dataset import Example
from tools.train.networks import SegmentationNetwork, grid_position, neighbours

OFFSETS = np.arange(-2.5, 1.51, 0.25, dtype=np.float32)
ROUNDS = 2
_SURE = 2 * float(np.abs(OFFSETS).max())  # a lead that two offsets can't turn


@dataclass(frozen=True, eq=False)
class Votes:
    """``logits`` (K, 14) and ``truth`` (K,) of pixels in doubt; ``[both, found, true]`` (14, 3) of all others."""

    logits: NDArray[np.float32]
    truth: NDArray[np.uint8]
    settled: NDArray[np.int64]


@torch.no_grad()
def votes(network: SegmentationNetwork, examples: Iterable[Example]) -> Votes:
    """What the network says of whole volumes, in clinical contrast."""
    network.eval()
    logits, truth = [], []
    settled = np.zeros((STRUCTURE_COUNT, 3), dtype=np.int64)
    for example in examples:
        slices = neighbours(torch.from_numpy(example.volumes))
        for plane in range(PLANE_COUNT):
            for index in np.flatnonzero(example.slice_mask[plane]):
                flat, labels = _slice(network, slices[plane, index], index), example.labels[plane, index].ravel()
                two = np.partition(flat, -2, axis=1)[:, -2:]
                known, doubt = labels < STRUCTURE_COUNT, two[:, 1] - two[:, 0] < _SURE
                settled += counts(flat[known & ~doubt].argmax(axis=1), labels[known & ~doubt])
                logits.append(flat[known & doubt])
                truth.append(labels[known & doubt])
    return Votes(np.concatenate(logits), np.concatenate(truth), settled)


def _slice(network: SegmentationNetwork, neighbourhood: Tensor, index: np.intp) -> NDArray[np.float32]:
    logits = network.slice_logits(neighbourhood[None], grid_position()[index : index + 1])
    flat: NDArray[np.float32] = logits[0].reshape(STRUCTURE_COUNT, -1).T.numpy()
    return flat


def counts(found: NDArray[np.integer], truth: NDArray[np.integer]) -> NDArray[np.int64]:
    """``[both, found, true]`` by structure: (14, 3)."""
    parts = (found[found == truth], found, truth)
    return np.stack([np.bincount(each, minlength=STRUCTURE_COUNT) for each in parts], axis=1)


def best_offsets(said: Votes) -> NDArray[np.float32]:
    """The offset of each structure (14,) with the best mean Dice, one after the other; background keeps its own."""
    offsets = np.zeros(STRUCTURE_COUNT, dtype=np.float32)
    for _ in range(ROUNDS):
        for structure in range(1, STRUCTURE_COUNT):
            trials = [_with(offsets, structure, float(value)) for value in OFFSETS]
            offsets = max(trials, key=lambda trial: mean_dice(said, trial))
    return offsets


def _with(offsets: NDArray[np.float32], structure: int, value: float) -> NDArray[np.float32]:
    changed = offsets.copy()
    changed[structure] = value
    return changed


def mean_dice(said: Votes, offsets: NDArray[np.float32]) -> float:
    """Mean Dice over the structures that occur, with the offsets added to the logits."""
    both, found, true = (said.settled + counts((said.logits + offsets).argmax(axis=1), said.truth)).T[:, 1:]
    return float((2 * both / np.maximum(found + true, 1))[true > 0].mean())


def balance(network: SegmentationNetwork, examples: Iterable[Example]) -> NDArray[np.float32]:
    """Give the network its best offsets, and return them."""
    offsets = best_offsets(votes(network, examples))
    per_pixel = np.repeat(offsets, 4)  # the last layer holds the four pixels of a block next to each other
    with torch.no_grad():
        bias = network.get_parameter("last.bias")
        bias += torch.from_numpy(per_pixel)
    return offsets
