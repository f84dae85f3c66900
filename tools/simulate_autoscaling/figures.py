"""The year in one picture: a working day of each policy, and what each costs against how long studies wait."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from tools.simulate_autoscaling.outcome import Outcome
from tools.simulate_autoscaling.year import BEGIN_HOUR, COUNTED, STEP_SECONDS, Trace

COLORS = {"articula": "#0b6e4f", "cpu": "#c1666b", "supersonic": "#e0a458", "nvidia": "#7a6fac", "static": "#888888"}
_DAY = 1  # a Tuesday


def draw(results: Mapping[str, Mapping[str, Mapping[str, Outcome]]], traces: Mapping[str, Trace], path: Path) -> None:
    """``traces`` are the days of the largest scale with the heavier models, by policy."""
    figure, rows = plt.subplots(2, 2, figsize=(13, 8.5), constrained_layout=True)
    first = next(iter(traces.values()))
    _load(rows[0][0], first)
    _pods(rows[0][1], traces)
    _cost(rows[1][0], results["heavy"])
    _turns(rows[1][1], results["heavy"])
    figure.suptitle("Simulated year, models five times as heavy, largest scale; the upper row shows one Tuesday")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _hours(trace: Trace) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return BEGIN_HOUR + np.arange(len(trace.asked[COUNTED])) * STEP_SECONDS / 3600


def _load(axes: Axes, trace: Trace) -> None:
    day = min(_DAY, trace.arrived.shape[1] - 1)
    a_minute = trace.arrived[COUNTED, day].reshape(-1, 300 // STEP_SECONDS).sum(axis=1) / 5
    axes.plot(_hours(trace)[:: 300 // STEP_SECONDS], a_minute, color="#333333", linewidth=1)
    axes.set(title="Studies that arrive", xlabel="hour", ylabel="a minute", ylim=(0, None))


def _pods(axes: Axes, traces: Mapping[str, Trace]) -> None:
    for policy, trace in traces.items():
        day = min(_DAY, trace.asked.shape[1] - 1)
        width = 2.2 if policy == "articula" else 1.0
        axes.plot(_hours(trace), trace.asked[COUNTED, day], color=COLORS[policy], linewidth=width, label=policy)
    axes.set(title="Triton pods asked for", xlabel="hour", ylabel="pods", ylim=(0, None))
    axes.legend(frameon=False, ncols=2)


def _cost(axes: Axes, policies: Mapping[str, Mapping[str, Outcome]]) -> None:
    for policy, scales in policies.items():
        each = scales[max(scales, key=int)]
        share = each.gpu_hours / each.lower_bound_gpu_hours
        axes.scatter(share, each.p99_s, s=90, color=COLORS[policy])
        axes.annotate(policy, (share, each.p99_s), xytext=(8, 6), textcoords="offset points")
    axes.axhline(60, color="#b00020", linewidth=1, linestyle="--")
    axes.axvline(1.25, color="#b00020", linewidth=1, linestyle="--")
    axes.set(title="Cost and wait; goals dashed", xlabel="pod-hours over the lower bound", ylabel="p99, seconds")
    axes.set(xlim=(1, None), yscale="log")
    axes.margins(0.15)


def _turns(axes: Axes, policies: Mapping[str, Mapping[str, Outcome]]) -> None:
    counts = {policy: scales[max(scales, key=int)].reversals for policy, scales in policies.items()}
    bars = axes.bar(list(counts), list(counts.values()), color=[COLORS[policy] for policy in counts])
    axes.bar_label(bars, fmt="{:,.0f}")
    axes.set(title="Reversals in the simulated time", ylabel="growth after shrinking, or the other way round")
