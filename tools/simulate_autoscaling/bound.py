"""What nobody can beat: the pod-hours of one who knows the future and moves pods in no time.

The minimum of pods works all the time, at the service curve's best speed. A study that it can't answer within the
objective is answered by a pod that exists for exactly the work of that study: no cold start, no drain, no idle second.
One study in a hundred may be late, since the objective is a 99th percentile, and costs nothing extra at all. Every
policy that keeps the minimum and the objective pays at least this.
"""

import numpy as np
from numpy.typing import NDArray

from tools.simulate_autoscaling.arrivals import DAY
from tools.simulate_autoscaling.workload import MOST_IN_A_BATCH, Workload
from tools.simulate_autoscaling.year import COUNTED, STEP_SECONDS


def lower_bound_hours(arrived: NDArray[np.int16], least: int, workload: Workload) -> float:
    """Pod-hours over the counted time of all lanes; ``arrived`` is ``(step, lane)``, ``least`` the minimum of pods."""
    fastest = workload.unit_seconds(MOST_IN_A_BATCH)
    patience = int((workload.objective - workload.before - workload.after - fastest) / STEP_SECONDS)
    total = np.cumsum(arrived, axis=0, dtype=np.int64)
    served, late = np.zeros(arrived.shape[1]), 0.0
    for step in range(patience, len(arrived)):
        served = np.minimum(served + least * STEP_SECONDS / fastest, total[step])
        missed = np.maximum(total[step - patience] - served, 0)
        served += missed
        if COUNTED.start <= step < COUNTED.stop:
            late += float(missed.sum())
    unavoidable = max(late - 0.01 * float(arrived[COUNTED].sum()), 0.0) * fastest
    return (least * DAY * arrived.shape[1] + unavoidable) / 3600
