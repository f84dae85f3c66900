"""What is drawn where, for whoever measures a reader: one DICOM Segmentation a series, and one JSON file a study.

The Segmentations are written by highdicom, independently of the services' own writer, so the two can be held against
each other. The JSON names the findings and gives each one's box in every series, in slices and pixels.
"""

import json
from pathlib import Path
from typing import TypedDict

import highdicom
import numpy as np
import pydicom
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentationTypeValues, SegmentDescription
from numpy.typing import NDArray
from pydicom.sr.coding import Code as CodedConcept

from services.common.codes import STRUCTURE_CODES, Code
from services.common.finding import LABELS, Structure
from tools.phantom.acquire import Acquisition
from tools.phantom.study import Study

SERIES_NUMBER = 9900
_MAKER = {
    "manufacturer": "Articula",
    "manufacturer_model_name": "Phantom",
    "software_versions": "1",
    "device_serial_number": "0",
}


class LesionBox(TypedDict):
    """Where a finding is drawn in a series: first and last slice, row and column, and its volume."""

    slices: tuple[int, int]
    rows: tuple[int, int]
    columns: tuple[int, int]
    millilitres: float


class SeriesTruth(TypedDict):
    """The truth about one series; ``structures`` are volumes in millilitres."""

    series_instance_uid: str
    plane: str
    sequence: str
    artefacts: list[str]
    structures: dict[str, float]
    findings: dict[str, LesionBox]


def describe(study: Study, uids: list[str]) -> dict[str, object]:
    """The truth of a study; ``uids`` are its series' in the same order."""
    return {
        "seed": study.knee.seed,
        "laterality": study.knee.laterality.value,
        "findings": {name: name in study.knee.findings for name in LABELS},
        "series": [_series(series, uid) for series, uid in zip(study.series, uids, strict=True)],
        "note": "synthetic knee: research use only, not for diagnosis",
    }


def _series(series: Acquisition, uid: str) -> SeriesTruth:
    millilitres = float(np.prod(series.image.spacing_mm)) / 1000
    counts = np.bincount(series.labels.voxels.ravel(), minlength=len(Structure))
    boxes = {
        name: _box((series.lesions.voxels.astype(np.uint16) >> bit) % 2 > 0, millilitres)
        for bit, name in enumerate(LABELS)
    }
    return {
        "series_instance_uid": uid,
        "plane": str(series.protocol.plane),
        "sequence": series.protocol.name,
        "artefacts": sorted(series.protocol.artefacts),
        "structures": {each.name: round(float(counts[each] * millilitres), 3) for each in Structure if each},
        "findings": {name: box for name, box in boxes.items() if box},
    }


def _box(mask: NDArray[np.bool_], millilitres: float) -> LesionBox | None:
    where = np.argwhere(mask)
    if not len(where):
        return None
    (s0, r0, c0), (s1, r1, c1) = where.min(axis=0).tolist(), where.max(axis=0).tolist()
    return {
        "slices": (s0, s1),
        "rows": (r0, r1),
        "columns": (c0, c1),
        "millilitres": round(len(where) * millilitres, 3),
    }


def segmentation(sources: list[pydicom.Dataset], series: Acquisition, number: int) -> pydicom.Dataset:
    """The structures of one series as a DICOM Segmentation; ``sources`` are its instances in order."""
    present = [each for each in Structure if each and (series.labels.voxels == each).any()]
    masks = np.stack([series.labels.voxels == each for each in present], axis=-1)
    return highdicom.seg.Segmentation(
        source_images=sources,
        pixel_array=masks.astype(np.uint8),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[_segment(each, index) for index, each in enumerate(present, start=1)],
        series_instance_uid=highdicom.UID(),
        series_number=SERIES_NUMBER + number,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        series_description=f"Truth of series {number}",
        **_MAKER,
    )


def _segment(structure: Structure, number: int) -> SegmentDescription:
    code = STRUCTURE_CODES[structure]
    return SegmentDescription(
        segment_number=number,
        segment_label=code.label,
        segmented_property_category=_coded(code.category),
        segmented_property_type=_coded(code.type),
        algorithm_type=SegmentAlgorithmTypeValues.MANUAL,
    )


def _coded(code: Code) -> CodedConcept:
    return CodedConcept(code.value, code.scheme, code.meaning)


def write_truth(folder: Path, study: Study, instances: list[list[pydicom.Dataset]]) -> None:
    """Write ``truth.json`` and ``truth/<number>.dcm`` for the instances of each series of a study."""
    uids = [str(series[0].SeriesInstanceUID) for series in instances]
    (folder / "truth").mkdir(parents=True, exist_ok=True)
    (folder / "truth.json").write_text(json.dumps(describe(study, uids), indent=1))
    for number, (series, sources) in enumerate(zip(study.series, instances, strict=True), start=1):
        segmentation(sources, series, number).save_as(folder / "truth" / f"{number}.dcm")
