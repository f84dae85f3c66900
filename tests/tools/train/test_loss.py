"""The loss of segmentation: perfect labels cost nothing, and rare structures count until the middle of a run."""

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is for training only; make models installs it")

from services.common.finding import Structure  # noqa: E402
from tools.train.segmentation import CLASS_WEIGHT, faded, loss  # noqa: E402


def logits_of(labels, strength=20.0):
    return torch.nn.functional.one_hot(labels, len(Structure)).movedim(-1, 1).float() * strength


def labels():
    drawn = torch.zeros(1, 32, 32, dtype=torch.long)
    drawn[:, 4:20, 4:20] = Structure.FEMUR
    drawn[:, 22:28, 4:12] = Structure.ACL
    return drawn


def test_the_right_answer_costs_nothing_and_a_missed_structure_a_lot():
    """Cross entropy and Dice agree on both ends."""
    truth = labels()
    without = torch.where(truth == Structure.ACL, 0, truth)
    weight = torch.ones(len(Structure))
    assert loss(logits_of(truth), truth, weight=weight).item() < 0.01
    assert loss(logits_of(without), truth, weight=weight).item() > 0.4


def test_missing_a_rare_structure_costs_more_while_it_has_weight():
    """The same mistake is dearer at the begin of a run."""
    truth = labels()
    without = logits_of(torch.where(truth == Structure.ACL, 0, truth), strength=3.0)
    assert loss(without, truth, weight=faded(0.0)) > loss(without, truth, weight=faded(1.0)) + 0.05


def test_the_weights_fade_to_one_by_the_middle_of_a_run():
    """What is learnt last is the true share of each structure."""
    assert torch.equal(faded(0.0), CLASS_WEIGHT)
    assert torch.equal(faded(0.5), torch.ones(len(Structure)))
    assert torch.equal(faded(1.0), torch.ones(len(Structure)))
