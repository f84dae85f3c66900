"""Which pods an autoscaler believes, pod by pod: Kubernetes' rules for CPU samples of pods that have just started."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

CPU_INITIALIZATION_SECONDS = 120.0  # settings of the autoscaler in the tests of Kubernetes
INITIAL_READINESS_SECONDS = 10.0


class Standing(Enum):
    """What a pod counts as."""

    MEASURED = "measured"
    IGNORED = "ignored"
    MISSING = "missing"
    GONE = "gone"


@dataclass(frozen=True)
class Pod:
    """What is known of a pod; ages in seconds, None where it never happened.

    ``since`` is the age of the last change of readiness; ``sample`` that of the last sample, which covers ``window``.
    """

    phase: str = "Running"
    ready: bool | None = True
    age: float | None = None
    since: float = 0.0
    sample: float | None = 0.0
    window: float = 0.0
    leaving: bool = False


def standing(pod: Pod, *, cpu: bool) -> Standing:
    """What the pod counts as in a metric of pods; CPU is only believed of pods that have settled."""
    if pod.leaving or pod.phase == "Failed":
        return Standing.GONE
    if pod.phase == "Pending":
        return Standing.IGNORED
    if pod.sample is None:
        return Standing.MISSING
    return Standing.IGNORED if cpu and _unsettled(pod) else Standing.MEASURED


def _unsettled(pod: Pod) -> bool:
    if pod.ready is None or pod.age is None or pod.sample is None:
        return True
    if pod.age < CPU_INITIALIZATION_SECONDS:
        return not pod.ready or pod.sample > pod.since - pod.window
    never_ready = pod.age - pod.since < INITIAL_READINESS_SECONDS
    return not pod.ready and never_ready


def count(pods: Iterable[Pod], *, cpu: bool) -> dict[Standing, int]:
    """How many pods there are of each standing."""
    found = [standing(pod, cpu=cpu) for pod in pods]
    return {each: found.count(each) for each in Standing}
