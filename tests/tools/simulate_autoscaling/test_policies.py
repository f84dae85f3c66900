"""Deciders ask what they are told to ask; KEDA's part is floors, sleep and waking."""

from dataclasses import replace

import numpy as np
import pytest

from tools.simulate_autoscaling.behavior import Behavior, Policy, Rules
from tools.simulate_autoscaling.chart import Floor, Scaling, Signal
from tools.simulate_autoscaling.policies import Decider, Deployment, rivals
from tools.simulate_autoscaling.promql import Vector
from tools.simulate_autoscaling.scrapes import SimulatedScrapes

FREE = Behavior(Rules(0, (Policy("Pods", 100, 15),)), Rules(0, (Policy("Pods", 100, 15),)))
SCALING = Scaling(1, 10, FREE, (Signal("work", "sum(work)", 2.0),))
TUESDAY = 86400.0


def sizes(scaling: Scaling, work: list[float], begin: float = 0.0) -> list[float]:
    """The size after each look, when pods are ready at once; NaN is a signal without an answer."""
    decider, scrapes, size, found = Decider(scaling), SimulatedScrapes(15, np.array([begin])), np.array([1.0]), []
    for index, each in enumerate(work):
        series = np.array([0.0 if np.isnan(each) else 1.0])
        scrapes.add(15.0 * index, {"work": Vector(np.array([each]), series)})
        size = decider.decide(scrapes, Deployment(size, size))
        found.append(size[0])
    return found


def test_the_signal_decides():
    """Seven by two a pod."""
    assert sizes(SCALING, [7.0, 1.0]) == [4, 1]


def test_without_an_answer_nothing_shrinks():
    """An empty answer of Prometheus is no zero."""
    assert sizes(SCALING, [7.0, np.nan]) == [4, 4]


def test_a_floor_holds_in_its_hours_alone():
    """Three pods on Tuesdays from 06:30, one before."""
    floored = replace(SCALING, floors=(Floor(frozenset({1}), 390, 600, 3),))
    at_six_thirty = TUESDAY + 390 * 60
    assert sizes(floored, [0.0, 0.0, 0.0], at_six_thirty - 15) == [1, 3, 3]
    assert sizes(floored, [0.0], at_six_thirty + 86400) == [1]
    assert sizes(floored, [9.0], at_six_thirty) == [5]


def test_a_pool_of_zero_sleeps_after_its_cooldown_and_wakes_for_any_work():
    """KEDA's operator does what the HPA can't."""
    asleep = sizes(replace(SCALING, least=0, cooldown=30), [0.0, 0.0, 0.0, 0.0, 5.0, 5.0])
    assert asleep == [1, 1, 0, 0, 1, 3]


def test_rivals_keep_our_bounds():
    """The comparison is about signals and behaviours, not about sizes."""
    others = rivals(replace(SCALING, least=3, most=40), busiest=0.5, unit=12.0)
    assert set(others) == {"nvidia", "supersonic", "cpu", "static"}
    assert others["static"].least == others["static"].most == 10  # half a study a second, 12 s each, 60 % busy
    for name in ("nvidia", "supersonic", "cpu"):
        assert (others[name].least, others[name].most) == (3, 40)
    assert others["supersonic"].behavior.down == Rules(600, (Policy("Pods", 1, 120),))


@pytest.mark.parametrize(
    ("name", "queued", "busy", "expected"),
    [("nvidia", 40.0, 10.0, 6), ("supersonic", 30.0, 1.0, 2), ("cpu", 0.0, 1.9, 3)],
)
def test_what_rivals_ask(name, queued, busy, expected):
    """Four times as long in the queue asks for all that may come at once, 95 % CPU for one more; SuperSONIC waits."""
    decider = Decider(rivals(SCALING, 0.1, 1.0)[name])
    scrapes, pods = SimulatedScrapes(15, np.zeros(1)), np.array([2.0])
    for index in range(5):
        totals = {
            "nv_inference_queue_duration_us": queued * 1e6 * index,
            "nv_inference_compute_infer_duration_us": busy * 1e6 * index,
            "nv_inference_exec_count": 100.0 * index,
            "container_cpu": busy,
        }
        scrapes.add(15.0 * index, {key: Vector(np.array([value]), pods) for key, value in totals.items()})
    assert decider.decide(scrapes, Deployment(pods, pods))[0] == expected
