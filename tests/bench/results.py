"""What it costs to write the results of one study: ``python -m tests.bench.results``.

One knee of the phantom, imaged at 320 and enlarged to three series of 30 x 512 x 512, with its true label maps and
three positive findings whose heat covers a third of the slices. Times are CPU-seconds of several runs after one to
warm up; on a busy machine the least one is nearer to the truth. Every object goes to a file, as in the service.
highdicom writes the same arrays, where it has the object.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import highdicom as hd
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian
from rich.console import Console
from rich.table import Table

from services.common.finding import LABELS, Finding, Laterality, Location
from services.common.frame import Frame
from services.common.measurement import measure
from services.common.study import Provenance
from services.common.volume import Plane, Volume, stack_affine
from services.results.activation_map import activation_map_object
from services.results.manifest import manifest_object
from services.results.part10 import write_file
from services.results.report import Evidence, report_object
from services.results.saliency import most_important_slices, saliency_object
from services.results.segmentation import Segmentation, segmentation_object
from tests.results.test_oracle import highdicom_group, highdicom_report
from tests.studies import series
from tools.phantom.study import image_study

SLICES, SIDE, RUNS = 30, 512, 9
POSITIVE = ("ACL", "Medial Meniscus", "Effusion")
BUDGET_SECONDS = 0.15
_HOT_SLICES = 10
_MODELS = ("knee_segmentation", "knee_classification", "knee_cam")
PROVENANCE = Provenance("d" * 64, "knee", "0.1.0", "p" * 64, dict.fromkeys(_MODELS, "a" * 64))


@dataclass(frozen=True, eq=False)
class Knee:
    """The arrays and frames of one study."""

    frames: dict[Plane, list[Frame]]
    images: dict[Plane, NDArray[np.uint8]]
    labels: dict[Plane, NDArray[np.uint8]]
    heat: dict[str, NDArray[np.uint8]]
    findings: tuple[Finding, ...]


def knee() -> Knee:
    """The phantom's knee on the grid of the budget."""
    study = image_study(7, list(POSITIVE))
    frames, images, labels = {}, {}, {}
    for number, each in enumerate(study.series, start=1):
        plane = each.image.plane
        spacing = [0.3, 0.3]
        instances = series(plane, slices=SLICES, number=number, Rows=SIDE, Columns=SIDE, PixelSpacing=spacing)
        frames[plane] = [Frame(instance) for instance in instances]
        images[plane] = _enlarged((each.image.voxels / 16).astype(np.uint8), cv2.INTER_LINEAR)
        labels[plane] = _enlarged(each.labels.voxels, cv2.INTER_NEAREST)
    findings = tuple(_finding(label, frames) for label in LABELS)
    heat = {each.label: _heat(each.location.slice_index) for each in findings if each.positive}
    return Knee(frames, images, labels, heat, findings)


def _enlarged(voxels: NDArray[np.uint8], interpolation: int) -> NDArray[np.uint8]:
    chosen = np.linspace(0, len(voxels) - 1, SLICES).round().astype(int)
    return np.stack([cv2.resize(voxels[index], (SIDE, SIDE), interpolation=interpolation) for index in chosen])


def _finding(label: str, frames: dict[Plane, list[Frame]]) -> Finding:
    plane = list(Plane)[LABELS.index(label) % len(Plane)]
    index = SLICES // 2
    location = Location(plane, index, frames[plane][index].sop_instance_uid)
    return Finding(label, 0.9 if label in POSITIVE else 0.1, 0.5, location)


def _heat(middle: int) -> NDArray[np.uint8]:
    heat = np.zeros((SLICES, SIDE, SIDE), np.uint8)
    rows, columns = np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij")
    spot = np.exp(-(((rows - 240) / 60) ** 2) - ((columns - 260) / 60) ** 2)
    for index in range(middle - _HOT_SLICES // 2, middle + _HOT_SLICES // 2):
        heat[index] = (255 * spot * np.exp(-(((index - middle) / 4) ** 2))).astype(np.uint8)
    return heat


def ours(study: Knee, folder: Path) -> dict[str, float]:
    """CPU-seconds by step, the way the service does it."""
    seconds: dict[str, float] = {}

    def timed(name, step):
        started = time.process_time()
        result = step()
        seconds[name] = seconds.get(name, 0.0) + time.process_time() - started
        return result

    segmentations: dict[Plane, Segmentation] = timed("segmentations", lambda: _segmentations(study))
    overlays: dict[str, list[pydicom.Dataset]] = {}
    slices = {}
    for each in (finding for finding in study.findings if finding.positive):
        overlays[each.label] = [
            timed("saliency pictures", lambda each=each: _picture(study, each)),
            timed("activation maps", lambda each=each: _map(study, each)),
        ]
        slices[each.label] = timed(
            "report", lambda each=each: most_important_slices(study.heat[each.label], each.location.slice_index)
        )
    measurements = timed("measurements", lambda: measure(_volumes(study)))
    evidence = Evidence(study.frames, segmentations, overlays, slices, measurements)
    report = timed(
        "report",
        lambda: report_object(study.findings, evidence, laterality=Laterality.RIGHT, provenance=PROVENANCE),
    )
    kinds = {"segmentations": [each.dataset for each in segmentations.values()], "report": [report]}
    kinds["saliency pictures"] = [each[0] for each in overlays.values()]
    kinds["activation maps"] = [each[1] for each in overlays.values()]
    everything = [each for objects in kinds.values() for each in objects]
    kinds["manifest"] = [timed("manifest", lambda: manifest_object(everything, report, provenance=PROVENANCE))]
    for kind, objects in kinds.items():
        for index, each in enumerate(objects):
            timed(kind, lambda each=each, path=folder / f"{kind}-{index}.dcm": write_file(each, path))
    return seconds


def _segmentations(study: Knee) -> dict[Plane, Segmentation]:
    written = {
        plane: segmentation_object(study.frames[plane], labels, plane=plane, provenance=PROVENANCE)
        for plane, labels in study.labels.items()
    }
    return {plane: each for plane, each in written.items() if each}


def _picture(study: Knee, finding: Finding) -> pydicom.Dataset:
    plane = finding.location.plane
    pixels = (study.images[plane], study.heat[finding.label])
    return saliency_object(study.frames[plane], pixels, finding=finding, provenance=PROVENANCE)


def _map(study: Knee, finding: Finding) -> pydicom.Dataset:
    frames = study.frames[finding.location.plane]
    return activation_map_object(frames, study.heat[finding.label], finding=finding, provenance=PROVENANCE)


def _volumes(study: Knee) -> dict[Plane, Volume]:
    volumes = {}
    for plane, frames in study.frames.items():
        first, last = frames[0], frames[-1]
        affine = stack_affine(
            first.orientation,
            first.pixel_spacing_mm,
            first_position=first.position_mm,
            last_position=last.position_mm,
            slices=SLICES,
        )
        volumes[plane] = Volume(study.labels[plane], affine)
    return volumes


def highdicom(study: Knee, folder: Path) -> dict[str, float]:
    """CPU-seconds of the objects that highdicom writes itself."""
    seconds = {}
    started = time.process_time()
    for plane, labels in study.labels.items():
        _highdicom_segmentation(study, plane, labels).save_as(folder / f"seg-{plane}.dcm")
    seconds["segmentations"] = time.process_time() - started
    started = time.process_time()
    for each in (finding for finding in study.findings if finding.positive):
        _highdicom_map(study, each).save_as(folder / f"map-{each.label}.dcm")
    seconds["activation maps"] = time.process_time() - started
    started = time.process_time()
    _highdicom_report(study).save_as(folder / "report.dcm")
    seconds["report"] = time.process_time() - started
    return seconds


def _plain(frames: list[Frame]) -> list[pydicom.Dataset]:
    for frame in frames:
        frame.instance.AccessionNumber = frame.instance.StudyID = ""
        frame.instance.ReferringPhysicianName = None
    return [frame.instance for frame in frames]


def _highdicom_segmentation(study: Knee, plane: Plane, labels: NDArray[np.uint8]) -> hd.seg.Segmentation:
    present = sorted(set(np.unique(labels)) - {0})
    described = [
        hd.seg.SegmentDescription(
            number,
            f"structure {value}",
            codes.SCT.AnatomicalStructure,
            codes.SCT.Bone,
            "AUTOMATIC",
            hd.AlgorithmIdentificationSequence("n", codes.cid7162.ArtificialIntelligence, "0.1.0"),
        )
        for number, value in enumerate(present, start=1)
    ]
    return hd.seg.Segmentation(
        _plain(study.frames[plane]),
        np.searchsorted([0, *present], labels).astype(np.uint8),
        "BINARY",
        described,
        hd.UID(),
        1,
        hd.UID(),
        1,
        "Articula",
        "m",
        "0.1.0",
        "s",
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )


def _highdicom_report(study: Knee) -> hd.sr.Comprehensive3DSR:
    """The twelve findings and the image library, without measurements: less than ours."""
    groups = [
        highdicom_group(each, study.frames[each.location.plane][each.location.slice_index], PROVENANCE)
        for each in study.findings
    ]
    images = [instance for frames in study.frames.values() for instance in _plain(frames)]
    root = highdicom_report(groups, PROVENANCE, images)
    return hd.sr.Comprehensive3DSR(images, root, hd.UID(), 1, hd.UID(), 1, "Articula")


def _highdicom_map(study: Knee, finding: Finding) -> hd.pm.ParametricMap:
    mapping = hd.pm.RealWorldValueMapping("A", "activation", codes.UCUM.NoUnits, (0.0, 1.0), slope=1.0, intercept=0.0)
    return hd.pm.ParametricMap(
        _plain(study.frames[finding.location.plane]),
        study.heat[finding.label].astype(np.float32) / 255,
        hd.UID(),
        1,
        hd.UID(),
        1,
        "Articula",
        "m",
        "0.1.0",
        "s",
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[hd.VOILUTTransformation(window_center=0.5, window_width=1.0)],
    )


def _runs(step: Callable[[Path], dict[str, float]]) -> dict[str, list[float]]:
    """All runs but the first, by step."""
    runs = []
    for _ in range(RUNS + 1):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(step(Path(folder)))
    return {name: [run[name] for run in runs[1:]] for name in runs[0]}


def _figure(runs: dict[str, list[float]], name: str, of: Callable[[list[float]], float]) -> str:
    return f"{of(runs[name]):.3f}" if name in runs else ""


def main() -> None:
    """Print the table."""
    cv2.setNumThreads(1)
    study = knee()
    mine, theirs = _runs(lambda folder: ours(study, folder)), _runs(lambda folder: highdicom(study, folder))
    measured = mine.pop("measurements")
    mine["writing all objects"] = [sum(run) for run in zip(*mine.values(), strict=True)]
    mine["measuring, before writing"] = measured
    table = Table(title=f"CPU-seconds a study, three series of {SLICES} x {SIDE} x {SIDE}, three positive findings")
    for column in ("step", "articula, median", "least", "highdicom, median", "least"):
        table.add_column(column, justify="left" if column == "step" else "right")
    for name, runs in mine.items():
        others = [_figure(theirs, name, statistics.median), _figure(theirs, name, min)]
        table.add_row(name, _figure(mine, name, statistics.median), f"{min(runs):.3f}", *others)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    table.caption = f"budget for writing: {BUDGET_SECONDS} s; {RUNS} runs on {os.cpu_count()} cores under load {load}"
    Console().print(table)


if __name__ == "__main__":
    main()
