"""ROC areas, intervals and calibration mean what their names say."""

import numpy as np
import pytest
from scipy import special, stats

from tools.evaluate.statistics import (
    area_interval,
    area_under_roc,
    bootstrap_areas,
    calibration_error,
    cross_calibrated,
    interval,
    mean_interval,
    reliability,
    roc,
)


def test_the_area_counts_pairs_in_the_right_order():
    """Perfect order is 1, reversed 0, ties one half; nothing can be said of one class alone."""
    truth = np.array([False, False, True, True])
    score = np.array([0.1, 0.4, 0.6, 0.9])
    assert (area_under_roc(score, truth), area_under_roc(-score, truth)) == (1.0, 0.0)
    assert area_under_roc(np.ones(4), truth) == 0.5
    assert np.isnan(area_under_roc(score, np.ones(4, dtype=bool)))


def test_the_area_is_the_integral_of_the_curve():
    """Trapezoids under the ROC curve, with ties, give the rank statistic."""
    rng = np.random.default_rng(0)
    truth = rng.random(300) < 0.3
    score = np.round(truth * 0.5 + rng.normal(size=300), 1)
    alarms, hits = roc(score, truth)
    assert (alarms[0], hits[0], alarms[-1], hits[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(hits, alarms) == pytest.approx(area_under_roc(score, truth))


def test_the_interval_narrows_with_more_studies():
    """Ten times the studies give an interval about a third as wide, around the area itself."""
    rng = np.random.default_rng(1)
    widths = []
    for count in (60, 600):
        truth = rng.random((count, 1)) < 0.4
        score = truth * 1.0 + rng.normal(size=(count, 1))
        value = area_under_roc(score[:, 0], truth[:, 0])
        found = interval(value, bootstrap_areas(score, truth)[:, 0])
        assert found.low < value < found.high
        widths.append(found.high - found.low)
    assert 0.2 < widths[1] / widths[0] < 0.5


def test_a_perfect_order_of_few_studies_is_no_proof():
    """One pair says nothing, a hundred positives say a lot; the interval covers the truth as often as it says."""
    lows = []
    for count in (1, 10, 100):
        truth = np.arange(3 * count) < count
        found = area_interval(truth * 1.0, truth, np.ones(50))
        assert (found.value, found.high) == (1.0, 1.0)
        lows.append(found.low)
    assert lows[0] < 0.5 < lows[1] < 0.9 < lows[2] < 0.99
    rng, true, covered = np.random.default_rng(4), stats.norm.cdf(3 / np.sqrt(2)), []
    for _ in range(400):
        truth = np.arange(60) < 20
        score = truth * 3.0 + rng.normal(size=60)
        if area_under_roc(score, truth) == 1:
            covered.append(area_interval(score, truth, np.ones(2)).low <= true)
    assert len(covered) > 20
    assert np.mean(covered) > 0.95


def test_where_some_pairs_are_wrong_the_bootstrap_decides():
    """Nothing but a perfect order needs the other interval."""
    truth, score = np.array([False, True, False, True]), np.array([0.0, 1.0, 2.0, 3.0])
    assert area_interval(score, truth, np.array([0.5, 0.75, 1.0])).low == pytest.approx(0.5125)
    assert np.isnan(area_interval(score, np.zeros(4, dtype=bool), np.full(3, np.nan)).low)


def test_an_interval_without_samples_is_unknown():
    """Only NaN samples leave no interval."""
    assert np.isnan(interval(0.5, np.array([np.nan, np.nan])).low)


def test_a_mean_has_an_interval_over_what_is_known():
    """The interval has the width of two standard errors to each side, and a study without a number counts nowhere."""
    values = np.random.default_rng(0).normal(0.8, 0.1, 401)
    values[0] = np.nan
    found = mean_interval(values)
    assert found.value == pytest.approx(np.nanmean(values))
    assert found.high - found.low == pytest.approx(4 * 0.1 / 20, rel=0.15)


def test_calibration_is_the_distance_between_said_and_found():
    """Honest probabilities have a small error; sure ones that are half wrong have an error of one half."""
    rng = np.random.default_rng(2)
    probability = rng.random(20000)
    assert calibration_error(probability, rng.random(20000) < probability) < 0.02
    assert calibration_error(np.full(1000, 1.0), np.arange(1000) % 2 == 0) == pytest.approx(0.5)
    assert sum(count for *_, count in reliability(probability, probability > 0.5)) == 20000


def test_calibration_learnt_on_one_half_helps_the_other():
    """Logits four times too sure become honest, and keep their order within each half."""
    rng = np.random.default_rng(3)
    logit = rng.normal(size=(2000, 1))
    truth = rng.random((2000, 1)) < special.expit(logit)
    scaled = cross_calibrated(logit * 4, truth)
    before = calibration_error(special.expit(logit * 4)[:, 0], truth[:, 0])
    assert calibration_error(scaled[:, 0], truth[:, 0]) < 0.04 < before
    assert (np.diff(scaled[::2, 0][np.argsort(logit[::2, 0])]) >= 0).all()
