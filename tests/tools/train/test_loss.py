"""The loss of segmentation: perfect labels cost nothing, and rare structures count until the middle of a run."""

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is for training only; make models installs it")

from services.common.finding import Structure  # noqa: E402
from tools.train import segmentation  # noqa: E402
from tools.train.partial import MENISCUS, UNKNOWN, unlabelled  # noqa: E402
from tools.train.segmentation import CLASS_WEIGHT, faded  # noqa: E402


def loss(logits, labels, *, weight, plane=(0,)):
    return segmentation.loss(logits, labels, torch.tensor(plane), weight=weight)


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


def test_voxels_without_a_label_teach_nothing_but_what_they_are_not():
    """Beside drawn bones any answer but bone is right; where nothing is drawn every answer is."""
    truth, weight = labels(), torch.ones(len(Structure))
    effusion = logits_of(torch.where(truth == 0, Structure.EFFUSION, truth))
    partly = torch.where(truth == 0, unlabelled({Structure.FEMUR, Structure.TIBIA}), truth)
    assert loss(effusion, truth, weight=weight) > 5
    assert loss(effusion, partly, weight=weight) < 0.01
    tibia = logits_of(torch.where(truth == 0, Structure.TIBIA, truth))
    assert loss(tibia, partly, weight=weight) > 5
    assert loss(tibia, torch.where(truth == 0, UNKNOWN, truth), weight=weight) < 0.01


def test_a_pair_without_a_side_takes_either():
    """Medial or lateral, but not bone."""
    truth = torch.full((1, 32, 32), MENISCUS)
    weight = torch.ones(len(Structure))
    rights = [torch.full_like(truth, each) for each in (Structure.MEDIAL_MENISCUS, Structure.LATERAL_MENISCUS)]
    costs = [loss(logits_of(each), truth, weight=weight).item() for each in (*rights, torch.full_like(truth, 1))]
    assert costs[0] == pytest.approx(costs[1])
    assert costs[2] > costs[0] + 10


def test_a_batch_without_any_label_has_no_gradient():
    """And is a number."""
    logits = torch.randn(1, len(Structure), 16, 16, requires_grad=True)
    value = loss(logits, torch.full((1, 16, 16), UNKNOWN), weight=torch.ones(len(Structure)))
    value.backward()
    assert torch.isfinite(value)
    assert logits.grad.abs().max() < 1e-6


def test_a_structure_missed_in_one_plane_is_not_made_up_for_by_another():
    """A small square of ACL in one plane counts as much as a large one in another, and is no less of a miss."""
    large, small, weight = labels(), labels(), torch.ones(len(Structure))
    large[:, 20:32] = Structure.ACL
    truth = torch.cat([large, small])
    missed = torch.cat([large, torch.where(small == Structure.ACL, 0, small)])
    apart, together = (loss(logits_of(missed, 9.0), truth, weight=weight, plane=each) for each in ((0, 2), (0, 0)))
    assert apart > together + 0.1


def test_a_structure_missed_in_one_picture_is_not_made_up_for_by_another_of_its_plane():
    """Worn cartilage counts as much as whole cartilage of another knee."""
    large, small, weight = labels(), labels(), torch.ones(len(Structure))
    large[:, 20:32] = Structure.ACL
    missed = torch.where(small == Structure.ACL, 0, small)
    beside, within = (
        loss(logits_of(torch.cat(found), 9.0), torch.cat([large, small]), weight=weight, plane=(0, 0))
        for found in ((large, missed), (_without_as_much(large, small), small))
    )
    assert beside > within + 0.1


def _without_as_much(large, small):
    """The large structure without as many pixels as the small one has."""
    several = (large == Structure.ACL).flatten().nonzero()[: int((small == Structure.ACL).sum())]
    return large.flatten().index_fill(0, several[:, 0], 0).view_as(large)
