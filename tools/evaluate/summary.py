"""From the answers of many studies to the numbers of ``report.json`` and the targets they are held against."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from services.common.finding import LABELS, Structure, mrnet_probabilities
from tools.evaluate.ablation import BASELINE
from tools.evaluate.answers import Answer
from tools.evaluate.overlap import FEWEST_VOXELS, STRUCTURES, dice
from tools.evaluate.real import RealReport
from tools.evaluate.statistics import (
    Interval,
    area_interval,
    area_under_roc,
    bootstrap_areas,
    calibration_error,
    cross_calibrated,
    interval,
    mean_interval,
    share_interval,
)

Numbers = dict[str, Any]

MRNET = ("abnormal", "acl", "meniscus")
DIFFUSE = frozenset({"Effusion", "Synovitis"})  # all over the joint: nothing to point at
MRNET_PUBLISHED = {"abnormal": 0.937, "acl": 0.965, "meniscus": 0.847}
DICE_TARGETS = (
    {"femur": 0.95, "tibia": 0.95, "patella": 0.90, "fibula": 0.90}
    | dict.fromkeys(("femoral_cartilage", "medial_tibial_cartilage", "lateral_tibial_cartilage"), 0.85)
    | dict.fromkeys(("patellar_cartilage", "medial_meniscus", "lateral_meniscus"), 0.85)
    | {"acl": 0.75, "pcl": 0.75, "effusion": 0.80}
)


@dataclass(frozen=True)
class Target:
    """One promise and what was measured; ``at_most`` where small is good."""

    name: str
    target: float
    measured: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        """Whether the promise is kept; a number that could not be measured keeps none."""
        return self.measured <= self.target if self.at_most else self.measured >= self.target


def scores_of(answers: Sequence[Answer]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Logits and truths ``(study, label)``."""
    logits = np.array([[each.logits[label] for label in LABELS] for each in answers])
    truths = np.array([[each.truth[label] for label in LABELS] for each in answers], dtype=bool)
    return logits, truths


def classification(answers: Sequence[Answer]) -> Numbers:
    """Areas with intervals, shares of right reports, MRNet's three, calibration error before and after scaling."""
    logits, truths = scores_of(answers)
    areas = bootstrap_areas(logits, truths)
    single = np.array([area_under_roc(logits[:, i], truths[:, i]) for i in range(len(LABELS))])
    macro = interval(float(np.nanmean(single)), _row_means(areas))
    probability = special.expit(logits)
    return {
        "macro_auc": macro.value,
        "macro_auc_ci": [macro.low, macro.high],
        "auc": {label: _with_interval(logits[:, i], truths[:, i], areas[:, i]) for i, label in enumerate(LABELS)},
        "reported": {label: _reported(answers, label) for label in LABELS},
        "mrnet_auc": _mrnet(answers),
        "ece": calibration_error(probability.ravel(), truths.ravel()),
        "ece_after_calibration": calibration_error(cross_calibrated(logits, truths).ravel(), truths.ravel()),
    }


def _row_means(areas: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.isfinite(areas)
    total = np.where(known, areas, 0).sum(axis=1)
    means: NDArray[np.float64] = total / np.maximum(known.sum(axis=1), 1)
    return means


def _with_interval(score: NDArray[np.float64], truth: NDArray[np.bool_], samples: NDArray[np.float64]) -> Numbers:
    found = area_interval(score, truth, samples)
    return {"value": found.value, "ci": [found.low, found.high], "positives": int(truth.sum())}


def _reported(answers: Sequence[Answer], label: str) -> Numbers:
    """Sensitivity and specificity at the served threshold."""
    result: Numbers = {}
    for name, present in (("sensitivity", True), ("specificity", False)):
        right = [each.positive[label] == present for each in answers if each.truth[label] == present]
        found = share_interval(sum(right), len(right))
        result[name] = {"value": found.value, "ci": [found.low, found.high]}
    return result


def mrnet_scores(answers: Sequence[Answer]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """MRNet's three labels ``(study, 3)`` derived from the twelve, probabilities and truths alike."""
    scores = [[mrnet_probabilities(each.probability)[name] for name in MRNET] for each in answers]
    truths = [
        [mrnet_probabilities({k: float(v) for k, v in each.truth.items()})[name] > 0 for name in MRNET]
        for each in answers
    ]
    return np.array(scores), np.array(truths, dtype=bool)


def _mrnet(answers: Sequence[Answer]) -> Numbers:
    scores, truths = mrnet_scores(answers)
    areas = bootstrap_areas(scores, truths)
    return {name: _with_interval(scores[:, i], truths[:, i], areas[:, i]) for i, name in enumerate(MRNET)}


def segmentation(answers: Sequence[Answer]) -> Numbers:
    """Mean over studies of the Dice of all three planes together, with its interval, and surface distance."""
    overlap: dict[str, Interval] = {}
    surface: dict[str, float] = {}
    by_plane: dict[str, dict[str, float]] = {}
    for structure in STRUCTURES:
        name = structure.name.lower()
        overlap[name] = mean_interval(np.array([_study_dice(each, structure) for each in answers]))
        volumes = [volume[structure] for each in answers for volume in each.overlap.values() if structure in volume]
        surface[name] = _mean([each.surface_mm for each in volumes if each.surface_mm is not None])
        by_plane[name] = {plane: _plane_dice(answers, structure, plane) for plane in answers[0].overlap}
    return {
        "dice": {name: found.value for name, found in overlap.items()},
        "dice_ci": {name: [found.low, found.high] for name, found in overlap.items()},
        "surface_mm": surface,
        "dice_by_plane": by_plane,
    }


def _study_dice(each: Answer, structure: Structure) -> float:
    parts = [volume[structure] for volume in each.overlap.values() if structure in volume]
    both, found, true = (sum(getattr(part, name) for part in parts) for name in ("both", "found", "true"))
    return dice(both, found, true) if true >= FEWEST_VOXELS else math.nan


def _plane_dice(answers: Sequence[Answer], structure: Structure, plane: str) -> float:
    parts = [
        volume[structure]
        for each in answers
        for p, volume in each.overlap.items()
        if p == plane and structure in volume
    ]
    return _mean([dice(part.both, part.found, part.true) for part in parts if part.true >= FEWEST_VOXELS])


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan


def localisation(answers: Sequence[Answer]) -> Numbers:
    """Heat inside the lesion over chance (median over studies) and the share of right slices, by label."""
    result: Numbers = {}
    for label in LABELS:
        found = [each.localisation[label] for each in answers if label in each.localisation]
        if found:
            ratios = [one.energy / one.chance for one in found]
            result[label] = {
                "energy_over_chance": float(np.median(ratios)),
                "slice_hit": sum(one.slice_hit for one in found) / len(found),
                "studies": len(found),
                "focal": label not in DIFFUSE,
            }
    return result


def ablation(measured: dict[str, list[Numbers]], notes: dict[str, str]) -> list[Numbers]:
    """Macro AUC and mean Dice of each variant, with the changes against the served way on the same studies."""
    rows: list[Numbers] = []
    for name, note in notes.items():
        studies = measured.get(name) or []
        row: Numbers = {"variant": name, "note": note, "studies": len(studies)}
        if studies:
            row |= {"macro_auc": _macro(studies), "mean_dice": _mean_dice(studies)}
            row |= {f"change_{key}": row[key] - rows[0][key] for key in ("macro_auc", "mean_dice") if rows}
            row["largest_logit_change"] = _largest_change(studies, measured[BASELINE])
        rows.append(row)
    return rows


def _macro(studies: Sequence[Numbers]) -> float:
    areas = [
        area_under_roc(
            np.array([each["logits"][label] for each in studies]),
            np.array([each["truth"][label] for each in studies], dtype=bool),
        )
        for label in LABELS
    ]
    return _mean(areas)


def _mean_dice(studies: Sequence[Numbers]) -> float:
    totals = {s.name: np.sum([each["counts"][s.name] for each in studies], axis=0) for s in STRUCTURES}
    return _mean([dice(*total) for total in totals.values()]) if any(t.any() for t in totals.values()) else math.nan


def _largest_change(studies: Sequence[Numbers], base: Sequence[Numbers]) -> float:
    return max(
        abs(one["logits"][label] - other["logits"][label])
        for one, other in zip(studies, base, strict=True)
        for label in LABELS
    )


def real(report: RealReport | None) -> Numbers | None:
    """Dice and surface distance on the real series, by echo; ``dice`` is the mean over echoes."""
    if report is None:
        return None
    return {
        "series": "GE MR750 3T sagittal multi-echo spin echo, one knee",
        "reference_slices": list(report.slices),
        "by_echo_ms": {
            f"{each.echo_ms:g}": {"dice": each.dice, "surface_mm": each.surface_mm} for each in report.readings
        },
        "dice": {name: _mean([each.dice[name] for each in report.readings]) for name in report.readings[0].dice},
    }


def _worst(values: Sequence[float]) -> float:
    """The least; NaN where one could not be measured."""
    return min(values) if values and all(map(math.isfinite, values)) else math.nan


def targets(numbers: Numbers) -> list[Target]:
    """Every promise beside its number."""
    areas = {label: each["value"] for label, each in numbers["auc"].items()}
    listed = [Target("macro AUC", 0.93, numbers["macro_auc"]), Target("lowest AUC", 0.85, _worst(list(areas.values())))]
    listed += [
        Target(f"AUC {name} (MRNet's published number)", least, numbers["mrnet_auc"][name]["value"])
        for name, least in MRNET_PUBLISHED.items()
    ]
    listed.append(Target("expected calibration error, as served", 0.05, numbers["ece"], at_most=True))
    listed += [Target(f"Dice {name}", least, numbers["dice"][name]) for name, least in DICE_TARGETS.items()]
    focal = [each for each in numbers["cam"].values() if each["focal"]]
    for name, key, least in (("heat over chance", "energy_over_chance", 3.0), ("right slice (+-1)", "slice_hit", 0.8)):
        listed.append(Target(f"{name}, worst label", least, _worst([each[key] for each in focal])))
    listed.append(Target("largest exactness error", 1e-4, max(numbers["exactness"].values()), at_most=True))
    if numbers["real"]:
        listed += [Target(f"Dice {name}, real images", 0.95, value) for name, value in numbers["real"]["dice"].items()]
    return listed
