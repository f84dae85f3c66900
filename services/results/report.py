"""The report: all twelve findings with probability and threshold, where each was seen, and what else to look at."""

from collections.abc import Sequence
from dataclasses import dataclass

import pydicom

from services.common.codes import (
    ABSENT,
    ALGORITHM_NAME,
    ALGORITHM_VERSION,
    CONCLUSION,
    FINDING,
    FINDING_CODES,
    FINDING_SITE,
    ILLUSTRATION_OF_FINDING,
    IMAGING_MEASUREMENTS,
    KNEE_JOINT,
    LATERALITY,
    LEFT,
    MEASUREMENT_GROUP,
    PRESENT,
    PROBABILITY,
    PROCEDURE_REPORTED,
    RIGHT,
    SOURCE_OF_MEASUREMENT,
    TRACKING_IDENTIFIER,
    TRACKING_UNIQUE_IDENTIFIER,
    private,
)
from services.common.finding import LABELS, Finding, Laterality
from services.common.study import Provenance
from services.results.content import Relation, code, container, number, reference, text, uid_reference
from services.results.document import report_document
from services.results.identity import instance_uid

PROCEDURE = private("KNEE-MR-AI", "Automated reading of knee MR")
SEGMENTATION = private("SEGMENTATION", "Segmentation of the study")
STATE = private("STATE", "Finding state")
THRESHOLD = private("THRESHOLD", "Decision threshold of the probability")
_MODEL = "knee_classification"
_REPORT_TEMPLATE, _GROUP_TEMPLATE = "1500", "1501"
_SIDES = {Laterality.RIGHT: RIGHT, Laterality.LEFT: LEFT}


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the report points at: the source images that decided a finding, saliency and segmentation objects."""

    images: Sequence[pydicom.Dataset]
    overlays: Sequence[pydicom.Dataset]
    segmentations: Sequence[pydicom.Dataset]


def report_object(
    findings: Sequence[Finding],
    evidence: Evidence,
    *,
    laterality: Laterality,
    provenance: Provenance,
) -> pydicom.Dataset:
    """SR of one study: twelve groups of TID 1501, references to overlays and segmentations, a conclusion."""
    by_uid = {str(image.SOPInstanceUID): image for image in evidence.images}
    site = _site(laterality)
    groups = [
        _group(finding, by_uid[finding.location.sop_instance_uid], site=site, provenance=provenance)
        for finding in findings
    ]
    items = [
        code(PROCEDURE_REPORTED, PROCEDURE, Relation.MODIFIES),
        container(IMAGING_MEASUREMENTS, groups),
        *[reference(ILLUSTRATION_OF_FINDING, each) for each in evidence.overlays],
        *[reference(SEGMENTATION, each) for each in evidence.segmentations],
        text(CONCLUSION, conclusion(findings)),
    ]
    return report_document(
        [*evidence.images, *evidence.overlays, *evidence.segmentations],
        items,
        template=_REPORT_TEMPLATE,
        provenance=provenance,
        description="Articula report",
    )


def conclusion(findings: Sequence[Finding]) -> str:
    """One sentence fit for dictation."""
    positive = [FINDING_CODES[finding.label].meaning for finding in findings if finding.positive]
    if not positive:
        return "None of the twelve findings is above its threshold."
    return f"Above threshold: {'; '.join(positive)}."


def _site(laterality: Laterality) -> bytes:
    side = _SIDES.get(laterality)
    modifier = [code(LATERALITY, side, Relation.MODIFIES)] if side else []
    return code(FINDING_SITE, KNEE_JOINT, Relation.MODIFIES, children=modifier)


def _group(finding: Finding, image: pydicom.Dataset, *, site: bytes, provenance: Provenance) -> bytes:
    tracking_uid = instance_uid(provenance, "finding", LABELS.index(finding.label))
    items = [
        text(TRACKING_IDENTIFIER, finding.label, Relation.CONTEXT),
        uid_reference(TRACKING_UNIQUE_IDENTIFIER, tracking_uid, Relation.CONTEXT),
        code(FINDING, FINDING_CODES[finding.label]),
        site,
        text(ALGORITHM_NAME, _MODEL, Relation.MODIFIES),
        text(ALGORITHM_VERSION, provenance.software_version, Relation.MODIFIES),
        number(PROBABILITY, finding.probability),
        number(THRESHOLD, finding.threshold),
        code(STATE, PRESENT if finding.positive else ABSENT),
        reference(SOURCE_OF_MEASUREMENT, image),
    ]
    return container(MEASUREMENT_GROUP, items, template=_GROUP_TEMPLATE)
