"""Nothing but the findings themselves may tell one class from the other."""

import numpy as np

from services.common.finding import LABELS
from services.common.volume import Plane
from tools.phantom.acquire import acquire
from tools.phantom.anatomy import knee, stream
from tools.phantom.protocol import PD_FS, Protocol, vary

KNEES = 120


def border(seed, findings):
    """What the air around the leg shows of a knee: its share, extent and middle, slice by slice in short."""
    one = knee(seed, findings)
    rng = one.stream("series axial")
    series = acquire(one, vary(Protocol(Plane.AXIAL, PD_FS, matrix=32), rng), rng)
    smooth = series.image.voxels.astype(float)
    leg = smooth > np.percentile(smooth, 99) * 0.04
    rows, columns = np.nonzero(leg.any(axis=0))
    return [leg.mean(), leg[: len(leg) // 2].mean(), np.ptp(rows), np.ptp(columns), rows.mean(), columns.mean()]


def left_out_scores(features, truth):
    """Ridge regression on the other half of the knees, twice."""
    scores = np.zeros(len(truth))
    scaled = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-9)
    for half in (slice(0, None, 2), slice(1, None, 2)):
        other = np.ones(len(truth), bool)
        other[half] = False
        x, y = scaled[other], truth[other] - truth[other].mean()
        scores[half] = scaled[half] @ np.linalg.solve(x.T @ x + 3 * np.eye(x.shape[1]), x.T @ y)
    return scores


def area(scores, truth):
    positive, negative = scores[truth], scores[~truth]
    return float((positive[:, None] > negative[None]).mean() + 0.5 * (positive[:, None] == negative[None]).mean())


def test_the_border_of_the_leg_says_nothing_about_the_findings():
    """A classifier on the border between air and skin alone is no better than a coin."""
    chosen = [
        frozenset(np.array(LABELS)[stream(seed, "leak").random(len(LABELS)) < 0.5].tolist()) for seed in range(KNEES)
    ]
    features = np.array([border(seed, findings) for seed, findings in enumerate(chosen)])
    areas = [
        area(left_out_scores(features, truth), truth)
        for truth in (np.array([name in findings for findings in chosen]) for name in LABELS)
    ]
    assert abs(np.mean(areas) - 0.5) < 0.05
    assert max(abs(each - 0.5) for each in areas) < 0.2  # 120 knees: 3.5 standard errors


def test_side_protocol_and_place_are_the_same_with_and_without_findings():
    """Everything that is drawn before the lesions depends on the seed alone."""
    for seed in range(5):
        healthy, ill = knee(seed), knee(seed, frozenset(LABELS))
        assert (healthy.laterality, healthy.anatomy) == (ill.laterality, ill.anatomy)
        protocols = [vary(Protocol(Plane.CORONAL, PD_FS), one.stream("series coronal")) for one in (healthy, ill)]
        assert protocols[0] == protocols[1]
