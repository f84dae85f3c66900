"""The closed loop in one picture: load, signals, pods, and how long studies took, on one axis of time."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from tools.simulate_autoscaling.live.run import Moment

_COLORS = ("#0b6e4f", "#e0a458")


def draw(moments: Sequence["Moment"], answered: Sequence[tuple[float, float]], path: Path) -> None:
    """``answered`` are (second of arrival, seconds taken) of the studies."""
    seconds = [each.second for each in moments]
    figure, (load, signals, pods, latency) = plt.subplots(4, 1, sharex=True, figsize=(11, 10), constrained_layout=True)
    load.step(seconds, [each.rate for each in moments], where="post", color="#333333")
    load.set(title="Load", ylabel="studies a second", ylim=(0, None))
    for name, color in zip(moments[0].wishes, _COLORS, strict=True):
        signals.plot(seconds, [each.wishes[name] for each in moments], color=color, label=name)
    signals.set(title="Pods that each signal asks for", ylabel="pods", ylim=(0, None))
    signals.legend(frameon=False)
    pods.step(seconds, [each.desired for each in moments], where="post", color="#0b6e4f", linewidth=2, label="desired")
    pods.step(seconds, [each.ready for each in moments], where="post", color="#c1666b", linestyle="--", label="ready")
    pods.step(
        seconds, [each.leaving for each in moments], where="post", color="#7a6fac", linestyle=":", label="leaving"
    )
    pods.set(title="Triton processes", ylabel="pods", ylim=(0, None))
    pods.legend(frameon=False, ncols=3)
    latency.scatter(*zip(*answered, strict=True), s=10, color="#333333")
    latency.set(title="Each study, from arrival to answer", xlabel="second", ylabel="seconds", ylim=(0, None))
    figure.suptitle("Closed loop: real Prometheus and Tritons, time ten times faster than in a cluster")
    figure.savefig(path, dpi=110)
    plt.close(figure)
