"""Who decides on the size of a pool: the chart, and what others do instead."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tools.simulate_autoscaling.autoscaler import Autoscaler
from tools.simulate_autoscaling.behavior import Behavior, Policy, Rules
from tools.simulate_autoscaling.chart import Scaling, Signal
from tools.simulate_autoscaling.promql import Query, Scrapes, compiled
from tools.simulate_autoscaling.replicas import Lanes, Members, for_average, for_pods, for_resource, for_value

_MINUTE = 60.0


@dataclass(frozen=True)
class Deployment:
    """What an autoscaler sees of the pods."""

    asked: Lanes
    ready: Lanes

    @property
    def members(self) -> Members:
        """Pods that do not serve yet have no sample that counts."""
        return Members(self.ready, self.asked - self.ready, np.zeros_like(self.ready))


_WISHES: dict[str, Callable[[Lanes, float, Deployment], Lanes]] = {
    "AverageValue": lambda value, target, pods: for_average(value, target, pods.asked),
    "Value": lambda value, target, pods: for_value(value, target, pods.asked, pods.ready),
    "Pods": lambda value, target, pods: for_pods(value * pods.ready, target, pods.asked, pods.members),
    "Resource": lambda value, target, pods: for_resource(value, target, pods.asked, pods.members),
}


@dataclass
class Decider:
    """An autoscaler with its questions, KEDA's part included: floors by the clock, sleep and waking."""

    scaling: Scaling
    _autoscaler: Autoscaler = field(init=False)
    _queries: list[tuple[Signal, Query]] = field(init=False)
    _active: Lanes | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        scaling = self.scaling
        self._autoscaler = Autoscaler(max(scaling.least, 1), scaling.most, scaling.behavior)
        self._queries = [(signal, compiled(signal.query)) for signal in scaling.signals]

    def decide(self, scrapes: Scrapes, pods: Deployment) -> Lanes:
        """The new size."""
        now, clock = scrapes.now()
        values = [np.broadcast_to(query(scrapes).total, pods.asked.shape) for _, query in self._queries]
        floors = self._floors(clock)
        wishes = [
            _WISHES[signal.kind](value, signal.target, pods)
            for (signal, _), value in zip(self._queries, values, strict=True)
        ]
        size = self._autoscaler.sync(now, [*wishes, *floors], pods.asked)
        if self.scaling.least:
            return size
        return self._awake(now, np.any(np.nan_to_num([*values, *floors]) > 0, axis=0), size)

    def _floors(self, clock: Lanes) -> list[Lanes]:
        day, minute = np.floor(clock / 86400) % 7, clock % 86400 / _MINUTE
        return [
            np.where(np.isin(day, list(each.days)) & (minute >= each.begin) & (minute < each.end), each.pods, 0.0)
            for each in self.scaling.floors
        ]

    def _awake(self, now: float, active: Lanes, size: Lanes) -> Lanes:
        """KEDA wakes a Deployment for any work, and lets it sleep after a time without."""
        last = np.full(size.shape, now) if self._active is None else self._active
        self._active = np.where(active, now, last)
        asleep = now - self._active >= self.scaling.cooldown
        return np.where(asleep, 0.0, np.where(active, np.maximum(size, 1), size))


def rivals(ours: Scaling, busiest: float, unit: float) -> dict[str, Scaling]:
    """What others would do between the same least and most pods.

    ``nvidia`` is the ratio of NVIDIA's tutorial on autoscaling TensorRT-LLM (target 1 for each pod, behaviour
    as Kubernetes has it), ``supersonic`` the values of SuperSONIC's chart, ``cpu`` an HPA on 80 % of the CPU, which is
    as busy as the pod, ``static`` enough for the busiest hour at 60 % busy, as tools/sizing reckons.
    """
    compute = "clamp_min(sum(rate(nv_inference_compute_infer_duration_us[1m])), 1)"
    seconds = f"sum(rate(nv_inference_queue_duration_us[1m])) / {compute}"
    latency = (
        "sum(rate(nv_inference_queue_duration_us[30s])) / (sum(rate(nv_inference_exec_count[30s])) * 1000 + 0.001)"
    )
    calm = Behavior(Rules(60, (Policy("Pods", 1, 60),)), Rules(600, (Policy("Pods", 1, 120),)))
    always = min(max(math.ceil(busiest * unit / 0.6), ours.least), ours.most)
    return {
        "nvidia": Scaling(ours.least, ours.most, Behavior(), (Signal("ratio", seconds, 1.0, "Pods"),)),
        "supersonic": Scaling(ours.least, ours.most, calm, (Signal("latency", latency, 100.0, "Value"),)),
        "cpu": Scaling(ours.least, ours.most, Behavior(), (Signal("cpu", "sum(container_cpu)", 0.8, "Resource"),)),
        "static": Scaling(always, always, Behavior(), (Signal("none", "vector(0)", 1.0),)),
    }
