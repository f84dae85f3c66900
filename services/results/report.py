"""The report: all twelve findings with probability and threshold, where each was seen, and what else to look at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import highdicom as hd
import pydicom
from pydicom.sr.codedict import codes

from services.common.codes import FINDING_CODES, KNEE_JOINT, LEFT, RIGHT, private
from services.common.finding import LABELS, Finding, Laterality
from services.common.study import Provenance
from services.results.document import report_document, text
from services.results.identity import instance_uid
from services.results.segmentation import coded

THRESHOLD = private("THRESHOLD", "Decision threshold of the probability")
_SEGMENTATION = coded(private("SEGMENTATION", "Segmentation of the study"))
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
    groups = [_group(finding, by_uid, provenance, laterality) for finding in findings]
    items = [_image(codes.DCM.IllustrationOfFinding, each) for each in evidence.overlays]
    items += [_image(_SEGMENTATION, each) for each in evidence.segmentations]
    items.append(text(codes.DCM.Conclusion, conclusion(findings)))
    return report_document(
        [*evidence.images, *evidence.overlays, *evidence.segmentations],
        provenance,
        groups=groups,
        items=items,
        description="Articula report",
    )


def conclusion(findings: Sequence[Finding]) -> str:
    """One sentence fit for dictation."""
    positive = [FINDING_CODES[finding.label].meaning for finding in findings if finding.positive]
    if not positive:
        return "None of the twelve findings is above its threshold."
    return f"Above threshold: {'; '.join(positive)}."


def _group(
    finding: Finding, images: Mapping[str, pydicom.Dataset], provenance: Provenance, laterality: Laterality
) -> hd.sr.MeasurementsAndQualitativeEvaluations:
    image = images[finding.location.sop_instance_uid]
    side = _SIDES.get(laterality)
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=instance_uid(provenance, "finding", LABELS.index(finding.label)), identifier=finding.label
        ),
        finding_type=coded(FINDING_CODES[finding.label]),
        finding_sites=[hd.sr.FindingSite(coded(KNEE_JOINT), laterality=coded(side) if side else None)],
        algorithm_id=hd.sr.AlgorithmIdentification("knee_classification", provenance.software_version),
        measurements=[
            hd.sr.Measurement(codes.DCM.Probability, round(finding.probability, 4), codes.UCUM.NoUnits),
            hd.sr.Measurement(coded(THRESHOLD), round(finding.threshold, 4), codes.UCUM.NoUnits),
        ],
        qualitative_evaluations=[
            hd.sr.QualitativeEvaluation(
                coded(private("STATE", "Finding state")), codes.SCT.Present if finding.positive else codes.SCT.Absent
            )
        ],
        source_images=[hd.sr.SourceImageForMeasurementGroup(image.SOPClassUID, image.SOPInstanceUID)],
    )


def _image(name: object, dataset: pydicom.Dataset) -> hd.sr.ImageContentItem:
    return hd.sr.ImageContentItem(
        name=name,
        referenced_sop_class_uid=dataset.SOPClassUID,
        referenced_sop_instance_uid=dataset.SOPInstanceUID,
        relationship_type=hd.sr.RelationshipTypeValues.CONTAINS,
    )
