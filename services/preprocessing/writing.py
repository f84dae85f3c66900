"""Results of one study as DICOM objects in the spool; the manifest comes last."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom

from services.common.errors import RefusalCode
from services.common.study import Provenance
from services.common.uids import result_uid
from services.preprocessing.inference import Reading
from services.results.identity import to_bytes
from services.results.manifest import KIND as MANIFEST
from services.results.manifest import manifest_object
from services.results.no_result import no_result_object
from services.results.report import Evidence, report_object
from services.results.saliency import saliency_object
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
    slices = {plane: [frame.instance for frame in frames] for plane, frames in sources.slices.items()}
    segmented = [
        segmentation_object(slices[plane], labels, plane=plane, provenance=provenance)
        for plane, labels in reading.labels.items()
    ]
    segmentations = [each for each in segmented if each is not None]
    overlays = [
        saliency_object(
            slices[finding.location.plane],
            (sources.inputs[finding.location.plane].source, reading.saliency[finding.label]),
            finding=finding,
            provenance=provenance,
        )
        for finding in reading.findings
        if finding.label in reading.saliency
    ]
    deciding = {
        finding.location.sop_instance_uid: slices[finding.location.plane][finding.location.slice_index]
        for finding in reading.findings
    }
    report = report_object(
        reading.findings,
        Evidence(list(deciding.values()), overlays, segmentations),
        laterality=sources.laterality,
        provenance=provenance,
    )
    objects = [*segmentations, *overlays, report]
    return [*objects, manifest_object(objects, report, provenance=provenance)]


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
        path.write_bytes(to_bytes(dataset))
        uid = str(dataset.SOPInstanceUID)
        stored.append(
            ResultObject(path, uid, dataset.Modality, dataset.SeriesDescription, manifest=uid == manifest_uid)
        )
    return tuple(stored)
