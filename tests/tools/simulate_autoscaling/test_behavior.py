"""Windows and policies bound a change as Kubernetes' own tests expect.

Vectors are those of ``pkg/controller/podautoscaler/horizontal_test.go``; each test names the one there.
"""

import numpy as np
import pytest

from tools.simulate_autoscaling.behavior import (
    Behavior,
    Changes,
    History,
    Policy,
    Rules,
    bounded,
    read_behavior,
    stabilized,
)


def lanes(value: float) -> np.ndarray:
    return np.array([float(value)])


def rules(pods, pods_period, percent, percent_period, window):
    """``generateScalingRules`` of the Go tests."""
    policies = [Policy("Pods", pods, pods_period)] if pods else []
    policies += [Policy("Percent", percent, percent_period)] if percent else []
    return Rules(window, tuple(policies))


def spread(changes: list[int], seconds: float) -> list[tuple[float, float]]:
    """(seconds ago, change): one in the middle of each part of the time, as the Go tests generate them."""
    part = seconds / len(changes)
    return [(seconds - part * (index + 1) + part / 2, change) for index, change in enumerate(changes)]


def converted(current, desired, least, most, *, up=None, down=None, added=(), removed=()):
    """Bound a change, then keep it within least and most."""
    behavior = Behavior(up or Behavior.up, down or Behavior.down)
    changes = Changes(History(1e6), History(1e6))
    for history, events in ((changes.added, added), (changes.removed, removed)):
        for ago, change in sorted(events, reverse=True):
            history.add(1000 - ago, lanes(change))
    allowed = bounded(lanes(desired), lanes(current), changes, 1000, behavior)
    return np.clip(allowed, least, most)[0]


UP = spread([1, 5, 9], 120)
MIXED = spread([8, 12, 9, 11], 120)
TENS = spread([10, 10, 10], 120)


@pytest.mark.parametrize(
    ("name", "current", "desired", "bounds", "given", "expected"),
    [
        ("within range", 5, 7, (3, 8), {}, 7),
        ("< minReplicas", 3, 1, (2, 8), {}, 2),
        ("within range when minReplicas is 0", 1, 0, (0, 10), {}, 0),
        ("maxReplicas is the limit", 20, 1000, (1, 10), {}, 10),
        ("more than the maximum", 100, 1000, (100, 150), {}, 150),
        ("scaleUpLimit with user policies", 3, 1000, (1, 2000), {"up": rules(0, 0, 1, 60, 0)}, 4),
        ("scaleDownLimit with user policies", 1000, 3, (3, 2000), {"down": rules(20, 60, 0, 0, 0)}, 980),
        ("scaleUp with default behavior", 10, 50, (1, 1000), {}, 20),
        ("pods larger than percent", 10, 500, (1, 1000), {"up": rules(100, 60, 100, 60, 0)}, 110),
        ("percent larger than pods", 10, 500, (1, 1000), {"up": rules(2, 60, 100, 60, 0)}, 20),
        ("large pod policy", 10, 50, (1, 1000), {"up": rules(100, 60, 0, 0, 0)}, 50),
        ("pod policy limitation", 10, 50, (1, 1000), {"up": rules(30, 60, 0, 0, 0)}, 40),
        ("percent policy limitation", 10, 50, (1, 1000), {"up": rules(0, 0, 200, 60, 0)}, 30),
        ("down: pods larger", 100, 2, (1, 1000), {"down": rules(20, 60, 1, 60, 300)}, 80),
        ("down: two pods", 100, 2, (1, 1000), {"down": rules(2, 60, 1, 60, 300)}, 98),
        ("down: large pod policy", 10, 0, (1, 1000), {"down": rules(100, 60, 0, 0, 300)}, 1),
        ("down: large percent policy", 10, 2, (5, 1000), {"down": rules(0, 0, 100, 60, 300)}, 5),
        ("down: pod policy limitation", 10, 2, (1, 1000), {"down": rules(5, 60, 0, 0, 300)}, 5),
        ("down: percent policy limitation", 10, 5, (1, 1000), {"down": rules(0, 0, 50, 60, 300)}, 5),
        ("up, large pods and events", 100, 500, (1, 200), {"added": UP, "up": rules(300, 60, 0, 0, 0)}, 200),
        ("up, large percent and events", 100, 500, (1, 200), {"added": UP, "up": rules(0, 0, 10000, 60, 0)}, 200),
        ("up, a lot of recent events", 100, 500, (1, 1000), {"added": UP, "up": rules(5, 120, 0, 0, 0)}, 100),
        ("up, pods and events", 100, 500, (1, 1000), {"added": UP, "up": rules(150, 120, 0, 0, 0)}, 235),
        ("up, percent and events", 100, 500, (1, 1000), {"added": UP, "up": rules(0, 0, 200, 120, 0)}, 255),
        ("down, default and events", 10, 5, (1, 1000), {"removed": UP}, 5),
        ("down, large pods, events", 100, 0, (1, 1000), {"removed": UP, "down": rules(115, 120, 0, 0, 300)}, 1),
        ("down, minimum, events", 100, 0, (5, 1000), {"removed": UP, "down": rules(130, 120, 0, 0, 300)}, 5),
        ("down, all, events", 100, 2, (5, 1000), {"removed": UP, "down": rules(0, 0, 100, 120, 300)}, 5),
        ("down, pods, events", 100, 2, (1, 1000), {"removed": UP, "down": rules(5, 120, 0, 0, 300)}, 100),
        (
            "down, percent, events", 100, 0, (1, 1000),
            {"removed": spread([2, 4, 6], 120), "down": rules(0, 0, 50, 120, 300)}, 56,
        ),
        ("events prevent shrinking", 100, 0, (1, 1000), {"removed": TENS, "down": rules(0, 0, 10, 120, 300)}, 100),
        ("events allow shrinking", 10, 5, (1, 1000), {"removed": TENS, "down": rules(0, 0, 1000, 120, 300)}, 5),
        ("outdated, up", 100, 200, (1, 1000), {"added": MIXED, "up": rules(1000, 60, 0, 0, 0)}, 200),
        ("not outdated, up", 100, 200, (1, 1000), {"added": MIXED, "up": rules(1000, 120, 100, 60, 0)}, 200),
        ("outdated, two up", 100, 200, (1, 1000), {"added": MIXED, "up": rules(1000, 30, 100, 60, 0)}, 200),
        ("outdated, down", 100, 5, (1, 1000), {"removed": MIXED, "down": rules(1000, 60, 0, 0, 300)}, 5),
        ("not outdated, down", 100, 5, (1, 1000), {"removed": MIXED, "down": rules(1000, 120, 100, 60, 300)}, 5),
        ("outdated, two down", 100, 5, (1, 1000), {"removed": MIXED, "down": rules(1000, 30, 100, 60, 300)}, 5),
    ],
)  # fmt: skip
def test_scaling_with_rules(name, current, desired, bounds, given, expected):
    """TestScalingWithRules and TestConvertDesiredReplicasWithRules."""
    assert converted(current, desired, *bounds, **given) == expected, name


def test_the_policy_that_allows_least():
    """TestCalculateScaleUpLimitWithScalingRules and TestCalculateScaleDownLimitWithBehaviors."""
    both = Rules(300, (Policy("Pods", 2, 60), Policy("Percent", 50, 60)), "Min")
    assert converted(1, 100, 0, 1000, up=both) == 2
    assert converted(5, 0, 0, 1000, down=both) == 3


def test_a_direction_may_be_off():
    """Where nothing is selected the size is kept."""
    off = Rules(0, (Policy("Pods", 2, 60),), "Disabled")
    assert converted(5, 9, 0, 10, up=off) == 5
    assert converted(5, 1, 0, 10, down=off) == 5


def test_removals_of_the_period_make_room_for_growth():
    """The period is counted from where it began, whatever happened in it, as Kubernetes does since 1.24."""
    assert converted(10, 99, 0, 100, up=rules(5, 60, 0, 0, 0), removed=[(30, 4)]) == 19


@pytest.mark.parametrize(
    ("name", "recommendations", "current", "desired", "windows", "expected"),
    [
        ("empty, down", [], 100, 5, (0, 0), 5),
        ("simple scale down", [(120, 4), (60, 5)], 100, 3, (0, 180), 5),
        ("simple scale up", [(120, 4), (60, 5)], 1, 7, (300, 0), 4),
        ("no scale down stabilization", [(120, 1), (60, 2)], 100, 3, (300, 0), 3),
        ("no scale up stabilization", [(120, 4), (60, 5)], 1, 3, (0, 300), 3),
        ("old ones, down", [(600, 10), (540, 9)], 100, 3, (0, 0), 3),
        ("old ones, up", [(600, 10), (540, 9)], 1, 100, (0, 0), 100),
        ("one of them old, down", [(600, 10), (540, 9), (120, 5), (60, 4)], 100, 3, (0, 180), 5),
        ("one of them old, up", [(6000, 10), (180, 9), (120, 5), (60, 6)], 1, 100, (300, 0), 5),
    ],
)
def test_stabilization(name, recommendations, current, desired, windows, expected):
    """TestNormalizeDesiredReplicasWithBehavior and TestNormalizeDesiredReplicas."""
    history = History(1e6)
    for ago, value in recommendations:
        history.add(10_000 - ago, lanes(value))
    behavior = Behavior(Rules(windows[0], Behavior.up.policies), Rules(windows[1], Behavior.down.policies))
    assert stabilized(lanes(desired), lanes(current), history, 10_000, behavior)[0] == expected, name


@pytest.mark.parametrize(("ages", "expected"), [([], 0), ([(61, 7)], 0), ([(58, 7)], 7), ([(58, 7), (59, 6)], 13)])
def test_changes_of_a_minute(ages, expected):
    """TestStoreScaleEvents: what is older than the period no longer counts."""
    changes = Changes(History(120), History(120))
    for ago, change in sorted(ages, reverse=True):
        changes.added.add(1000 - ago, lanes(change))
    assert changes.net(1000 - 60)[0] == expected


def test_old_entries_are_forgotten():
    """A year of recommendations would not fit in memory."""
    history = History(60)
    for second in range(0, 600, 15):
        history.add(second, lanes(second))
    assert len(history.since(-1)) <= 5


def test_what_an_object_leaves_out_has_the_default_of_kubernetes():
    """Growth by four pods or by everything in 15 s, shrinking after five minutes."""
    assert read_behavior({}) == Behavior()
    given = read_behavior({"scaleDown": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}})
    assert given.down == Rules(300, (Policy("Pods", 1, 60),))
    assert given.up == Behavior.up
