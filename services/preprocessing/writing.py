"""Results of one study as DICOM objects in the spool; the manifest comes last."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom

from services.common.errors import RefusalCode
from services.common.measurement import Measurement, measure
from services.common.study import Provenance
from services.common.uids import result_uid
from services.common.volume import Volume
from services.preprocessing.geometry import affine_of
from services.preprocessing.inference import Reading
from services.results.activation_map import activation_map_object
from services.results.manifest import KIND as MANIFEST
from services.results.manifest import manifest_object
from services.results.no_result import no_result_object
from services.results.part10 import write_file
from services.results.report import Evidence, report_object
from services.results.saliency import most_important_slices, saliency_object
from services.results.segmentation import segmentation_object


@dataclass(frozen=True)
class ResultObject:
    """One DICOM object of the result set, lying in the spool."""

    path: Path
    sop_instance_uid: str
    modality: str
    series_description: str
    manifest: bool


def findings_objects(reading: Reading, *, provenance: Provenance) -> list[pydicom.Dataset]:
    """Segmentations, saliency, report and manifest of one reading."""
    sources = reading.sources
    segmented = {
        plane: segmentation_object(sources.slices[plane], labels, plane=plane, provenance=provenance)
        for plane, labels in reading.labels.items()
    }
    evidence = Evidence(
        sources={plane: sources.slices[plane] for plane in reading.labels},
        segmentations={plane: each for plane, each in segmented.items() if each is not None},
        overlays=_overlays(reading, provenance),
        slices={
            finding.label: most_important_slices(reading.saliency[finding.label], finding.location.slice_index)
            for finding in reading.findings
            if finding.label in reading.saliency
        },
        measurements=measurements_of(reading),
    )
    report = report_object(reading.findings, evidence, laterality=sources.laterality, provenance=provenance)
    objects = [each.dataset for each in evidence.segmentations.values()]
    objects += [each for overlays in evidence.overlays.values() for each in overlays]
    return [*objects, report, manifest_object([*objects, report], report, provenance=provenance)]


def measurements_of(reading: Reading) -> tuple[Measurement, ...]:
    """What can be measured on the label maps of a reading."""
    slices = reading.sources.slices
    return measure({plane: Volume(labels, affine_of(slices[plane])) for plane, labels in reading.labels.items()})


def _overlays(reading: Reading, provenance: Provenance) -> dict[str, list[pydicom.Dataset]]:
    """Picture and map of every finding that has saliency, by label."""
    sources = reading.sources
    overlays = {}
    for finding in reading.findings:
        if finding.label not in reading.saliency:
            continue
        frames, plane, heat = (
            sources.slices[finding.location.plane],
            finding.location.plane,
            reading.saliency[finding.label],
        )
        picture = (sources.inputs[plane].source, heat)
        overlays[finding.label] = [
            saliency_object(frames, picture, finding=finding, provenance=provenance),
            activation_map_object(frames, heat, finding=finding, provenance=provenance),
        ]
    return overlays


def no_result_objects(source: pydicom.Dataset, code: RefusalCode, *, provenance: Provenance) -> list[pydicom.Dataset]:
    """A coded no-result report and its manifest."""
    report = no_result_object(source, code, provenance=provenance)
    return [report, manifest_object([report], report, provenance=provenance)]


def store(objects: Sequence[pydicom.Dataset], folder: Path, *, input_digest: str) -> tuple[ResultObject, ...]:
    """Write the objects to the study's folder in the order in which the archive is to store them."""
    manifest_uid = result_uid(input_digest, MANIFEST)
    stored = []
    for index, dataset in enumerate(objects):
        path = folder / f"result-{index:03d}.dcm"
        write_file(dataset, path)
        uid = str(dataset.SOPInstanceUID)
        stored.append(
            ResultObject(path, uid, dataset.Modality, dataset.SeriesDescription, manifest=uid == manifest_uid)
        )
    return tuple(stored)
