"""The report: all twelve findings with probability, category and slices, the measurements, what was read, a conclusion.

One Comprehensive 3D SR after TID 1500: image library (1600), a measurement group a finding (1501), one a measured
structure (1411).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pydicom

from services.common.codes import (
    ABSENT,
    EQUIVOCAL,
    FINDING,
    FINDING_CODES,
    ILLUSTRATION_OF_FINDING,
    IMAGING_MEASUREMENTS,
    MEASUREMENT_GROUP,
    PRESENT,
    PROBABILITY,
    PROCEDURE_REPORTED,
    SOURCE_OF_MEASUREMENT,
    TRACKING_IDENTIFIER,
    TRACKING_UNIQUE_IDENTIFIER,
    private,
)
from services.common.finding import LABELS, Category, Finding, Laterality
from services.common.frame import Frame
from services.common.measurement import Measurement
from services.common.study import Provenance
from services.common.volume import Plane
from services.results.conclusion import conclusion
from services.results.content import Relation, code, container, image_reference, number, reference, text, uid_reference
from services.results.document import PROCEDURE, algorithm, report_document
from services.results.identity import instance_uid
from services.results.library import image_library
from services.results.measured import knee_site, measurement_groups
from services.results.segmentation import Segmentation

SEGMENTATION = private("SEGMENTATION", "Segmentation of the study")
STATE = private("STATE", "Finding state")
THRESHOLD = private("THRESHOLD", "Decision threshold of the probability")
CATEGORY = private("CATEGORY", "Category of the probability against its threshold")
MOST_IMPORTANT_SLICES = private("SLICES", "Most important slices")
CATEGORY_CODES = {
    Category.UNLIKELY: private("UNLIKELY", "Unlikely"),
    Category.EQUIVOCAL: EQUIVOCAL,
    Category.LIKELY: private("LIKELY", "Likely"),
}
_MODEL = "knee_classification"
_REPORT_TEMPLATE, _GROUP_TEMPLATE = "1500", "1501"


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the report rests on.

    ``sources`` are the frames that were read, in slice order; ``overlays`` the saliency objects of a finding's label;
    ``slices`` the indices of its most important slices, on the plane of its location, the deciding one first.
    """

    sources: Mapping[Plane, Sequence[Frame]]
    segmentations: Mapping[Plane, Segmentation] = field(default_factory=dict)
    overlays: Mapping[str, Sequence[pydicom.Dataset]] = field(default_factory=dict)
    slices: Mapping[str, Sequence[int]] = field(default_factory=dict)
    measurements: Sequence[Measurement] = ()

    def images(self, finding: Finding) -> list[tuple[int, Frame]]:
        """The most important slices of a finding with their index."""
        indices = self.slices.get(finding.label) or [finding.location.slice_index]
        return [(index, self.sources[finding.location.plane][index]) for index in indices]


def report_object(
    findings: Sequence[Finding], evidence: Evidence, *, laterality: Laterality, provenance: Provenance
) -> pydicom.Dataset:
    """SR of one study: image library, findings, measurements, links to segmentations, conclusion."""
    site = knee_site(laterality)
    groups = [_group(finding, evidence, site=site, provenance=provenance) for finding in findings]
    groups += measurement_groups(
        evidence.measurements, evidence.segmentations, sources=evidence.sources, laterality=laterality, made=provenance
    )
    segmentations = [each.dataset for each in evidence.segmentations.values()]
    items = [
        code(PROCEDURE_REPORTED, PROCEDURE, Relation.MODIFIES),
        image_library(list(evidence.sources.values())),
        container(IMAGING_MEASUREMENTS, groups),
        *[reference(SEGMENTATION, each) for each in segmentations],
        *conclusion(findings, evidence.measurements, laterality),
    ]
    overlays = [each for label in evidence.overlays.values() for each in label]
    instances = {frame.sop_instance_uid: frame.instance for each in evidence.sources.values() for frame in each}
    return report_document(
        [*instances.values(), *overlays, *segmentations],
        items,
        template=_REPORT_TEMPLATE,
        provenance=provenance,
        description="Articula report",
    )


def _group(finding: Finding, evidence: Evidence, *, site: bytes, provenance: Provenance) -> bytes:
    tracking_uid = instance_uid(provenance, "finding", LABELS.index(finding.label))
    images = evidence.images(finding)
    items = [
        text(TRACKING_IDENTIFIER, finding.label, Relation.CONTEXT),
        uid_reference(TRACKING_UNIQUE_IDENTIFIER, tracking_uid, Relation.CONTEXT),
        code(FINDING, FINDING_CODES[finding.label]),
        site,
        *algorithm(_MODEL, provenance),
        number(PROBABILITY, finding.probability),
        number(THRESHOLD, finding.threshold),
        code(STATE, PRESENT if finding.positive else ABSENT),
        code(CATEGORY, CATEGORY_CODES[finding.category]),
        *[image_reference(SOURCE_OF_MEASUREMENT, frame) for _, frame in images],
        *[reference(ILLUSTRATION_OF_FINDING, each) for each in evidence.overlays.get(finding.label, ())],
        text(MOST_IMPORTANT_SLICES, _slices(finding, [index for index, _ in images], evidence)),
    ]
    return container(MEASUREMENT_GROUP, items, template=_GROUP_TEMPLATE)


def _slices(finding: Finding, indices: Sequence[int], evidence: Evidence) -> str:
    plane = finding.location.plane
    counted = ", ".join(str(index + 1) for index in indices)
    return f"{plane} slice {counted} of {len(evidence.sources[plane])}, the most important first"
