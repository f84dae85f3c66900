"""``--live``: minutes of a step in load, with every decision made by the chart's rules on what Prometheus measured.

Time is ten times faster than in a cluster: the chart is rendered with intervals, windows, periods and drain times of a
tenth, and the windows inside its queries are divided by ten. Models take half a second a request without computing, so
that several real servers fit on two cores; everything else is real: Prometheus, Triton, its counters, the client, the
entry point, the drain.
"""

import json
import math
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from tools.simulate_autoscaling import chart
from tools.simulate_autoscaling.autoscaler import Autoscaler
from tools.simulate_autoscaling.live.cluster import Cluster
from tools.simulate_autoscaling.live.figure import draw
from tools.simulate_autoscaling.live.load import Endpoints, Load, arrivals
from tools.simulate_autoscaling.live.prometheus import Prometheus, prometheus
from tools.simulate_autoscaling.live.repository import build_repository
from tools.simulate_autoscaling.replicas import for_average

EXAMPLE, POOL = "hospital", "cpu"
FASTER = 10.0
SYNC_SECONDS = 1.5
DNS_TTL_SECONDS = 3
VALUES = {
    "triton": {"maxConnectionAgeSeconds": 3, "cpuPool": {"min": 1, "max": 4, "concurrency": 1}},
    "drain": {"dnsTtlSeconds": DNS_TTL_SECONDS, "marginSeconds": 5},
    "orthanc": {"enabled": False, "postgresql": {"enabled": False}},
    "monitoring": {"intervalSeconds": 1},
    "autoscaling": {
        "backlogTarget": "5",
        "studyComputeSeconds": "1.5",
        "scaleUp": {"percent": 100, "pods": 2, "periodSeconds": 3},
        "scaleDown": {"windowSeconds": 60, "pods": 1, "periodSeconds": 6},
    },
}
_WORKERS = 12
_START_SECONDS = 120.0


@dataclass(frozen=True)
class Stage:
    """Studies a second for a while."""

    rate: float
    seconds: float


STAGES = (Stage(0.3, 45), Stage(1.6, 90), Stage(0.2, 120))


@dataclass(frozen=True)
class Moment:
    """What was seen at one look of the autoscaler; ``wishes`` are pods asked for by each signal, NaN is no answer."""

    second: float
    rate: float
    values: dict[str, float]
    wishes: dict[str, float]
    desired: int
    ready: int
    leaving: int


@dataclass(frozen=True)
class Summary:
    """What came of it."""

    faster: float
    studies: int
    failures: list[str]
    retried: int
    p95_s: float
    most_pods: int
    last_pods: int
    killed_pods: int
    restarts: int
    cold_start_s: list[float]
    leave_s: list[float]

    @property
    def passed(self) -> bool:
        """It grew, it shrank to what it had, and nothing was lost."""
        return self.most_pods > 1 and self.last_pods == 1 and not self.failures and not self.killed_pods


def run(out: Path, stages: tuple[Stage, ...] = STAGES) -> int:
    """Run the loop and write ``live.json`` and ``live.png``; 0 where it grew, shrank and lost nothing."""
    moments, summary, answered = loop(stages)
    out.mkdir(parents=True, exist_ok=True)
    report = {**asdict(summary), "passed": summary.passed, "moments": [_known(asdict(each)) for each in moments]}
    (out / "live.json").write_text(json.dumps(report, indent=2) + "\n")
    draw(moments, answered, out / "live.png")
    print(asdict(summary))
    print(f"{out}/live.json, live.png")
    return 0 if summary.passed else 1


def _known(moment: dict[str, Any]) -> dict[str, Any]:
    """The moment as JSON can say it: without the signals that gave no answer."""
    signals = {name: {k: v for k, v in moment[name].items() if math.isfinite(v)} for name in ("values", "wishes")}
    return moment | signals


def loop(stages: tuple[Stage, ...]) -> tuple[list[Moment], Summary, list[tuple[float, float]]]:
    """Drive the load through its stages; also returns (second of arrival, seconds) of each study."""
    rendered = chart.render(EXAMPLE, VALUES)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="articula-scaling-")))
        models = build_repository(folder / "models")
        server = stack.enter_context(prometheus(folder / "prometheus", rendered, 1.0, FASTER))
        endpoints = Endpoints()
        cluster = Cluster(rendered, f"triton-{POOL}", models, folder, float(DNS_TTL_SECONDS), endpoints)
        stack.callback(cluster.close)
        cluster.resize(rendered.scaling(cluster.component).least)
        _await(lambda: bool(cluster.ready))
        endpoints.name = f"ipv4:{cluster.ready[0].target}"
        load = Load(endpoints, _WORKERS)
        begin = time.monotonic()
        moments = _drive(cluster, load, server, stages)
        load.close()
        most = max(moment.desired for moment in moments)
        waits = [seconds for _, seconds in load.answered]
        summary = Summary(
            faster=FASTER,
            studies=len(waits) + len(load.failures),
            failures=load.failures,
            retried=load.retried,
            p95_s=round(float(np.percentile(waits, 95)), 2),
            most_pods=most,
            last_pods=moments[-1].desired,
            killed_pods=sum(pod.killed for pod in cluster.pods),
            restarts=sum(pod.restarts for pod in cluster.pods),
            cold_start_s=[round(pod.cold_start, 1) for pod in cluster.pods],
            leave_s=[round(pod.leave_seconds, 1) for pod in cluster.pods if pod.phase == "gone"],
        )
        return moments, summary, [(arrived - begin, seconds) for arrived, seconds in load.answered]


def _drive(cluster: Cluster, load: Load, server: Prometheus, stages: tuple[Stage, ...]) -> list[Moment]:
    scaling = cluster.rendered.scaling(cluster.component)
    autoscaler = Autoscaler(scaling.least, scaling.most, scaling.behavior)
    rng, moments, begin = np.random.default_rng(1), [], time.monotonic()
    with Progress() as progress:
        task = progress.add_task("load", total=sum(stage.seconds for stage in stages))
        for stage in stages:
            end = time.monotonic() + stage.seconds
            while time.monotonic() < end:
                load.arrive(arrivals(stage.rate, SYNC_SECONDS, rng))
                cluster.tell(server, load.metrics_port)
                moment = _look(cluster, server, autoscaler, time.monotonic() - begin, stage.rate)
                moments.append(moment)
                cluster.resize(moment.desired)
                text = f"{stage.rate} a second, {moment.desired} pods wanted, {moment.ready} ready"
                progress.update(task, advance=SYNC_SECONDS, description=text)
                time.sleep(max(begin + len(moments) * SYNC_SECONDS - time.monotonic(), 0.0))
    return moments


def _look(cluster: Cluster, server: Prometheus, autoscaler: Autoscaler, second: float, rate: float) -> Moment:
    """Ask for the recorded signals, as the adapter for external metrics does, and decide."""
    scaling = cluster.rendered.scaling(cluster.component)
    current = np.array([float(len(cluster.present))])
    values = {
        signal.name: server.ask(f'{signal.name}{{release="{chart.RELEASE}",pool="{POOL}"}}')
        for signal in scaling.signals
    }
    asked = [for_average(np.array([values[signal.name]]), signal.target, current) for signal in scaling.signals]
    desired = int(autoscaler.sync(second, asked, current)[0])
    wishes = {signal.name: float(each[0]) for signal, each in zip(scaling.signals, asked, strict=True)}
    leaving = sum(pod.phase == "leaving" for pod in cluster.pods)
    return Moment(round(second, 2), rate, values, wishes, desired, len(cluster.ready), leaving)


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            message = "the first Triton did not start"
            raise TimeoutError(message)
        time.sleep(0.2)
