"""What a trace comes to: how long studies waited, what the pods cost, how restless the policy was."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tools.simulate_autoscaling.workload import Workload
from tools.simulate_autoscaling.year import COUNTED, STEP_SECONDS, Trace


@dataclass(frozen=True)
class Outcome:
    """Of all counted days together."""

    studies: int
    p95_s: float
    p99_s: float
    gpu_hours: float
    lower_bound_gpu_hours: float
    replica_changes: int
    reversals: int
    late_share: float


def outcome(trace: Trace, workload: Workload, bound_hours: float) -> Outcome:
    """Quantiles are over studies, hours over pods that start, serve or leave."""
    waits = np.concatenate([latencies(trace, lane, workload) for lane in range(trace.arrived.shape[1])])
    changes, reversals = restlessness(trace.asked[COUNTED])
    return Outcome(
        studies=len(waits),
        p95_s=float(np.percentile(waits, 95)),
        p99_s=float(np.percentile(waits, 99)),
        gpu_hours=float(trace.paid_seconds.sum() / 3600),
        lower_bound_gpu_hours=bound_hours,
        replica_changes=changes,
        reversals=reversals,
        late_share=float(np.mean(waits > workload.objective)),
    )


def latencies(trace: Trace, lane: int, workload: Workload) -> NDArray[np.float64]:
    """Seconds from last slice to visible result of each study that arrived in the counted day, in order of arrival.

    A study that the end of the lane finds unanswered counts as answered then.
    """
    arrived = np.repeat(np.arange(len(trace.arrived)), trace.arrived[:, lane])
    answered = np.repeat(np.arange(len(trace.arrived)), trace.answered[:, lane])
    ends = np.full(len(arrived), len(trace.arrived))
    ends[: len(answered)] = answered
    seconds = np.maximum((ends - arrived) * STEP_SECONDS, workload.before + workload.study) + workload.after
    complete = len(trace.arrived) - workload.objective / STEP_SECONDS
    return seconds[(arrived >= COUNTED.start) & (arrived < complete)]


def restlessness(asked: NDArray[np.int16]) -> tuple[int, int]:
    """Changes of the size, and how often growth followed shrinking or the other way round; ``(step, lane)``."""
    steps = np.diff(asked.astype(np.int64), axis=0)
    turns = 0
    for lane in range(steps.shape[1]):
        signs = np.sign(steps[steps[:, lane] != 0, lane])
        turns += int(np.count_nonzero(signs[1:] != signs[:-1]))
    return int(np.count_nonzero(steps)), turns
