"""Measure the exported models on held out studies of real knees: ``python -m tools.train.held_out``.

Reads what ``tools.train.import_dataset`` kept back, with the files of ``model_repository`` in OpenVINO: area under the
ROC curve of each finding with its 95 % bootstrap interval, and Dice of each structure, over what is known alone. The
numbers also go to ``build/train/held-out.json``. The synthetic test set is ``tools.evaluate``'s.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import track
from rich.table import Table

from services.common.finding import LABELS, Structure
from services.common.tensors import KNEE_CLASSIFICATION, KNEE_SEGMENTATION, PLANE_COUNT
from services.common.transforms import joint_region
from tools.evaluate.engine import REPOSITORY, Engine
from tools.evaluate.statistics import area_under_roc, bootstrap_areas, interval
from tools.train import dataset, imported
from tools.train.dataset import Example
from tools.train.partial import POSSIBLE, UNKNOWN

SCORES = Path("build/train/held-out.json")


@dataclass(frozen=True, eq=False)
class Reading:
    """One study: ``logits`` and ``findings`` (12,), and by structure how many voxels are in both, found and true."""

    logits: NDArray[np.float64]
    findings: NDArray[np.uint8]
    overlap: NDArray[np.int64]  # (14, 3)


def read(engine: Engine, example: Example) -> Reading:
    """The models' answer to an example, as the service would ask them."""
    region, overlap = np.zeros((PLANE_COUNT, 4), np.float32), np.zeros((len(Structure), 3), np.int64)
    for plane in np.flatnonzero(example.slice_mask.any(axis=1)):
        found = engine.infer(KNEE_SEGMENTATION, {"volume": example.volumes[plane]})["labels"]
        region[plane] = joint_region(found)
        used = example.slice_mask[plane] > 0
        overlap += overlaps(found[used], example.labels[plane][used])
    inputs: dict[str, NDArray[Any]] = {"volumes": example.volumes, "slice_mask": example.slice_mask, "region": region}
    logits = engine.infer(KNEE_CLASSIFICATION, inputs)["logits"].astype(np.float64)
    return Reading(logits, np.asarray(example.findings), overlap)


def overlaps(found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(14, 3) voxels in both, found and true, where the truth says whether a voxel is the structure."""
    counts = np.zeros((len(Structure), 3), np.int64)
    for structure in Structure:
        known = (truth < len(Structure)) | ~POSSIBLE[truth, structure]
        a, b = (found == structure) & known, truth == structure
        counts[structure] = [np.count_nonzero(each) for each in (a & b, a, b)]
    return counts


def score(readings: Sequence[Reading]) -> dict[str, Any]:
    """Areas with intervals and counts by finding, Dice by structure; what nobody judged or drew is left out."""
    findings, structures = {}, {}
    for index, label in enumerate(LABELS):
        judged = [each for each in readings if each.findings[index] != UNKNOWN]
        truth = np.array([each.findings[index] == 1 for each in judged], dtype=bool)
        if len(set(truth.tolist())) < 2:
            continue
        logits = np.array([each.logits[index] for each in judged])
        area = interval(area_under_roc(logits, truth), bootstrap_areas(logits[:, None], truth[:, None])[:, 0])
        counts = {"positives": int(truth.sum()), "studies": len(judged)}
        findings[label] = {"auc": area.value, "ci": [area.low, area.high], **counts}
    both, found, true = np.sum([each.overlap for each in readings], axis=0).T
    for structure in Structure:
        if structure and true[structure]:
            structures[structure.name] = {"dice": float(2 * both[structure] / (found[structure] + true[structure]))}
    return {"studies": len(readings), "findings": findings, "structures": structures}


def tables(scores: dict[str, Any]) -> Iterable[Table]:
    """For people."""
    by_finding = Table("finding", "AUC", "95 % interval", "positives", "studies", box=SIMPLE)
    for label, each in scores["findings"].items():
        low, high = each["ci"]
        by_finding.add_row(
            label, f"{each['auc']:.3f}", f"{low:.3f}-{high:.3f}", str(each["positives"]), str(each["studies"])
        )
    by_structure = Table("structure", "Dice", box=SIMPLE)
    for name, each in scores["structures"].items():
        by_structure.add_row(name.lower().replace("_", " "), f"{each['dice']:.3f}")
    return by_finding, by_structure


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tools.train.held_out", description=__doc__)
    parser.add_argument("--data", type=Path, default=dataset.DATA)
    parser.add_argument("--repository", type=Path, default=REPOSITORY)
    options = parser.parse_args()
    kept = {path for use in (imported.FINDINGS, imported.STRUCTURES) for path in _held_out(use, options.data)}
    if not kept:
        parser.error(f"no held out study below {options.data}: tools.train.import_dataset makes them")
    engine = Engine(options.repository)
    readings = [read(engine, dataset.load(path)) for path in track(sorted(kept), description="held out studies")]
    scores = score(readings)
    SCORES.parent.mkdir(parents=True, exist_ok=True)
    SCORES.write_text(json.dumps(scores, indent=1))
    Console().print(*tables(scores))
    print(f"{len(readings)} studies, {SCORES}")


def _held_out(use: str, data: Path) -> list[Path]:
    return imported.paths(use, held_out=True, data=data)


if __name__ == "__main__":
    main()
