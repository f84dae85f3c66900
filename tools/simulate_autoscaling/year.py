"""A year of one policy at one scale: its days are simulated side by side, in steps of five seconds.

Each day is a lane. It begins at 04:00, when least happens, and two hours earlier to warm up; what is in the system then
belongs to the day before and is not counted twice. Prometheus scrapes and the autoscalers look every fifteen seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tools.simulate_autoscaling.arrivals import DAY, Counts
from tools.simulate_autoscaling.chart import Leaving, Scaling
from tools.simulate_autoscaling.fleet import Pods, Work
from tools.simulate_autoscaling.policies import Decider, Deployment
from tools.simulate_autoscaling.promql import Vector, compiled
from tools.simulate_autoscaling.replicas import Lanes
from tools.simulate_autoscaling.scrapes import SimulatedScrapes
from tools.simulate_autoscaling.workload import REQUESTS, Workload

SCRAPE_SECONDS = 15
STEP_SECONDS = 5
BEGIN_HOUR = 4
WARM_UP = 2 * 3600
_STEPS_A_SCRAPE = SCRAPE_SECONDS // STEP_SECONDS
COUNTED = slice(WARM_UP // STEP_SECONDS, (WARM_UP + DAY) // STEP_SECONDS)


@dataclass(frozen=True)
class Callers:
    """The preprocessing service: how it scales, and what one of its pods takes at once."""

    scaling: Scaling
    workers: int
    places: int


@dataclass(frozen=True)
class Trace:
    """What happened, ``(step, lane)`` each, warm-up included: studies arrived and answered, pods asked and ready."""

    arrived: NDArray[np.int16]
    answered: NDArray[np.int16]
    asked: NDArray[np.int16]
    ready: NDArray[np.int16]
    paid_seconds: Lanes  # over the counted day, (lane,)


def by_day(counts: Counts) -> NDArray[np.int16]:
    """Arrivals as lanes ``(step, lane)`` from two hours before 04:00; the last day ends the one before."""
    begins = range(BEGIN_HOUR * 3600 - WARM_UP, len(counts) - WARM_UP - DAY, DAY)
    lanes = np.stack([counts[begin : begin + WARM_UP + DAY] for begin in begins], axis=1)
    return lanes.reshape(-1, STEP_SECONDS, lanes.shape[1]).sum(axis=1, dtype=np.int16)


@dataclass
class Year:
    """One simulated installation a lane."""

    workload: Workload
    scaling: Scaling
    callers: Callers
    leaving: Leaving
    rules: Mapping[str, str] = field(default_factory=dict)  # what Prometheus records

    def run(self, arrived: NDArray[np.int16]) -> Trace:
        """Let all lanes go through their day."""
        steps, lanes = arrived.shape
        begin = BEGIN_HOUR * 3600 - WARM_UP + DAY * np.arange(lanes, dtype=np.float64)
        rules = {name: compiled(text) for name, text in self.rules.items()}
        scrapes = SimulatedScrapes(SCRAPE_SECONDS, begin, rules)
        triton = Pods(np.full(lanes, float(self.scaling.least)), self.workload.cold_start, self._leave_seconds())
        callers = Pods(np.full(lanes, float(self.callers.scaling.least)), self.workload.preprocessing_start)
        deciders = (triton, Decider(self.scaling)), (callers, Decider(self.callers.scaling))
        work, known, busy = Work(self.workload.study, np.zeros(lanes)), np.zeros(lanes), np.zeros(lanes)
        answered, asked, ready = np.zeros((3, steps, lanes), np.int16)
        trace = Trace(arrived, answered, asked, ready, np.zeros(lanes))
        before = round(self.workload.before / STEP_SECONDS)
        for step in range(steps):
            now = float(step * STEP_SECONDS)
            due = arrived[step - before].astype(np.float64) if step >= before else np.zeros(lanes)
            done = work.step(STEP_SECONDS, due, triton.ready, callers.ready * self.callers.workers)
            known += arrived[step] - done
            busy += np.minimum(work.present, triton.ready)
            for pods, _ in deciders:
                pods.step(now, STEP_SECONDS)
            trace.answered[step], trace.asked[step], trace.ready[step] = done, triton.asked, triton.ready
            if step + 1 == COUNTED.start:
                trace.paid_seconds[:] = -triton.paid
            if step % _STEPS_A_SCRAPE == 0:
                scrapes.add(now, self._samples(work, known, (triton, callers), busy / _STEPS_A_SCRAPE))
                busy[:] = 0
                for pods, decider in deciders:
                    pods.resize(now, decider.decide(scrapes, Deployment(pods.asked, pods.ready)))
        trace.paid_seconds[:] += triton.paid
        return trace

    def _leave_seconds(self) -> float:
        return self.leaving.pause + self.workload.study

    def _samples(self, work: Work, known: Lanes, pods: tuple[Pods, Pods], busy: Lanes) -> dict[str, Vector]:
        """Every metric that a query of the chart or of a rival asks for."""
        triton, callers = pods
        per_pod = {
            "nv_inference_request_success": work.answered * REQUESTS,
            "nv_inference_exec_count": work.executions * REQUESTS,
            "nv_inference_compute_infer_duration_us": work.compute * 1e6,
            "nv_inference_compute_input_duration_us": work.compute * 0,
            "nv_inference_compute_output_duration_us": work.compute * 0,
            "nv_inference_queue_duration_us": work.queued * 1e6,
            "nv_inference_pending_request_count": np.maximum(work.present - triton.ready, 0),
            "container_cpu": busy.copy(),
            "up": triton.ready,
        }
        admitted = np.minimum(work.present, callers.ready * self.callers.places)
        ours = {"articula_studies_in_work": admitted, "articula_studies_total": work.answered}
        return {
            **{name: Vector(value, triton.ready) for name, value in per_pod.items()},
            **{name: Vector(value, callers.ready) for name, value in ours.items()},
            "articula_backlog_studies": Vector(known.copy(), np.ones_like(known)),
        }
