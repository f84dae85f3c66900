"""The segmentation on real images that no training has seen, read and transformed as the service does it.

Real series with a reference of our own (``reference.py``) are few and lie outside the repository; without them the
report says so instead of a number.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from services.common.dicom import number, read_instance
from services.common.finding import Laterality, Structure
from services.common.transforms import to_source_grid
from services.common.triton import TritonClient
from services.common.volume import Plane
from services.preprocessing.agreement import agreed
from services.preprocessing.inference import segment
from services.preprocessing.judgement import judge
from services.preprocessing.stacking import Sources, assemble, transform
from tools.evaluate.engine import Engine
from tools.evaluate.overlap import dice, surface_distance
from tools.evaluate.reference import outlines, reference

SERIES = Path("../shared/data/knee_mese_ge3t")
SHOWN_ECHOES = (0, 3, 7)  # the first, a middle and the last of eight
BONES = {"femur": Structure.FEMUR, "tibia": Structure.TIBIA}


@dataclass(frozen=True, eq=False)
class RealReading:
    """One echo of the series: windowed slices, their labels, Dice and surface distance of femur and tibia."""

    echo_ms: float
    source: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    dice: dict[str, float]
    surface_mm: dict[str, float]


@dataclass(frozen=True, eq=False)
class RealReport:
    """All echoes that were read, and the reference ``(slice, row, column)`` of ``Structure`` on its slices."""

    readings: tuple[RealReading, ...]
    reference: NDArray[np.uint8]
    slices: tuple[int, ...]


def measure(engine: Engine, folder: Path = SERIES) -> RealReport | None:
    """Segment some echoes of the real series; None where the folder holds nothing."""
    instances = [read_instance(path) for path in sorted(folder.glob("*.dcm"))]
    if not instances:
        return None
    times = sorted({number(each, "EchoTime") or 0.0 for each in instances})
    echoes = [[each for each in instances if number(each, "EchoTime") == time] for time in times]
    series = {time: judge(group)[0].chosen[Plane.SAGITTAL].frames for time, group in zip(times, echoes, strict=True)}
    volumes = {time: assemble(slices) for time, slices in series.items()}
    stacked = np.stack([volume.voxels for volume in volumes.values()]).astype(np.float32)
    truth = references(stacked)
    used = tuple(sorted({outline.slice_index for outline in outlines()}))
    side = judge(instances)[1].laterality
    readings = []
    for time in (times[index] for index in SHOWN_ECHOES):
        model_input = transform(volumes[time], mirrored=side is Laterality.LEFT)
        sources = Sources({Plane.SAGITTAL: series[time]}, {Plane.SAGITTAL: model_input}, side)
        labels = agreed(segment(cast("TritonClient", engine), sources), {})[Plane.SAGITTAL]
        inside = to_source_grid(np.ones_like(model_input.volume), model_input.grid) > 0
        found, true = (np.where(inside, each, 0)[list(used)] for each in (labels, truth))
        overlap, surface = _scores(found, true, volumes[time].spacing_mm)
        readings.append(RealReading(time, model_input.source, labels, overlap, surface))
    return RealReport(tuple(readings), truth, used)


def references(echoes: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Labels ``(slice, row, column)`` from ``(echo, slice, row, column)``; zero on slices without outlines."""
    labels = np.zeros(echoes.shape[1:], dtype=np.uint8)
    for outline in outlines():
        labels[outline.slice_index][reference(echoes[:, outline.slice_index], outline)] = BONES[outline.structure]
    return labels


def _scores(
    found: NDArray[np.uint8], true: NDArray[np.uint8], spacing_mm: NDArray[np.float64]
) -> tuple[dict[str, float], dict[str, float]]:
    overlap, surface = {}, {}
    for name, structure in BONES.items():
        a, b = found == structure, true == structure
        overlap[name] = dice(*(int(np.count_nonzero(each)) for each in (a & b, a, b)))
        surface[name] = surface_distance(a, b, spacing_mm) if a.any() else float("nan")
    return overlap, surface
