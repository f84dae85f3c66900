"""The closed loop on a real Prometheus and real Tritons, shorter than ``--live``."""

import os
import signal

import pytest

from services.common.tensors import KNEE_SEGMENTATION
from tests.chart.rendering import needs_helm
from tests.common.test_triton import backends, needs_triton, until
from tools.simulate_autoscaling.chart import render
from tools.simulate_autoscaling.live.load import Endpoints, Load
from tools.simulate_autoscaling.live.pod import TritonPod
from tools.simulate_autoscaling.live.prometheus import SERVER, compressed, prometheus
from tools.simulate_autoscaling.live.repository import build_repository
from tools.simulate_autoscaling.live.run import VALUES, Stage, loop

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
def test_a_server_with_a_dead_backend_is_started_again(tmp_path):
    """As its liveness probe would; studies that it held are tried again."""
    pod = TritonPod("pod", render("hospital", VALUES), "triton-cpu", build_repository(tmp_path / "models"), tmp_path)
    pod.start()
    try:
        assert until(lambda: pod.phase == "ready")
        load = Load(Endpoints(f"ipv4:{pod.target}"), 1)
        load.arrive(1)
        os.kill(backends(pod._process.pid, KNEE_SEGMENTATION)[0], signal.SIGKILL)
        load.arrive(1)
        load.close()
        assert pod.restarts == 1
        assert (len(load.answered), load.failures) == (2, [])
    finally:
        pod.stop()
        pod.wait(30)


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
    assert summary.restarts or not summary.retried, "a study needed another attempt, and no server had died"
    assert summary.most_pods > 1
    assert summary.last_pods < summary.most_pods
    assert summary.leave_s, "nobody left"
    assert len(answered) == summary.studies > 5
