"""The numbers of a report from made-up answers whose numbers are known."""

import math
from dataclasses import replace

import numpy as np
import pytest

from services.common.finding import LABELS, Structure
from services.common.volume import Plane
from tools.evaluate import summary
from tools.evaluate.ablation import BASELINE
from tools.evaluate.answers import Answer, Localisation
from tools.evaluate.overlap import Overlap


def answer(seed: int, *, sure: float = 4.0) -> Answer:
    """A study read without a mistake: even seeds have an ACL tear and a lateral meniscus tear."""
    truth = {label: seed % 2 == 0 and label in {"ACL", "Lateral Meniscus"} for label in LABELS}
    logits = {label: sure if there else -sure - 0.01 * seed for label, there in truth.items()}
    probability = {label: 1 / (1 + math.exp(-value)) for label, value in logits.items()}
    overlap = {
        Plane.SAGITTAL: {Structure.FEMUR: Overlap(900, 1000, 1000, 0.5), Structure.ACL: Overlap(0, 0, 100, None)},
        Plane.CORONAL: {Structure.FEMUR: Overlap(1000, 1000, 1000, 0.0)},
    }
    located = {label: Localisation(0.5, 0.05, seed % 4 == 0) for label, there in truth.items() if there}
    return Answer(seed, truth, logits, probability, truth, overlap, located, 1e-7)


ANSWERS = [answer(seed) for seed in range(20)]


def test_findings_are_scored_by_label_and_in_mrnets_three():
    """Perfect order is 1 in what can be scored, unknown in what never occurs."""
    numbers = summary.classification(ANSWERS)
    assert numbers["auc"]["ACL"]["value"] == 1.0
    low, high = numbers["auc"]["ACL"]["ci"]
    assert 0.7 < low < 0.9  # ten positives in the right order prove no more than that
    assert high == 1.0
    assert math.isnan(numbers["auc"]["MCL"]["value"])
    assert {name: each["value"] for name, each in numbers["mrnet_auc"].items()} == {
        "abnormal": 1.0,
        "acl": 1.0,
        "meniscus": 1.0,
    }
    assert numbers["ece"] == pytest.approx(1 / (1 + math.exp(4)), abs=0.01)


def test_what_is_reported_is_counted_at_the_served_threshold():
    """One ill knee in ten is missed, one sound knee in ten is alarmed; without an ill knee there is no sensitivity."""
    wrong = {0: {"ACL": False}, 1: {"ACL": True}}
    answers = [replace(each, positive=each.positive | wrong.get(each.seed, {})) for each in ANSWERS]
    reported = summary.classification(answers)["reported"]
    assert reported["ACL"]["sensitivity"]["value"] == reported["ACL"]["specificity"]["value"] == 0.9
    low, high = reported["ACL"]["sensitivity"]["ci"]
    assert (low, high) == pytest.approx((0.596, 0.982), abs=1e-3)
    assert math.isnan(reported["MCL"]["sensitivity"]["value"])


def test_structures_are_pooled_over_the_planes_of_a_study():
    """Dice of both planes together; a structure that is missed counts 0 and has no distance."""
    numbers = summary.segmentation(ANSWERS)
    assert numbers["dice"]["femur"] == pytest.approx(2 * 1900 / 4000)
    assert numbers["dice_by_plane"]["femur"] == {Plane.SAGITTAL: 0.9, Plane.CORONAL: 1.0}
    low, high = numbers["dice_ci"]["femur"]
    assert low <= numbers["dice"]["femur"] <= high
    assert numbers["dice"]["acl"] == 0.0
    assert math.isnan(numbers["surface_mm"]["acl"])
    assert numbers["surface_mm"]["femur"] == pytest.approx(0.25)
    assert math.isnan(numbers["dice"]["tibia"])


def test_heat_is_a_ratio_and_the_slice_a_share():
    """Only drawn findings count."""
    numbers = summary.localisation(ANSWERS)
    assert set(numbers) == {"ACL", "Lateral Meniscus"}
    assert numbers["ACL"]["energy_over_chance"] == pytest.approx(10)
    assert (numbers["ACL"]["slice_hit"], numbers["ACL"]["studies"]) == (0.5, 10)


def test_ablation_rows_are_changes_against_the_served_way():
    """A way that could not be measured keeps its row and its reason."""
    rng = np.random.default_rng(0)
    truth = [{label: bool(rng.random() < 0.5) for label in LABELS} for _ in range(8)]
    counts = {structure.name: [8, 10, 10] for structure in summary.STRUCTURES}
    good = [{"logits": {k: float(v) for k, v in t.items()}, "truth": t, "counts": counts} for t in truth]
    bad = [{**each, "logits": {k: -v for k, v in each["logits"].items()}} for each in good]
    rows = summary.ablation({BASELINE: good, "worse": bad, "bf16": []}, {BASELINE: "", "worse": "", "bf16": "no bf16"})
    assert [row["variant"] for row in rows] == [BASELINE, "worse", "bf16"]
    assert (rows[0]["macro_auc"], rows[0]["mean_dice"]) == (1.0, 0.8)
    assert rows[1]["change_macro_auc"] == -1.0
    assert rows[1]["largest_logit_change"] == 2.0
    assert rows[2]["studies"] == 0
    assert "macro_auc" not in rows[2]


def test_a_number_that_is_missing_keeps_no_promise():
    """NaN is a miss whichever way the target points; the worst of unknown numbers is unknown."""
    assert not summary.Target("a", 0.9, math.nan).met
    assert not summary.Target("a", 0.9, math.nan, at_most=True).met
    assert summary.Target("a", 0.05, 0.04, at_most=True).met
    numbers = summary.classification(ANSWERS) | summary.segmentation(ANSWERS)
    numbers |= {"cam": summary.localisation(ANSWERS), "exactness": {"OpenVINO": 1e-7}, "real": None}
    promised = {each.name: each for each in summary.targets(numbers)}
    assert not promised["lowest AUC"].met
    assert promised["Dice femur"].measured == pytest.approx(0.95)
    assert promised["largest exactness error"].met
    assert promised["heat over chance, worst label"].measured == pytest.approx(10)
    assert not promised["right slice (+-1), worst label"].met
