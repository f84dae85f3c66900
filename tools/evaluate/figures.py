"""The report's plots, each as PNG bytes."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import special

from services.common.finding import LABELS
from tools.evaluate.answers import Answer
from tools.evaluate.statistics import cross_calibrated, reliability, roc
from tools.evaluate.summary import DICE_TARGETS, MRNET, mrnet_scores, scores_of

_LINE, _SOFT, _BAD = "#1f5fa8", "#9db8d6", "#b3412e"
Numbers = Mapping[str, Any]


def png(figure: Figure) -> bytes:
    """The figure as a small PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    return buffer.getvalue()


def roc_curves(answers: Sequence[Answer], numbers: Numbers) -> bytes:
    """One ROC curve a label, MRNet's three last."""
    figure = Figure(figsize=(11, 7), layout="constrained")
    axes = figure.subplots(3, 5).ravel()
    logits, truths = scores_of(answers)
    probability, mrnet = mrnet_scores(answers)
    for i, label in enumerate(LABELS):
        _roc(axes[i], (logits[:, i], truths[:, i]), label, numbers["auc"][label])
    for i, name in enumerate(MRNET):
        _roc(axes[len(LABELS) + i], (probability[:, i], mrnet[:, i]), f"MRNet: {name}", numbers["mrnet_auc"][name])
    return png(figure)


def _roc(axes: Axes, scored: tuple[NDArray[np.float64], NDArray[np.bool_]], title: str, found: Numbers) -> None:
    alarms, hits = roc(*scored)
    axes.plot([0, 1], [0, 1], color="#cccccc", linewidth=0.8)
    axes.plot(alarms, hits, color=_LINE, linewidth=1.6)
    axes.set_title(f"{title}\n{found['value']:.3f} ({found['ci'][0]:.3f}-{found['ci'][1]:.3f})", fontsize=9)
    axes.set(xticks=(0, 1), yticks=(0, 1), xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.tick_params(labelsize=7)


def calibration(answers: Sequence[Answer], numbers: Numbers) -> bytes:
    """How often a finding is there against how probable it was said to be, all labels together."""
    logits, truths = scores_of(answers)
    figure = Figure(figsize=(5, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#cccccc", linewidth=0.8)
    for name, probability, error, colour in (
        ("as served", special.expit(logits), numbers["ece"], _BAD),
        (
            "after Platt scaling, cross-fitted",
            cross_calibrated(logits, truths),
            numbers["ece_after_calibration"],
            _LINE,
        ),
    ):
        expected, found, _ = zip(*reliability(probability.ravel(), truths.ravel()), strict=True)
        axes.plot(expected, found, "o-", markersize=4, color=colour, label=f"{name}: error {error:.3f}")
    axes.set(xlabel="probability", ylabel="share of positives", xlim=(0, 1), ylim=(0, 1))
    axes.legend(fontsize=8)
    return png(figure)


def structures(numbers: Numbers) -> bytes:
    """Dice of each structure beside its target, and the surface distance."""
    names = list(DICE_TARGETS)
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    place = np.arange(len(names))
    values = [numbers["dice"][name] for name in names]
    colours = [_LINE if value >= DICE_TARGETS[name] else _BAD for name, value in zip(names, values, strict=True)]
    left.barh(place, np.nan_to_num(values), color=colours)
    left.plot(list(DICE_TARGETS.values()), place, "k|", markersize=12)
    left.set(
        yticks=place, yticklabels=[name.replace("_", " ") for name in names], xlim=(0, 1), xlabel="Dice (| target)"
    )
    left.invert_yaxis()
    right.barh(place, [numbers["surface_mm"][name] for name in names], color=_SOFT)
    right.set_xlabel("mean surface distance, mm")
    return png(figure)


def heat(numbers: Numbers) -> bytes:
    """Heat inside the lesion over chance, and how often the right slice is chosen, by label."""
    cam = numbers["cam"]
    names = list(cam)
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    place = np.arange(len(names))
    for axes, key, target in ((left, "energy_over_chance", 3.0), (right, "slice_hit", 0.8)):
        values = [cam[name][key] for name in names]
        axes.barh(place, values, color=[_LINE if value >= target else _BAD for value in values])
        axes.axvline(target, color="black", linewidth=0.8)
    left.set(yticks=place, yticklabels=names, xscale="log", xlabel="heat in the lesion / chance (median)")
    left.invert_yaxis()
    right.set(xlim=(0, 1), xlabel="right slice (+-1)")
    return png(figure)
