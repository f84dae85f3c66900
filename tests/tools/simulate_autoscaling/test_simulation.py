"""Arrivals, pods, queues, the bound and the outcomes: what a year is made of, and a short one as a whole."""

import json

import numpy as np
import pytest

from tests.chart.rendering import needs_helm
from tools.simulate_autoscaling import trace
from tools.simulate_autoscaling.arrivals import DAY, Hospital, arrivals
from tools.simulate_autoscaling.bound import lower_bound_hours
from tools.simulate_autoscaling.fleet import Pods, Work
from tools.simulate_autoscaling.outcome import latencies, outcome, restlessness
from tools.simulate_autoscaling.workload import Workload, gain
from tools.simulate_autoscaling.year import COUNTED, STEP_SECONDS, Trace, by_day

LOAD = Workload(study=10.0, before=10.0, after=5.0)
STEPS = COUNTED.stop


def test_a_hospital_has_the_volume_of_the_inventory():
    """Four scanners, 1.8 exams an hour, 15.3 hours: 110 studies on a working day, fewer on a Sunday, few at night."""
    counts = arrivals(20, 28, seed=1).reshape(28, DAY)
    weekday = counts[[day for day in range(28) if day % 7 < 5]].sum(axis=1).mean() / 20
    weekend = counts[[day for day in range(28) if day % 7 >= 5]].sum(axis=1).mean() / 20
    assert weekday == pytest.approx(Hospital().weekday_studies, rel=0.08)
    assert weekend == pytest.approx(0.68 * weekday, rel=0.1)
    assert counts[:, : 5 * 3600].sum() < 0.05 * counts.sum()


def test_an_outage_delays_studies_and_loses_none():
    """What was scanned meanwhile is sent after it, one by one."""
    quiet = Hospital(outages=0, common_outages=0)
    calm, broken = (
        arrivals(1, 60, 7, quiet),
        arrivals(1, 60, 7, Hospital(outages=60, common_outages=0, resend_seconds=0)),
    )
    assert abs(int(calm.sum()) - int(broken.sum())) <= 0.02 * calm.sum()
    assert broken.min() >= 0
    assert broken.max() > calm.max()


def test_the_same_seed_is_the_same_year():
    """A report can be made again."""
    assert np.array_equal(arrivals(20, 7, 1), arrivals(20, 7, 1))
    assert not np.array_equal(arrivals(20, 7, 1), arrivals(20, 7, 2))


def test_days_overlap_by_their_warm_up_alone():
    """Every second of the counted time is in one lane."""
    counts = np.zeros(3 * DAY, np.int16)
    counts[5 * 3600], counts[DAY + 3 * 3600], counts[DAY + 5 * 3600] = 1, 2, 4
    lanes = by_day(counts)
    assert lanes.shape == (COUNTED.stop, 2)
    assert list(lanes[COUNTED].sum(axis=0)) == [3, 4]
    assert list(lanes.sum(axis=0)) == [3, 6]  # 03:00 warms the second day up


def test_a_pod_serves_after_its_cold_start_and_is_paid_from_the_beginning():
    """Sixty seconds that cost and do nothing; and so does its way out."""
    pods = Pods(np.array([1.0]), start_seconds=60, leave_seconds=30)
    pods.resize(0, np.array([3.0]))
    pods.step(55, 55)
    assert (pods.ready, pods.asked, pods.paid) == (1, 3, 165)
    pods.step(60, 5)
    assert (pods.ready, pods.paid) == (3, 180)
    pods.resize(60, np.array([2.0]))
    assert (pods.ready, pods.asked, pods.paid) == (2, 2, 210)


def test_pods_that_do_not_serve_yet_leave_first():
    """As a ReplicaSet chooses; what serves stays."""
    pods = Pods(np.array([2.0]), start_seconds=60, leave_seconds=30)
    pods.resize(0, np.array([5.0]))
    pods.resize(15, np.array([3.0]))
    assert (pods.ready, pods.asked, pods.paid) == (2, 3, 0)
    pods.resize(30, np.array([1.0]))
    assert (pods.ready, pods.asked, pods.paid) == (1, 1, 30)


def test_work_is_done_at_the_speed_of_the_pods():
    """Two pods, ten seconds a study: twelve a minute, however many wait; batches gain what they gain."""
    work = Work(10.0, np.array([100.0]))
    done = sum(work.step(5, np.zeros(1), np.array([2.0]), np.array([100.0]))[0] for _ in range(12))
    assert done == pytest.approx(12 * gain(np.array(4.0)), abs=1)


def test_counters_are_tritons():
    """A batch's time counts once a request, so the busy time is compute by executions a request."""
    work = Work(10.0, np.array([40.0]))
    for _ in range(60):
        work.step(5, np.zeros(1), np.array([1.0]), np.array([100.0]))
    busy = work.compute * work.executions / work.answered
    assert busy == pytest.approx(300, rel=0.05)
    assert work.compute / busy == pytest.approx(4, rel=0.05)
    assert work.queued > 0


def test_callers_bound_what_is_inside_triton():
    """With one worker one pod works, however many there are."""
    work = Work(10.0, np.array([50.0]))
    done = sum(work.step(5, np.zeros(1), np.array([9.0]), np.array([1.0]))[0] for _ in range(12))
    assert done == 6


def a_trace(arrived_at: list[int], answered_at: list[int]) -> Trace:
    """One lane; steps of arrivals and answers from the counted begin on."""
    steps = np.zeros((2, STEPS, 1), np.int16)
    for row, moments in zip(steps, (arrived_at, answered_at), strict=True):
        np.add.at(row[:, 0], np.array(moments) + COUNTED.start, 1)
    asked = np.full((STEPS, 1), 2, np.int16)
    return Trace(steps[0], steps[1], asked, asked, np.array([7200.0]))


def test_latencies_are_first_come_first_served():
    """From the last slice to the visible result, never shorter than the work itself."""
    seconds = latencies(a_trace([0, 4, 4], [5, 6, 16]), 0, LOAD)
    assert list(seconds) == [30, 25, 65]
    assert list(latencies(a_trace([0], [1]), 0, LOAD)) == [25]


def test_an_outcome_counts_late_studies_and_hours():
    """One of three is later than a minute."""
    found = outcome(a_trace([0, 4, 4], [5, 6, 16]), LOAD, bound_hours=1.5)
    assert (found.studies, found.gpu_hours, found.lower_bound_gpu_hours) == (3, 2.0, 1.5)
    assert found.late_share == pytest.approx(1 / 3)


def test_a_reversal_is_a_turn():
    """Up, up, down, up: three pods' changes and two turns; lanes are counted alone."""
    asked = np.array([[1, 5], [2, 5], [4, 5], [3, 5], [4, 4]], np.int16)
    assert restlessness(asked) == (5, 2)


def test_nobody_pays_less_than_the_bound():
    """An idle day costs the minimum; a burst costs its own work beyond what the minimum does in time, but for 1 %."""
    quiet = np.zeros((STEPS, 1), np.int16)
    assert lower_bound_hours(quiet, 2, LOAD) == pytest.approx(48)
    burst = quiet.copy()
    burst[COUNTED.start + 100] = 1000
    fastest = LOAD.unit_seconds(4)
    patience = int((60 - 15 - fastest) / STEP_SECONDS) * STEP_SECONDS
    expected = (1000 - 2 * (patience + STEP_SECONDS) / fastest - 10) * fastest / 3600
    assert lower_bound_hours(burst, 2, LOAD) - 48 == pytest.approx(expected, rel=0.01)


@needs_helm
def test_a_short_year_as_a_whole(tmp_path):
    """Every policy at one scale; ours keeps its promise, and the report has what was agreed."""
    results = trace.simulate(1, tmp_path, 1, scales=(20,))
    report = json.loads((tmp_path / "report.json").read_text())
    agreed = {"p95_s", "p99_s", "gpu_hours", "lower_bound_gpu_hours", "replica_changes", "reversals", "late_share"}
    for label in ("results", "heavy"):
        assert report[label].keys() == set(trace.POLICIES)
        assert all(agreed <= scales["20"].keys() for scales in report[label].values())
    ours = results["heavy"]["articula"]["20"]
    assert ours.p99_s <= 60
    assert ours.lower_bound_gpu_hours <= ours.gpu_hours <= 1.25 * ours.lower_bound_gpu_hours
    assert (tmp_path / "trace.png").stat().st_size > 20_000
    assert "| 20 | articula |" in (tmp_path / "report.md").read_text()
