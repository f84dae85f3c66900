"""The closed loop on a real Prometheus and real Tritons, shorter than ``--live``."""

import pytest

from tests.chart.rendering import needs_helm
from tests.common.test_triton import needs_triton
from tools.simulate_autoscaling.chart import render
from tools.simulate_autoscaling.live.prometheus import SERVER, compressed, prometheus
from tools.simulate_autoscaling.live.run import Stage, loop

needs_prometheus = pytest.mark.skipif(not SERVER.exists(), reason="tools/install/prometheus.sh found no Debian package")


def test_windows_are_compressed():
    """Five minutes and an hour become a tenth; nothing else does."""
    assert compressed("rate(x[5m]) / rate(x[1h]) * 5", 10) == "rate(x[30s]) / rate(x[360s]) * 5"


@needs_helm
@needs_prometheus
def test_prometheus_takes_the_rules_of_the_chart(tmp_path):
    """A rule that it can't load would end it; what nobody reports is no answer, and a study's work is the value's."""
    with prometheus(tmp_path, render("hospital"), 1.0, 10.0) as server:
        assert server.ask("vector(3)") == 3
        answer = server.ask("absent(articula_triton_busy)")
        assert answer == 1


@pytest.mark.triton
@needs_triton
@needs_helm
@needs_prometheus
@pytest.mark.timeout(600)
def test_a_step_in_load_starts_and_drains_servers_and_loses_no_study():
    """Growth within the step, shrinking after it, no failed study, no server that had to be killed."""
    _, summary, answered = loop((Stage(0.3, 10), Stage(2.0, 40), Stage(0.1, 100)))
    assert summary.failures == []
    assert summary.killed_pods == 0
    assert summary.most_pods > 1
    assert summary.last_pods < summary.most_pods
    assert summary.leave_s, "nobody left"
    assert len(answered) == summary.studies > 5
