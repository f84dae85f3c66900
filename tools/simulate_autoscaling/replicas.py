"""How many pods a metric asks for, as the HorizontalPodAutoscaler of autoscaling/v2 computes it.

The rules are those of Kubernetes' ``pkg/controller/podautoscaler/replica_calculator.go``. Everything works on arrays,
one element a lane: a lane is one simulated cluster, and ``--live`` has a single one. A metric that is missing is NaN,
and so is then the number of pods it asks for.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Lanes = NDArray[np.float64]
TOLERANCE = 0.1


@dataclass(frozen=True)
class Members:
    """Pods by what is known of them, each ``(lane,)``: measured, too young or not ready, and without a sample."""

    measured: Lanes
    ignored: Lanes
    missing: Lanes


def for_average(total: Lanes, target: float, current: Lanes) -> Lanes:
    """An external metric of type AverageValue: a total that the pods share, whether ready or not.

    ``target`` is what one pod may have; ``current`` are the pods that exist.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = total / (target * current)
    keep = (current > 0) & _near(ratio)
    return np.where(np.isnan(total), np.nan, np.where(keep, current, _up(total / target)))


def for_value(value: Lanes, target: float, current: Lanes, ready: Lanes) -> Lanes:
    """A metric of type Value: the ready pods times how far it is off its target."""
    ratio = value / target
    wanted = np.where(current > 0, _up(ratio * ready), _up(ratio))
    return np.where(np.isnan(value), np.nan, np.where((current > 0) & _near(ratio), current, wanted))


def for_pods(total: Lanes, target: float, current: Lanes, pods: Members) -> Lanes:
    """A metric of each pod, or its use of a resource: ``total`` over the measured ones, ``target`` for one.

    Missing pods count as idle where more are wanted and as just right (a resource: ``target`` of its request is not
    known to be used, so all of it) where fewer are; pods that are not ready count as idle where more are wanted.
    """
    return _settled(total, target, current, pods, missing_use=target)


def for_resource(total: Lanes, target: float, current: Lanes, pods: Members) -> Lanes:
    """As ``for_pods``, in units of the request: where fewer pods are wanted a missing one counts as using all of it."""
    return _settled(total, target, current, pods, missing_use=1.0)


def _settled(total: Lanes, target: float, current: Lanes, pods: Members, *, missing_use: float) -> Lanes:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = total / (pods.measured * target)
        growing, shrinking = ratio > 1, ratio < 1
        others = np.where(growing, pods.ignored, 0.0) + np.where(ratio == 1, 0.0, pods.missing)
        plain = others == 0
        used = total + np.where(shrinking, pods.missing * missing_use, 0.0)
        corrected = used / ((pods.measured + others) * target)
    turned = (shrinking & (corrected > 1)) | (growing & (corrected < 1))
    wanted = _up(corrected * (pods.measured + others))
    # a change of the count of members must not turn the direction either
    turned |= ~plain & (((corrected < 1) & (wanted > current)) | ((corrected > 1) & (wanted < current)))
    settled = np.where(_near(corrected) | turned, current, wanted)
    return np.where((pods.measured > 0) & ~np.isnan(total), settled, np.nan)


def _near(ratio: Lanes) -> NDArray[np.bool_]:
    return np.abs(1.0 - ratio) <= TOLERANCE


def _up(pods: Lanes) -> Lanes:
    """Rounded up; a billionth more than a whole number is the whole number, since quantities end at thousandths."""
    rounded: Lanes = np.ceil(pods - 1e-9)
    return rounded
