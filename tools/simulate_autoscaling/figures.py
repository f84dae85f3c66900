"""The year in one picture: a working day of each policy, and what each costs against how long studies wait."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from tools.simulate_autoscaling.outcome import Outcome
from tools.simulate_autoscaling.year import BEGIN_HOUR, COUNTED, STEP_SECONDS, Trace

Steps = NDArray[np.int16]
Policies = Mapping[str, Mapping[str, Outcome]]
COLORS = {"articula": "#0b6e4f", "cpu": "#c1666b", "supersonic": "#e0a458", "nvidia": "#7a6fac", "static": "#888888"}


@dataclass(frozen=True)
class Tuesday:
    """One working day from 04:00, by step: studies that arrived, pods asked for."""

    arrived: Steps
    asked: Steps

    @classmethod
    def of(cls, trace: Trace) -> "Tuesday":
        """The second day, or the only one."""
        day = min(1, trace.asked.shape[1] - 1)
        return cls(trace.arrived[COUNTED, day], trace.asked[COUNTED, day])

    @property
    def hours(self) -> NDArray[np.float64]:
        """Time of each step."""
        return BEGIN_HOUR + np.arange(len(self.asked)) * STEP_SECONDS / 3600


def draw(policies: Policies, tuesdays: Mapping[str, Tuesday], path: Path) -> None:
    """Outcomes by policy and scale; the largest scale is drawn."""
    figure, rows = plt.subplots(2, 2, figsize=(13, 8.5), constrained_layout=True)
    largest = {policy: scales[max(scales, key=int)] for policy, scales in policies.items()}
    _load(rows[0][0], next(iter(tuesdays.values())))
    _pods(rows[0][1], tuesdays)
    _cost(rows[1][0], largest)
    _turns(rows[1][1], largest)
    hospitals = max(next(iter(policies.values())), key=int)
    figure.suptitle(f"{hospitals} hospitals, models five times as heavy as ours; above a Tuesday, below the whole time")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _load(axes: Axes, day: Tuesday) -> None:
    block = 300 // STEP_SECONDS
    a_minute = day.arrived.reshape(-1, block).sum(axis=1) / 5
    axes.plot(day.hours[::block], a_minute, color="#333333", linewidth=1)
    axes.set(title="Studies that arrive", xlabel="hour", ylabel="a minute", ylim=(0, None))


def _pods(axes: Axes, tuesdays: Mapping[str, Tuesday]) -> None:
    for policy, day in reversed(list(tuesdays.items())):
        width = 2.4 if policy == "articula" else 0.9
        axes.plot(day.hours, day.asked, color=COLORS[policy], linewidth=width, label=policy)
    axes.set(title="Triton pods asked for", xlabel="hour", ylabel="pods", ylim=(0, None))
    axes.legend(frameon=False, ncols=3)


def _cost(axes: Axes, largest: Mapping[str, Outcome]) -> None:
    for policy, each in largest.items():
        share = each.gpu_hours / each.lower_bound_gpu_hours
        axes.scatter(share, each.p99_s, s=90, color=COLORS[policy])
        axes.annotate(policy, (share, each.p99_s), xytext=(8, 6), textcoords="offset points")
    axes.axhline(60, color="#b00020", linewidth=1, linestyle="--")
    axes.axvline(1.25, color="#b00020", linewidth=1, linestyle="--")
    axes.set(title="Cost and wait; goals dashed", xlabel="pod-hours over the lower bound", ylabel="p99, seconds")
    axes.margins(0.15)
    axes.set(xlim=(1, None), ylim=(0, None))


def _turns(axes: Axes, largest: Mapping[str, Outcome]) -> None:
    colors = [COLORS[policy] for policy in largest]
    bars = axes.bar(list(largest), [each.reversals for each in largest.values()], color=colors)
    axes.bar_label(bars, fmt="{:,.0f}")
    axes.set(title="Reversals: growth after shrinking, or the other way round", ylabel="times")
