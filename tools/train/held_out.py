"""Measure the exported models on held out studies of real knees: ``python -m tools.train.held_out``.

Reads what ``tools.train.import_dataset`` kept back, with the files of ``model_repository`` in OpenVINO: area under the
ROC curve of each finding and mean Dice of each structure over studies, with 95 % intervals, over what is known alone.
Each plane is read by itself on the models' grid; the service also asks the other planes and reads long series slice by
slice, and answers thin structures better. The numbers also go to ``build/train/held-out.json``. The synthetic test set
is ``tools.evaluate``'s.
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
from tools.evaluate.overlap import FEWEST_VOXELS, dice
from tools.evaluate.statistics import area_interval, bootstrap_areas, mean_interval
from tools.train import dataset, imported
from tools.train.dataset import Example
from tools.train.partial import MENISCUS, POSSIBLE, TIBIAL_CARTILAGE, UNKNOWN

SCORES = Path("build/train/held-out.json")
_DRAWN = {*Structure, TIBIAL_CARTILAGE, MENISCUS} - {Structure.BACKGROUND}


@dataclass(frozen=True, eq=False)
class Reading:
    """One study: ``logits`` and ``findings`` (12,), and by structure how many voxels are in both, found and true.

    ``bones`` is the mean confidence of femur and tibia in the plane that is surest of them: below the limit of the
    served configuration the study would be refused.
    """

    logits: NDArray[np.float64]
    findings: NDArray[np.uint8]
    overlap: NDArray[np.int64]  # (14, 3)
    bones: float


def read(engine: Engine, example: Example) -> Reading:
    """The models' answer to an example, each plane by itself."""
    region, overlap = np.zeros((PLANE_COUNT, 4), np.float32), np.zeros((len(Structure), 3), np.int64)
    bones = 0.0
    for plane in np.flatnonzero(example.slice_mask.any(axis=1)):
        answer = engine.infer(KNEE_SEGMENTATION, {"volume": example.volumes[plane]})
        found = answer["labels"]
        region[plane] = joint_region(found)
        bones = max(bones, float(answer["confidence"][[Structure.FEMUR, Structure.TIBIA]].mean()))
        used = example.slice_mask[plane] > 0
        overlap += overlaps(found[used], example.labels[plane][used])
    inputs: dict[str, NDArray[Any]] = {"volumes": example.volumes, "slice_mask": example.slice_mask, "region": region}
    logits = engine.infer(KNEE_CLASSIFICATION, inputs)["logits"].astype(np.float64)
    return Reading(logits, np.asarray(example.findings), overlap, bones)


def overlaps(found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(14, 3) voxels in both, found and true, where the truth says whether a voxel is the structure.

    A structure of a group that is drawn in part counts nowhere: beside it nothing is known, so what was found too much
    would not show.
    """
    counts = np.zeros((len(Structure), 3), np.int64)
    free = [value for value in np.unique(truth) if value not in _DRAWN]
    for structure in np.flatnonzero(~POSSIBLE[free].all(axis=0)):
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
        area = area_interval(logits, truth, bootstrap_areas(logits[:, None], truth[:, None])[:, 0])
        counts = {"positives": int(truth.sum()), "studies": len(judged)}
        findings[label] = {"auc": area.value, "ci": [area.low, area.high], **counts}
    for structure in Structure:
        drawn = [each.overlap[structure] for each in readings if each.overlap[structure, 2] >= FEWEST_VOXELS]
        if drawn:
            mean = mean_interval(np.array([dice(*counts) for counts in drawn]))
            structures[structure.name] = {"dice": mean.value, "ci": [mean.low, mean.high], "studies": len(drawn)}
    bones = min(each.bones for each in readings)
    return {"studies": len(readings), "findings": findings, "structures": structures, "least_bone_confidence": bones}


def tables(scores: dict[str, Any]) -> Iterable[Table]:
    """For people."""
    by_finding = Table("finding", "AUC", "95 % interval", "positives", "studies", box=SIMPLE)
    for label, each in scores["findings"].items():
        low, high = each["ci"]
        by_finding.add_row(
            label, f"{each['auc']:.3f}", f"{low:.3f}-{high:.3f}", str(each["positives"]), str(each["studies"])
        )
    by_structure = Table("structure", "Dice", "95 % interval", "studies", box=SIMPLE)
    for name, each in scores["structures"].items():
        low, high = each["ci"]
        by_structure.add_row(
            name.lower().replace("_", " "), f"{each['dice']:.3f}", f"{low:.3f}-{high:.3f}", str(each["studies"])
        )
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
    limit, found = float(engine.parameters(KNEE_SEGMENTATION)["bone_confidence"]), scores["least_bone_confidence"]
    warning = "; lower it in knee_segmentation/config.pbtxt, or such studies are refused" if found < limit else ""
    print(f"least confidence in the bones of a knee: {found:.2f}, the service asks for {limit:g}{warning}")
    print(f"{len(readings)} studies, {SCORES}")


def _held_out(use: str, data: Path) -> list[Path]:
    return imported.paths(use, held_out=True, data=data)


if __name__ == "__main__":
    main()
