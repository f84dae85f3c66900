"""The numbers of a report from scores and truths: ROC, bootstrap intervals, calibration."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

BOOTSTRAPS, BINS = 1000, 10
Vector = NDArray[np.float64]
Truth = NDArray[np.bool_]


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


def area_under_roc(score: Vector, truth: Truth) -> float:
    """How often a positive scores above a negative, ties half; NaN where one kind is missing."""
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not positives or not negatives:
        return float("nan")
    ranks = stats.rankdata(score)
    return float((ranks[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def roc(score: Vector, truth: Truth) -> tuple[Vector, Vector]:
    """False and true positive rates at every threshold, from (0, 0) to (1, 1)."""
    order = np.argsort(-score, kind="stable")
    last_of_ties = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    hits, alarms = np.cumsum(truth[order])[last_of_ties], np.cumsum(~truth[order])[last_of_ties]
    return (
        np.concatenate([[0.0], alarms / max(alarms[-1], 1)]),
        np.concatenate([[0.0], hits / max(hits[-1], 1)]),
    )


def bootstrap_areas(scores: NDArray[np.float64], truths: NDArray[np.bool_], *, seed: int = 0) -> NDArray[np.float64]:
    """Areas ``(bootstrap, label)`` of studies drawn with replacement; scores and truths are ``(study, label)``."""
    rng = np.random.default_rng(seed)
    areas = np.empty((BOOTSTRAPS, scores.shape[1]))
    for index in range(BOOTSTRAPS):
        drawn = rng.integers(0, len(scores), len(scores))
        areas[index] = [area_under_roc(scores[drawn, i], truths[drawn, i]) for i in range(scores.shape[1])]
    return areas


def interval(value: float, samples: NDArray[np.float64]) -> Interval:
    """The 2.5th to 97.5th percentile of bootstrap samples; NaN samples (one class only) are left out."""
    samples = samples[np.isfinite(samples)]
    if not len(samples):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.percentile(samples, (2.5, 97.5))
    return Interval(value, float(low), float(high))


def area_interval(score: Vector, truth: Truth, samples: Vector) -> Interval:
    """An area with the interval of its bootstrap ``samples``.

    Where no pair of studies is in the wrong order, every sample is 1 and the bootstrap knows nothing; the low end is
    then the least true area with which such an answer is still likely (the score interval of Newcombe, Statistics in
    Medicine 25, 2006, his fifth).
    """
    found = interval(area_under_roc(score, truth), samples)
    if found.value < 1 or not (truth.any() and (~truth).any()):
        return found
    return Interval(1.0, _least_area(int(truth.sum()), int((~truth).sum())), 1.0)


def _least_area(positives: int, negatives: int) -> float:
    more = (positives + negatives) / 2 - 1

    def excess(area: float) -> float:
        """Squared distance from 1 in standard errors, over what 95 % allow."""
        spread = area * (1 - area) * (1 + more * (1 - area) / (2 - area) + more * area / (1 + area))
        return (1 - area) ** 2 - float(stats.chi2.ppf(0.95, 1)) * spread / (positives * negatives)

    return float(optimize.brentq(excess, 1e-9, 1 - 1e-9))


def share_interval(count: int, of: int) -> Interval:
    """A share with Wilson's interval; NaN of nothing."""
    if not of:
        return Interval(float("nan"), float("nan"), float("nan"))
    found = stats.binomtest(count, of).proportion_ci(method="wilson")
    return Interval(count / of, float(found.low), float(found.high))


def mean_interval(values: Vector, *, seed: int = 0) -> Interval:
    """The mean of one number a study with its interval over studies drawn with replacement; NaN is left out."""
    known = values[np.isfinite(values)]
    if not len(known):
        return Interval(float("nan"), float("nan"), float("nan"))
    drawn = np.random.default_rng(seed).integers(0, len(known), (BOOTSTRAPS, len(known)))
    return interval(float(known.mean()), known[drawn].mean(axis=1))


def reliability(probability: Vector, truth: Truth) -> list[tuple[float, float, int]]:
    """Mean probability, share of positives and count of ten equally filled bins."""
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, BINS) if len(part)]
    return [(float(probability[part].mean()), float(truth[part].mean()), len(part)) for part in parts]


def calibration_error(probability: Vector, truth: Truth) -> float:
    """Expected calibration error over equally filled bins."""
    bins = reliability(probability, truth)
    return sum(count * abs(expected - found) for expected, found, count in bins) / len(probability)


def cross_calibrated(logits: NDArray[np.float64], truths: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Probabilities after Platt scaling per label: each half of the studies is scaled by what the other half taught."""
    halves = np.arange(len(logits)) % 2
    probability = np.empty_like(logits)
    for label in range(logits.shape[1]):
        for half in (0, 1):
            slope, offset = _platt(logits[halves != half, label], truths[halves != half, label])
            probability[halves == half, label] = special.expit(slope * logits[halves == half, label] + offset)
    return probability


def _platt(logit: Vector, truth: Truth) -> tuple[float, float]:
    """Slope and offset of the maximum likelihood, held gently to 1 and 0 (Platt 1999)."""

    def loss(parameters: Vector) -> float:
        scaled = parameters[0] * logit + parameters[1]
        likelihood = np.logaddexp(0, scaled) - truth * scaled
        return float(likelihood.sum() + 0.05 * ((parameters[0] - 1) ** 2 + parameters[1] ** 2))

    found = optimize.minimize(loss, np.array([1.0, 0.0]), method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-4})
    return float(found.x[0]), float(found.x[1])
