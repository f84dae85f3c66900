"""The frame of every document: one root container, this device as its observer, the evidence it rests on."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import pydicom
from pydicom.uid import Comprehensive3DSRStorage

from services.common.codes import (
    ALGORITHM_MANUFACTURER,
    ALGORITHM_NAME,
    ALGORITHM_PARAMETERS,
    ALGORITHM_VERSION,
    COMMENT,
    DEVICE,
    DEVICE_OBSERVER_MANUFACTURER,
    DEVICE_OBSERVER_MODEL_NAME,
    DEVICE_OBSERVER_NAME,
    DEVICE_OBSERVER_SERIAL_NUMBER,
    DEVICE_OBSERVER_UID,
    ENGLISH,
    IMAGING_MEASUREMENT_REPORT,
    LANGUAGE,
    OBSERVER_TYPE,
    Code,
    private,
)
from services.common.study import Provenance
from services.results.content import Relation, code, instance_item, template_item, text, uid_reference
from services.results.encoding import coded, item, put
from services.results.identity import (
    DEVICE_SERIAL_NUMBER,
    MANUFACTURER,
    MODEL_NAME,
    RESEARCH_ONLY,
    instance_uid,
    new_object,
    sign,
)

PROCEDURE = private("KNEE-MR-AI", "Automated reading of knee MR")
_REPORT_SERIES_NUMBER = 9000


@dataclass(frozen=True)
class Root:
    """The root container: its title, the template of PS3.16 that it follows (or none), and what is in it."""

    title: Code
    template: str | None
    items: Sequence[bytes]


def report_document(
    evidence: Sequence[pydicom.Dataset],
    items: Sequence[bytes],
    *,
    template: str | None,
    provenance: Provenance,
    description: str,
) -> pydicom.Dataset:
    """Comprehensive 3D SR: language, observer, ``items``, then notes and origin; the first evidence is a source."""
    dataset = new_object(Comprehensive3DSRStorage, "report", provenance=provenance)
    dataset.Modality, dataset.SeriesNumber = "SR", _REPORT_SERIES_NUMBER
    dataset.PerformedProcedureCodeSequence = []
    # an unverified report of software stays preliminary until a person reads it
    dataset.CompletionFlag, dataset.VerificationFlag, dataset.PreliminaryFlag = "COMPLETE", "UNVERIFIED", "PRELIMINARY"
    notes = [text(COMMENT, note) for note in (*provenance.notes, *_made_by(provenance), RESEARCH_ONLY)]
    content = [code(LANGUAGE, ENGLISH, Relation.MODIFIES), *observer(provenance), *items, *notes]
    set_content(dataset, Root(IMAGING_MEASUREMENT_REPORT, template, content), evidence)
    return sign(dataset, evidence[0], kind="Report", description=description)


def set_content(dataset: pydicom.Dataset, root: Root, evidence: Sequence[pydicom.Dataset]) -> None:
    """Give a document its root container and the list of all objects it refers to; in place."""
    dataset.ReferencedPerformedProcedureStepSequence = []
    dataset.ValueType, dataset.ContinuityOfContent = "CONTAINER", "CONTINUOUS"
    sequences = {
        "ConceptNameCodeSequence": [coded(root.title)],
        "CurrentRequestedProcedureEvidenceSequence": _evidence_items(evidence),
        "ContentSequence": root.items,
    }
    if root.template:
        sequences["ContentTemplateSequence"] = [template_item(root.template)]
    put(dataset, **sequences)


def observer(provenance: Provenance) -> list[bytes]:
    """This software as the observing device (TID 1002)."""
    name = f"{MODEL_NAME} {provenance.software_version}"
    return [
        code(OBSERVER_TYPE, DEVICE, Relation.CONTEXT),
        uid_reference(DEVICE_OBSERVER_UID, instance_uid(provenance, "device"), Relation.CONTEXT),
        text(DEVICE_OBSERVER_NAME, name, Relation.CONTEXT),
        text(DEVICE_OBSERVER_MANUFACTURER, MANUFACTURER, Relation.CONTEXT),
        text(DEVICE_OBSERVER_MODEL_NAME, MODEL_NAME, Relation.CONTEXT),
        text(DEVICE_OBSERVER_SERIAL_NUMBER, DEVICE_SERIAL_NUMBER, Relation.CONTEXT),
    ]


def algorithm(model: str, provenance: Provenance) -> list[bytes]:
    """Which network answered (TID 4019): name, version, manufacturer, and the digest of its weights."""
    return [
        text(ALGORITHM_NAME, model, Relation.MODIFIES),
        text(ALGORITHM_VERSION, provenance.software_version, Relation.MODIFIES),
        text(ALGORITHM_MANUFACTURER, MANUFACTURER, Relation.MODIFIES),
        text(ALGORITHM_PARAMETERS, f"onnx_sha256={provenance.model_digests[model]}", Relation.MODIFIES),
    ]


def _made_by(provenance: Provenance) -> list[str]:
    models = [f"model {name}: sha256 {digest}" for name, digest in sorted(provenance.model_digests.items())]
    voxels = [f"preprocessing: {provenance.preprocessing}"] if provenance.preprocessing else []
    pipeline = f"pipeline {provenance.pipeline} {provenance.software_version}: {provenance.pipeline_digest}"
    return [pipeline, f"input digest: {provenance.input_digest}", *voxels, *models]


def _evidence_items(evidence: Sequence[pydicom.Dataset]) -> list[bytes]:
    """Objects by series, in the order in which they are given; all are of one study."""
    by_series: dict[str, list[bytes]] = defaultdict(list)
    for dataset in evidence:
        by_series[str(dataset.SeriesInstanceUID)].append(instance_item(dataset))
    series = [item(ReferencedSOPSequence=objects, SeriesInstanceUID=uid) for uid, objects in by_series.items()]
    return [item(StudyInstanceUID=str(evidence[0].StudyInstanceUID), ReferencedSeriesSequence=series)]
