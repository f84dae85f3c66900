"""The replica calculator gives what Kubernetes' own tests expect.

Vectors are those of ``pkg/controller/podautoscaler/replica_calculator_test.go``; each case bears its test's name there.
"""

import numpy as np
import pytest

from tools.simulate_autoscaling.readiness import Pod, Standing, count, standing
from tools.simulate_autoscaling.replicas import Members, for_average, for_pods, for_resource, for_value

NOT_READY = Pod(ready=False, age=300, since=300)
READY = Pod(age=600, since=600)
HOT = Pod(age=60, since=30, sample=0, window=60)  # started a minute ago: its sample covers its start
FAILED, PENDING, LEAVING = Pod(phase="Failed"), Pod(phase="Pending"), Pod(leaving=True)


def lanes(value: float) -> np.ndarray:
    return np.array([float(value)])


def of_pods(rule, current, target, levels, pods=None, *, cpu):
    """One calculation from levels by pod, in the order of the pods; a pod beyond the levels has no sample."""
    pods = pods or [READY] * current
    sampled = [Pod(**{**pod.__dict__, "sample": None}) if i >= len(levels) else pod for i, pod in enumerate(pods)]
    counts = count(sampled, cpu=cpu)
    used = sum(
        level for level, pod in zip(levels, sampled, strict=False) if standing(pod, cpu=cpu) is Standing.MEASURED
    )
    members = Members(*(lanes(counts[each]) for each in (Standing.MEASURED, Standing.IGNORED, Standing.MISSING)))
    return rule(lanes(used), target, lanes(current), members)[0]


@pytest.mark.parametrize(
    ("name", "current", "expected", "target", "levels", "pods"),
    [
        ("ScaleUp", 3, 5, 30, [300, 500, 700], None),
        ("ScaleUpUnreadyLessScale", 3, 4, 30, [300, 500, 700], [NOT_READY, READY, READY]),
        ("ScaleUpHotCpuLessScale", 3, 4, 30, [300, 500, 700], [HOT, READY, READY]),
        ("ScaleUpUnreadyNoScale", 3, 3, 30, [400, 500, 700], [READY, NOT_READY, NOT_READY]),
        ("ScaleHotCpuNoScale", 3, 3, 30, [400, 500, 700], [READY, HOT, HOT]),
        ("ScaleUpIgnoresFailedPods", 2, 4, 30, [500, 700], [READY, READY, FAILED, FAILED]),
        ("ScaleUpIgnoresDeletionPods", 2, 4, 30, [500, 700], [READY, READY, LEAVING, LEAVING]),
        ("ScaleDown", 5, 3, 50, [100, 300, 500, 250, 250], None),
        ("ScaleDownIncludeUnreadyPods", 5, 2, 50, [100, 300, 500, 250, 250], [READY] * 3 + [NOT_READY] * 2),
        ("ScaleDownExcludeUnscheduledPods", 5, 1, 50, [100], [READY] + [PENDING] * 4),
        ("ScaleDownIgnoreHotCpuPods", 5, 2, 50, [100, 300, 500, 250, 250], [READY] * 3 + [HOT] * 2),
        ("ScaleDownIgnoresFailedPods", 5, 3, 50, [100, 300, 500, 250, 250], [READY] * 5 + [FAILED] * 2),
        ("ScaleDownIgnoresDeletionPods", 5, 3, 50, [100, 300, 500, 250, 250], [READY] * 5 + [LEAVING] * 2),
        ("Tolerance", 3, 3, 100, [1010, 1030, 1020], None),
        ("MissingMetrics", 4, 3, 100, [400, 95], None),
        ("MissingMetricsNoChangeEq", 2, 2, 100, [1000], None),
        ("MissingMetricsNoChangeGt", 2, 2, 100, [1900], None),
        ("MissingMetricsNoChangeLt", 2, 2, 100, [600], None),
        ("MissingMetricsUnreadyChange", 3, 3, 50, [100, 450], [NOT_READY, READY, READY]),
        ("MissingMetricsHotCpuNoChange", 3, 3, 50, [100, 450], [HOT, READY, READY]),
        ("MissingMetricsUnreadyScaleUp", 3, 4, 50, [100, 2000], [NOT_READY, READY, READY]),
        ("MissingMetricsUnreadyScaleDown", 4, 3, 50, [100, 100, 100], [NOT_READY, READY, READY, READY]),
    ],
)
def test_cpu(name, current, expected, target, levels, pods):
    """TestReplicaCalc<name>: milli-CPU of pods that request a CPU each, against a percentage."""
    of_milli = [level / 1000 for level in levels]
    assert of_pods(for_resource, current, target / 100, of_milli, pods, cpu=True) == expected, name


@pytest.mark.parametrize(
    ("name", "current", "expected", "target", "levels", "pods"),
    [
        ("ScaleUpCM", 3, 4, 15000, [20000, 10000, 30000], None),
        ("ScaleUpCMUnreadyHotCpuNoLessScale", 3, 6, 15000, [50000, 10000, 30000], [READY, READY, NOT_READY]),
        ("ScaleUpCMUnreadyHotCpuScaleWouldScaleDown", 3, 7, 15000, [50000, 15000, 30000], [NOT_READY, READY, HOT]),
        ("ScaleDownCM", 5, 3, 20000, [12000] * 5, None),
        ("ToleranceCM", 3, 3, 20000, [20000, 21000, 21000], None),
    ],
)
def test_metrics_of_pods(name, current, expected, target, levels, pods):
    """TestReplicaCalc<name>: queries a second of each pod, whose readiness does not matter."""
    assert of_pods(for_pods, current, target, levels, pods, cpu=False) == expected, name


@pytest.mark.parametrize(
    ("name", "current", "expected", "total", "target"),
    [
        ("ScaleUpPerPodCMExternal", 3, 4, 8600, 2150),
        ("ScaleDownPerPodCMExternal", 5, 3, 8600, 2867),
        ("TolerancePerPodCMExternal", 3, 3, 8600, 2900),
        ("ScaleUpCMPerPodObject", 3, 4, 20000, 5000),
        ("ScaleDownPerPodCMObject", 5, 3, 6000, 2000),
        ("TolerancePerPodCMObject", 4, 4, 20166, 5000),
    ],
)
def test_external_average(name, current, expected, total, target):
    """TestReplicaCalc<name>: AverageValue, the type that the chart uses."""
    assert for_average(lanes(total), target, lanes(current))[0] == expected, name


@pytest.mark.parametrize(
    ("name", "current", "ready", "expected", "value", "target"),
    [
        ("ScaleUpCMExternal", 1, 1, 2, 8600, 4400),
        ("ScaleUpCMExternalIgnoresUnreadyPods", 3, 1, 2, 8600, 4400),
        ("ScaleUpCMObject", 3, 3, 4, 20000, 15000),
        ("ScaleUpCMObjectIgnoresUnreadyPods", 3, 1, 5, 50000, 10000),
        ("ScaleDownCMExternal", 5, 5, 3, 8600, 14334),
        ("ScaleDownCMObject", 5, 5, 3, 12000, 20000),
        ("ToleranceCMExternal", 3, 3, 3, 8600, 8888),
        ("ToleranceCMObject", 3, 3, 3, 20666, 20000),
    ],
)
def test_external_value(name, current, ready, expected, value, target):
    """TestReplicaCalc<name>: Value, the type that SuperSONIC uses."""
    assert for_value(lanes(value), target, lanes(current), lanes(ready))[0] == expected, name


def test_a_missing_metric_asks_for_nothing():
    """NaN in, NaN out; and pods without any sample are no base for a number."""
    assert np.isnan(for_average(lanes(np.nan), 1, lanes(3)))[0]
    assert np.isnan(for_value(lanes(np.nan), 1, lanes(3), lanes(3)))[0]
    assert np.isnan(for_pods(lanes(0), 1, lanes(2), Members(lanes(0), lanes(1), lanes(1))))[0]


def test_from_none_an_average_asks_for_what_the_total_needs():
    """A sleeping Deployment is woken to the size that fits."""
    assert for_average(lanes(70), 35, lanes(0))[0] == 2


@pytest.mark.parametrize(
    ("name", "pod", "cpu", "expected"),
    [
        ("count in a ready pod - memory", Pod(phase="Succeeded"), False, Standing.MEASURED),
        ("ignore a pod without ready condition", Pod(ready=None, age=0), True, Standing.IGNORED),
        ("fresh metrics during initialization", Pod(age=60, since=30, window=30), True, Standing.MEASURED),
        ("no fresh metrics during initialization", Pod(age=60, since=30, window=60), True, Standing.IGNORED),
        ("unready during initialization", Pod(ready=False, age=600, since=594), True, Standing.IGNORED),
        ("stale metrics after initialization", Pod(age=180, since=180, sample=120, window=60), True, Standing.MEASURED),
        ("unready, was ready", Pod(ready=False, age=600, since=540), True, Standing.MEASURED),
        ("never ready after initialization", Pod(ready=False, age=600, since=590), True, Standing.MEASURED),
        ("a missing pod", Pod(age=180, sample=None), True, Standing.MISSING),
        ("pending pods are ignored", PENDING, True, Standing.IGNORED),
    ],
)
def test_which_pods_are_believed(name, pod, cpu, expected):
    """TestGroupPods, by the names of its cases."""
    assert standing(pod, cpu=cpu) is expected, name


def test_several_pods():
    """TestGroupPods, "several pods": one too young, one ready, one without a sample."""
    pods = [Pod(ready=None, age=0), Pod(age=180, since=180), Pod(age=180, sample=None)]
    found = count(pods, cpu=True)
    assert found == {Standing.MEASURED: 1, Standing.IGNORED: 1, Standing.MISSING: 1, Standing.GONE: 0}
