"""The controller's order of decisions, one lane or many."""

import numpy as np

from tools.simulate_autoscaling.autoscaler import Autoscaler
from tools.simulate_autoscaling.behavior import Behavior, Policy, Rules

NAN = np.array([np.nan])
FREE = Behavior(Rules(0, (Policy("Pods", 100, 15),)), Rules(0, (Policy("Pods", 100, 15),)))


def lanes(*values: float) -> np.ndarray:
    return np.array(values, float)


def test_the_largest_wish_counts():
    """Two metrics, one answer."""
    assert Autoscaler(1, 10, FREE).sync(0, [lanes(3), lanes(5)], lanes(2)) == 5


def test_one_missing_metric_lets_grow_but_not_shrink():
    """TestScaleUpOneMetricEmpty and TestNoScaleDownOneMetricEmpty of horizontal_test.go."""
    assert Autoscaler(2, 6, FREE).sync(0, [NAN, lanes(4)], lanes(3)) == 4
    assert Autoscaler(2, 6, FREE).sync(0, [NAN, lanes(3)], lanes(5)) == 5


def test_without_any_metric_nothing_changes():
    """Silence is no zero."""
    assert Autoscaler(1, 10, FREE).sync(0, [NAN, NAN], lanes(4)) == 4


def test_a_size_outside_the_bounds_is_brought_inside_at_once():
    """No policy delays it."""
    slow = Behavior(Rules(300, (Policy("Pods", 1, 60),)), Rules(300, (Policy("Pods", 1, 60),)))
    assert Autoscaler(3, 10, slow).sync(0, [lanes(9)], lanes(1)) == 3
    assert Autoscaler(3, 10, slow).sync(0, [lanes(1)], lanes(20)) == 10


def test_a_deployment_of_zero_is_left_alone():
    """It was switched off by hand, or sleeps."""
    assert Autoscaler(1, 10, FREE).sync(0, [lanes(5)], lanes(0)) == 0


def test_the_size_at_the_start_counts_as_a_recommendation():
    """TestScaleDownStabilizeInitialSize: a new controller does not shrink at once."""
    autoscaler = Autoscaler(1, 10, Behavior())
    assert autoscaler.sync(0, [lanes(2)], lanes(8)) == 8
    assert autoscaler.sync(299, [lanes(2)], lanes(8)) == 8
    assert autoscaler.sync(301, [lanes(2)], lanes(8)) == 2


def test_lanes_do_not_know_each_other():
    """Many clusters at once decide as each would alone, through growth, windows and gaps in the metrics."""
    rng = np.random.default_rng(3)
    wishes = np.where(rng.random((200, 6)) < 0.1, np.nan, rng.integers(0, 20, (200, 6)).astype(float))
    behavior = Behavior(
        Rules(30, (Policy("Percent", 50, 30), Policy("Pods", 2, 30))), Rules(120, (Policy("Pods", 1, 60),))
    )
    together, size = Autoscaler(2, 15, behavior), np.full(6, 2.0)
    alone = [(Autoscaler(2, 15, behavior), [2.0]) for _ in range(6)]
    for step, row in enumerate(wishes):
        size = together.sync(15.0 * step, [row], size)
        for lane, (autoscaler, sizes) in enumerate(alone):
            sizes.append(autoscaler.sync(15.0 * step, [row[lane : lane + 1]], lanes(sizes[-1]))[0])
    assert list(size) == [sizes[-1] for _, sizes in alone]
    assert len(set(alone[0][1])) > 5, "nothing happened"
