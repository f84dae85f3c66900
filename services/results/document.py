"""The frame of every structured report: TID 1500, this device as its observer, and the same closing statement."""

from collections.abc import Sequence

import highdicom as hd
import pydicom
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code as CodedConcept

from services.common.codes import private
from services.common.study import Provenance
from services.results.identity import (
    DEVICE_SERIAL_NUMBER,
    MANUFACTURER,
    MODEL_NAME,
    RESEARCH_ONLY,
    instance_uid,
    series_uid,
    sign,
    with_required,
)
from services.results.segmentation import coded

SERIES_NUMBER = 9000
_PROCEDURE = coded(private("KNEE-MR-AI", "Automated reading of knee MR"))


def observer(provenance: Provenance) -> hd.sr.ObserverContext:
    """This software as the observing device."""
    return hd.sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
            uid=instance_uid(provenance, "device"),
            name=f"{MODEL_NAME} {provenance.software_version}",
            manufacturer_name=MANUFACTURER,
            model_name=MODEL_NAME,
            serial_number=DEVICE_SERIAL_NUMBER,
        ),
    )


def text(name: CodedConcept, value: str) -> hd.sr.TextContentItem:
    """One sentence under the root."""
    return hd.sr.TextContentItem(name=name, value=value, relationship_type=hd.sr.RelationshipTypeValues.CONTAINS)


def report_document(
    evidence: Sequence[pydicom.Dataset],
    provenance: Provenance,
    *,
    groups: Sequence[hd.sr.MeasurementsAndQualitativeEvaluations] = (),
    items: Sequence[pydicom.Dataset] = (),
    description: str,
) -> pydicom.Dataset:
    """Comprehensive 3D SR with one root, ``items`` after the template's own; the first evidence is a source image."""
    root = _measurement_report(groups, provenance) if groups else _plain_report(provenance)
    notes = [text(codes.DCM.Comment, note) for note in (*provenance.notes, *_made_by(provenance), RESEARCH_ONLY)]
    root.ContentSequence.extend([*items, *notes])
    dataset = hd.sr.Comprehensive3DSR(
        evidence=[with_required(each) for each in evidence],
        content=root,
        series_instance_uid=series_uid(provenance, "report"),
        series_number=SERIES_NUMBER,
        sop_instance_uid=instance_uid(provenance, "report"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
    )
    dataset.SoftwareVersions = provenance.software_version
    return sign(dataset, evidence[0], kind="Report", description=description)


def _measurement_report(
    groups: Sequence[hd.sr.MeasurementsAndQualitativeEvaluations], provenance: Provenance
) -> pydicom.Dataset:
    report: pydicom.Dataset = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=observer(provenance)),
        procedure_reported=_PROCEDURE,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )[0]
    return report


def _plain_report(provenance: Provenance) -> pydicom.Dataset:
    """The same root without measurements, which TID 1500 as highdicom builds it does not allow."""
    root: pydicom.Dataset = hd.sr.ContainerContentItem(
        name=codes.DCM.ImagingMeasurementReport, is_content_continuous=False
    )
    root.ContentSequence = hd.sr.ContentSequence(observer(provenance), is_root=False)
    return root


def _made_by(provenance: Provenance) -> list[str]:
    models = [f"model {name}: sha256 {digest}" for name, digest in sorted(provenance.model_digests.items())]
    return [f"pipeline {provenance.pipeline} {provenance.software_version}: {provenance.pipeline_digest}", *models]
