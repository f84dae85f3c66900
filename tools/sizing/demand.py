"""From studies a day to processors, pods and GPUs: plain arithmetic over measured CPU-seconds a study.

A hospital's day is uneven: its busiest hour has ``PEAK_HOUR`` of the day's studies, and within that hour arrivals come
in bursts, so a service is sized for ``BUSY`` of its processors at that hour. Both are assumptions; take your own.
"""

import math
from dataclasses import dataclass

PEAK_HOUR = 0.12
BUSY = 0.6
LEAST_PODS = 2  # one may be drained or die
CORES_PER_POD = 2
_HOUR_SECONDS = 3600.0
_MONTH_HOURS = 730.0


@dataclass(frozen=True)
class Measured:
    """CPU-seconds that one study costs each service, all of its processes together; GPU-seconds where measured."""

    orthanc: float
    preprocessing: float
    triton_cpu: float
    gpu: float | None = None


@dataclass(frozen=True)
class Need:
    """What so many studies a day need; a GPU count is None where nobody has measured a GPU."""

    studies_a_day: int
    peak_a_minute: float
    orthanc_cores: int
    preprocessing_pods: int
    triton_cpu_pods: int
    gpus: int | None

    @property
    def core_hours_a_month(self) -> float:
        """Of the whole system on CPUs, always on; with scaling it is less."""
        pods = self.preprocessing_pods + self.triton_cpu_pods
        return (self.orthanc_cores + pods * CORES_PER_POD) * _MONTH_HOURS

    @property
    def gpu_hours_a_month(self) -> float | None:
        """Always on."""
        return None if self.gpus is None else self.gpus * _MONTH_HOURS


def need(measured: Measured, studies_a_day: int) -> Need:
    """What the busiest hour of such days needs."""
    rate = studies_a_day * PEAK_HOUR / _HOUR_SECONDS

    def units(seconds: float, size: int, least: int) -> int:
        return max(least, math.ceil(rate * seconds / BUSY / size))

    return Need(
        studies_a_day=studies_a_day,
        peak_a_minute=rate * 60,
        orthanc_cores=units(measured.orthanc, 1, 1),
        preprocessing_pods=units(measured.preprocessing, CORES_PER_POD, LEAST_PODS),
        triton_cpu_pods=units(measured.triton_cpu, CORES_PER_POD, LEAST_PODS),
        gpus=None if measured.gpu is None else units(measured.gpu, 1, LEAST_PODS),
    )
