"""Balancing: offsets make a network draw as much as is there, and change nothing else."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is for training only; make models installs it")

from tools.train import balance  # noqa: E402
from tools.train.balance import Votes  # noqa: E402
from tools.train.dataset import Example  # noqa: E402
from tools.train.networks import SegmentationNetwork  # noqa: E402
from tools.train.partial import UNKNOWN  # noqa: E402


def example(labels):
    """A study of noise with the given labels, of which only two slices were imaged."""
    mask = np.zeros((3, 32), np.uint8)
    mask[0, [4, 20]] = 1
    volumes = np.random.default_rng(0).integers(0, 255, labels.shape, dtype=np.uint8)
    return Example(volumes, volumes, mask, labels, np.zeros(1), np.zeros(1))


def greedy(rng):
    """Votes on pixels of structure 5 or of nothing, where 5 is thought too likely by one logit and a half."""
    truth = (rng.random(20_000) < 0.2).astype(np.uint8) * 5
    logits = np.full((len(truth), 14), -9.0, dtype=np.float32)
    logits[:, 0] = 0
    logits[:, 5] = np.where(truth == 5, 1.0, -2.0) + rng.normal(0, 1, len(truth)) + 1.5
    return Votes(logits, truth, np.zeros((14, 3), dtype=np.int64))


def test_what_is_drawn_too_readily_is_held_back():
    """The offset has the sign and about the size of the excess, Dice rises, and other structures keep theirs."""
    said = greedy(np.random.default_rng(0))
    offsets = balance.best_offsets(said)
    assert -2.25 <= offsets[5] <= -0.75
    assert balance.mean_dice(said, offsets) > balance.mean_dice(said, np.zeros(14, np.float32)) + 0.02
    assert offsets[0] == 0


def test_the_last_layer_takes_the_offsets_for_every_pixel():
    """A network with offsets says of every pixel what it said before, plus the offset of each structure."""
    torch.manual_seed(0)
    network = SegmentationNetwork().eval()
    slices, position = torch.rand(1, 3, 64, 64), torch.zeros(1, 3, 32, 32)
    labels = np.random.default_rng(1).choice([0, 1, UNKNOWN], (3, 32, 256, 256)).astype(np.uint8)
    with torch.no_grad():
        before = network.slice_logits(slices, position)
        offsets = balance.balance(network, [example(labels)])
        after = network.slice_logits(slices, position)
    assert np.abs(offsets).max() > 0
    assert torch.allclose(after - before, torch.from_numpy(offsets)[None, :, None, None].expand_as(after), atol=1e-5)


def test_pixels_are_counted_once():
    """Settled and doubtful pixels together are all that have a label."""
    torch.manual_seed(0)
    labels = np.zeros((3, 32, 256, 256), np.uint8)
    labels[:, :16] = UNKNOWN
    said = balance.votes(SegmentationNetwork(), [example(labels)])
    assert len(said.truth) + said.settled[:, 2].sum() == 256 * 256
