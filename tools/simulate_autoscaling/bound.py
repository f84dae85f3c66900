"""What nobody can beat: the pod-hours of one who knows the future and moves pods in no time.

The minimum of pods works all the time, at the service curve's best speed. A study that it can't answer within the
objective is answered by a pod that exists for exactly the work of that study: no cold start, no drain, no idle second.
One study in a hundred may be late, since the objective is a 99th percentile, and costs nothing extra at all. Every
policy that keeps the minimum and the objective pays at least this.
"""

import numpy as np
from numpy.typing import NDArray

from tools.simulate_autoscaling.replicas import Lanes
from tools.simulate_autoscaling.year import STEP_SECONDS
from tools.simulate_autoscaling.workload import MOST_IN_A_BATCH, Workload, gain


def lower_bound_hours(arrived: NDArray[np.int16], least: Lanes, workload: Workload, counted: slice) -> float:
    """Pod-hours over the counted steps of all lanes; ``arrived`` is ``(step, lane)``, ``least`` pods by step."""
    fastest = workload.unit_seconds(MOST_IN_A_BATCH)
    patience = int((workload.objective - workload.before - workload.after - fastest) / STEP_SECONDS)
    total = np.cumsum(arrived, axis=0, dtype=np.int64)
    served, late = np.zeros(arrived.shape[1]), np.zeros(arrived.shape[1])
    for step in range(len(arrived)):
        served = np.minimum(served + least[step] * STEP_SECONDS / fastest, total[step])
        if step >= patience:
            missed = np.maximum(total[step - patience] - served, 0)
            served += missed
            if counted.start <= step < counted.stop:
                late += missed
    studies = arrived[counted].sum()
    unavoidable = max(float(late.sum()) - 0.01 * studies, 0.0) * fastest
    return (float(least[counted].sum()) * arrived.shape[1] * STEP_SECONDS + unavoidable) / 3600
