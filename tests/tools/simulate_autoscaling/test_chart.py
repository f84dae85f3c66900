"""How the chart scales is read from the rendered objects themselves."""

import pytest

from tests.chart.rendering import needs_helm
from tools.simulate_autoscaling.behavior import Policy
from tools.simulate_autoscaling.chart import ChartUnreadable, Floor, floor, render

pytestmark = needs_helm


def test_an_hpa_and_a_scaled_object_say_the_same():
    """One helper makes both, so the mode changes nothing but the way to Prometheus."""
    changes = {"triton": {"gpuPools": []}, "autoscaling": {"prometheus": "http://prometheus:9090", "schedules": []}}
    hpa = render("hospital").scaling("triton-cpu")
    keda = render("hospital", {**changes, "autoscaling": {**changes["autoscaling"], "mode": "keda"}}).scaling(
        "triton-cpu"
    )
    assert (hpa.least, hpa.most, hpa.behavior) == (keda.least, keda.most, keda.behavior)
    assert [(each.query, each.target, each.kind) for each in hpa.signals] == [
        (each.query, each.target, each.kind) for each in keda.signals
    ]
    assert [each.name for each in hpa.signals] == ["articula_triton_busy", "articula_triton_backlog"]
    assert hpa.behavior.down.policies == (Policy("Pods", 1, 60),)


def test_preprocessing_scales_on_its_own_gauge():
    """On studies in hand, one for each worker."""
    (signal,) = render("hospital").scaling("preprocessing").signals
    assert "articula_studies_in_work" in signal.query
    assert signal.target == 2


def test_warm_spares_and_floors():
    """Spares add to the minimum; a schedule is a floor by days and minutes."""
    network = render("network").scaling("triton-l4")
    assert network.floors == (Floor(frozenset(range(5)), 6 * 60 + 30, 19 * 60, 3),)
    assert render("shared").scaling("triton-a10").least == 3


def test_a_pod_leaves_as_the_chart_says():
    """The pause is DNS and a connection's age; the grace covers the longest study after it."""
    leaving = render("shared").leaving("triton-a10")
    assert leaving.pause == 63
    assert leaving.grace == 63 + 180 + 10


@pytest.mark.parametrize(("word", "days"), [("*", range(7)), ("1-5", range(5)), ("0", [6]), ("6,0", [5, 6])])
def test_days_of_cron(word, days):
    """Cron's week begins on Sunday, ours on Monday."""
    trigger = {"start": f"0 7 * * {word}", "end": f"0 8 * * {word}", "desiredReplicas": "2"}
    assert floor(trigger).days == frozenset(days)


def test_what_can_not_be_read_is_named():
    """Contradicting values, a pool that is not there, a schedule by month."""
    with pytest.raises(ChartUnreadable, match="min 9 is above max 2"):
        render("hospital", {"triton": {"cpuPool": {"min": 9, "max": 2}}})
    with pytest.raises(ChartUnreadable, match="nothing in the chart scales articula-triton-cpu"):
        render("laptop").scaling("triton-cpu")
    with pytest.raises(ChartUnreadable, match="no Deployment articula-triton-x"):
        render("laptop").leaving("triton-x")
    with pytest.raises(ChartUnreadable, match="schedules of some days"):
        floor({"start": "0 7 1 * *", "end": "0 8 1 * *", "desiredReplicas": "2"})
