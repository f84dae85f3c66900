"""What the models say about one study of the test set, reduced to the numbers that the report needs.

The study goes the service's own way: its selection, assembly, transforms and inference, with the engine in Triton's
place. Answers are kept by the digests of the models, so a stopped run goes on and new models start a new set.
"""

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from services.common.finding import LABELS, Finding, Laterality, Structure
from services.common.tensors import GRID, KNEE_CAM, KNEE_CLASSIFICATION, MODELS
from services.common.transforms import to_source_grid
from services.common.triton import TritonClient
from services.common.volume import PLANES, Plane
from services.preprocessing.geometry import affine_of
from services.preprocessing.inference import Reading, read_knee
from services.preprocessing.judgement import decode, judge
from services.preprocessing.stacking import Sources, laid
from tools.evaluate.engine import Engine
from tools.evaluate.overlap import Overlap, overlaps
from tools.evaluate.testset import SyntheticStudy

FORMAT = 3  # of the kept answers and of the way to read a study
FEWEST_LESION_VOXELS = 6  # in a slice, to say that the lesion is in it


@dataclass(frozen=True)
class Localisation:
    """Where the heat of one finding went: its share inside the lesion, what chance gives, and the chosen slice."""

    energy: float
    chance: float
    slice_hit: bool


@dataclass(frozen=True)
class Answer:
    """One study. ``exactness`` is the largest |sum of attributions - logit| over the labels."""

    seed: int
    truth: dict[str, bool]
    logits: dict[str, float]
    probability: dict[str, float]
    positive: dict[str, bool]
    overlap: dict[Plane, dict[Structure, Overlap]]
    localisation: dict[str, Localisation]
    exactness: float


def sources_of(study: SyntheticStudy) -> Sources:
    """The study as the service selects and transforms it."""
    judgement = decode(judge(study.instances)[0])
    chosen = {plane: candidate.frames for plane, candidate in judgement.selection.chosen.items()}
    side = judgement.side.laterality
    inputs = {plane: laid(each, mirrored=side is Laterality.LEFT) for plane, each in judgement.volumes.items()}
    return Sources(chosen, inputs, side)


def read(engine: Engine, sources: Sources) -> Reading:
    """The service's own chain; the engine answers the two calls it makes of a ``TritonClient``."""
    return read_knee(cast("TritonClient", engine), sources, settle_side=False)


def answer(engine: Engine, study: SyntheticStudy) -> Answer:
    """Read one study and hold the reading against the truth."""
    sources = sources_of(study)
    reading = read(engine, sources)
    classified = engine.last[KNEE_CLASSIFICATION.name]
    return Answer(
        seed=study.seed,
        truth={label: label in study.findings for label in LABELS},
        logits={label: float(classified["logits"][i]) for i, label in enumerate(LABELS)},
        probability={each.label: each.probability for each in reading.findings},
        positive={each.label: each.positive for each in reading.findings},
        overlap={plane: _overlap(study, reading, sources, plane) for plane in reading.labels},
        localisation=_localisations(engine, study, reading, sources),
        exactness=exactness(classified),
    )


def exactness(classified: dict[str, NDArray[Any]]) -> float:
    """How far the attention-weighted sum of the class maps is from the logit; their bias is part of the maps."""
    share = classified["attention"].astype(np.float64) * classified["class_maps"].astype(np.float64).mean(axis=(3, 4))
    return float(np.abs(share.sum(axis=(0, 1)) - classified["logits"]).max())


def _inside(sources: Sources, plane: Plane) -> NDArray[np.bool_]:
    """Voxels of a source series that the model's field of view reaches."""
    everything = np.ones(GRID, dtype=np.uint8)
    return to_source_grid(everything, sources.inputs[plane].grid).astype(bool)


def _overlap(study: SyntheticStudy, reading: Reading, sources: Sources, plane: Plane) -> dict[Structure, Overlap]:
    spacing = np.linalg.norm(affine_of(sources.slices[plane])[:3, :3], axis=0)
    return overlaps(reading.labels[plane], study.labels[plane], _inside(sources, plane), spacing)


def _localisations(
    engine: Engine, study: SyntheticStudy, reading: Reading, sources: Sources
) -> dict[str, Localisation]:
    """Every finding that is drawn and visible in the field of view, whether the model reports it or not."""
    classified = dict(engine.last[KNEE_CLASSIFICATION.name])
    inside = {plane: _inside(sources, plane) for plane in sources.inputs}
    located = {}
    for finding in reading.findings:
        bit = np.uint16(1 << LABELS.index(finding.label))
        lesion = {plane: ((study.lesions[plane] & bit) > 0) & inside[plane] for plane in sources.inputs}
        if finding.label in study.findings and any(mask.any() for mask in lesion.values()):
            saliency = _saliency(engine, classified, finding, sources)
            located[finding.label] = localisation(saliency, lesion, inside, finding)
    return located


def _saliency(
    engine: Engine, classified: dict[str, NDArray[Any]], finding: Finding, sources: Sources
) -> dict[Plane, NDArray[np.uint8]]:
    inputs = {
        "class_maps": classified["class_maps"],
        "attention": classified["attention"],
        "label": np.array([LABELS.index(finding.label)], dtype=np.int64),
    }
    heat = engine.infer(KNEE_CAM, inputs)["saliency"]
    return {plane: to_source_grid(heat[PLANES.index(plane)], sources.inputs[plane].grid) for plane in sources.inputs}


def localisation(
    saliency: dict[Plane, NDArray[np.uint8]],
    lesion: dict[Plane, NDArray[np.bool_]],
    inside: dict[Plane, NDArray[np.bool_]],
    finding: Finding,
) -> Localisation:
    """The heat's share in the lesion over all planes, the lesion's share of all voxels, and whether the slice is right.

    A slice is right when the finding's own location is at most one slice from a slice of the lesion in that plane.
    """
    heat = sum(float(saliency[plane].sum(dtype=np.float64)) for plane in saliency)
    within = sum(float(saliency[plane][lesion[plane]].sum(dtype=np.float64)) for plane in saliency)
    voxels, lesioned = (sum(int(np.count_nonzero(part[plane])) for plane in part) for part in (inside, lesion))
    slices = np.flatnonzero(lesion[finding.location.plane].sum(axis=(1, 2)) >= FEWEST_LESION_VOXELS)
    hit = bool(len(slices)) and int(np.abs(slices - finding.location.slice_index).min()) <= 1
    return Localisation(within / heat if heat else 0.0, lesioned / voxels, hit)


def digest(engine: Engine) -> str:
    """Twelve hex digits of the model files, the precision asked for and this format."""
    whole = hashlib.sha256(str(FORMAT).encode())
    for contract in MODELS:
        whole.update(engine.path(contract).read_bytes())
        whole.update((json.dumps(engine.parameters(contract), sort_keys=True)).encode())
    return whole.hexdigest()[:12]


def save(path: Path, one: Answer) -> None:
    """Write whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(dataclasses.asdict(one)))
    part.rename(path)


def load(path: Path) -> Answer:
    """Read a kept answer."""
    raw = json.loads(path.read_text())
    overlap = {
        Plane(plane): {Structure(int(key)): Overlap(**value) for key, value in structures.items()}
        for plane, structures in raw.pop("overlap").items()
    }
    located = {label: Localisation(**value) for label, value in raw.pop("localisation").items()}
    return Answer(overlap=overlap, localisation=located, **raw)


def is_sound(one: Answer) -> bool:
    """Whether every number of an answer is finite."""
    return all(math.isfinite(value) for value in (*one.logits.values(), one.exactness))
