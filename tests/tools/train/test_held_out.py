"""Held out studies are measured over what is known about them, and over nothing else."""

import numpy as np
import pytest

from services.common.finding import LABELS, Structure
from tools.train.held_out import Reading, overlaps, score, tables
from tools.train.partial import UNKNOWN, unlabelled

NOTHING = np.zeros((len(Structure), 3), np.int64)


def reading(logit, finding):
    """A study of which only the first label was judged."""
    findings = np.full(len(LABELS), UNKNOWN, np.uint8)
    findings[0] = finding
    return Reading(np.full(len(LABELS), float(logit)), findings, NOTHING, 0.9)


def test_a_finding_is_scored_over_the_studies_in_which_it_was_judged():
    """The unknown one would have spoilt the order; labels that nobody judged are left out."""
    scores = score([reading(-2, 0), reading(-1, 0), reading(5, UNKNOWN), reading(1, 1), reading(2, 1)])
    assert list(scores["findings"]) == [LABELS[0]]
    found = scores["findings"][LABELS[0]]
    assert (found["auc"], found["positives"], found["studies"]) == (1.0, 2, 4)
    assert found["ci"][0] <= found["auc"] <= found["ci"][1]


def test_a_structure_is_scored_where_the_truth_decides():
    """Bone found beside a drawn bone is wrong; fluid found where nobody drew fluid is neither right nor wrong."""
    rest = unlabelled({Structure.FEMUR, Structure.TIBIA})
    truth = np.array([[[1, 1, rest, rest, UNKNOWN, 2]]], np.uint8)
    found = np.array([[[1, 0, 1, 13, 1, 2]]], np.uint8)
    counts = overlaps(found, truth)
    assert counts[Structure.FEMUR].tolist() == [1, 2, 2]
    assert not counts[Structure.EFFUSION].any()


def test_a_structure_whose_neighbours_were_not_drawn_is_not_scored():
    """With the ACL alone drawn, ACL found beside it is neither right nor wrong: a Dice would be a recall."""
    truth = np.full((1, 8, 8), unlabelled({Structure.ACL}), np.uint8)
    truth[0, :2] = Structure.ACL
    assert not overlaps(np.full_like(truth, Structure.ACL), truth).any()


def test_dice_is_a_mean_over_studies_with_its_interval():
    """A large knee counts as much as a small one, and a corner of a structure not at all."""
    counts = [NOTHING.copy() for _ in range(3)]
    for each, row in zip(counts, ([90, 100, 100], [5000, 10000, 10000], [5, 5, 5]), strict=True):
        each[Structure.FEMUR] = row
    unknown = np.full(12, UNKNOWN, np.uint8)
    scores = score(
        [Reading(np.zeros(12), unknown, each, bones) for each, bones in zip(counts, (0.9, 0.6, 0.8), strict=True)]
    )
    femur = scores["structures"].pop("FEMUR")
    assert (femur["dice"], femur["studies"]) == (pytest.approx(0.7), 2)
    assert femur["ci"] == [pytest.approx(0.5), pytest.approx(0.9)]
    assert scores == {"studies": 3, "findings": {}, "structures": {}, "least_bone_confidence": 0.6}


def test_the_tables_hold_a_row_for_each_number():
    """One of findings, one of structures."""
    scores = score([reading(-1, 0), reading(1, 1)])
    scores["structures"] = {"FEMORAL_CARTILAGE": {"dice": 0.8125, "ci": [0.75, 0.875], "studies": 4}}
    assert [table.row_count for table in tables(scores)] == [1, 1]
    assert list(next(iter(tables(scores))).columns[1].cells) == ["1.000"]
    assert scores["findings"][LABELS[0]]["auc"] == pytest.approx(1)
