"""Measurements in the report: one group (TID 1411) a structure and series, tied to its segment.

Each value carries its uncertainty and, where one is published, the range that other knees show, with its source
(TID 310).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from services.common.codes import (
    ABNORMAL,
    CUBIC_CENTIMETER,
    DERIVATION,
    FINDING,
    FINDING_SITE,
    KNEE_JOINT,
    LATERALITY,
    LEFT,
    LOWER_UNCERTAINTY,
    MEAN,
    MEASUREMENT_GROUP,
    MEASUREMENT_METHOD,
    MILLIMETER,
    NORMAL,
    NORMAL_RANGE_AUTHORITY,
    NORMAL_RANGE_DESCRIPTION,
    NORMAL_RANGE_LOWER_LIMIT,
    NORMAL_RANGE_UPPER_LIMIT,
    NORMALITY,
    NORMALITY_UNDETERMINED,
    REFERENCED_SEGMENT,
    RIGHT,
    SOURCE_OF_MEASUREMENT,
    SOURCE_SERIES_FOR_SEGMENTATION,
    STRUCTURE_CODES,
    SUM_OF_VOXELS,
    TOPOGRAPHICAL_MODIFIER,
    TRACKING_IDENTIFIER,
    TRACKING_UNIQUE_IDENTIFIER,
    UPPER_UNCERTAINTY,
    VOLUME,
    Code,
    private,
)
from services.common.finding import Laterality, Structure
from services.common.frame import Frame
from services.common.measurement import Measurement, Normality, Quantity
from services.common.study import Provenance
from services.common.volume import Plane
from services.results.content import (
    Relation,
    code,
    container,
    image_reference,
    number,
    segment_reference,
    text,
    uid_reference,
)
from services.results.document import algorithm
from services.results.segmentation import Segmentation, structure_uid

THICKNESS = private("THICKNESS", "Thickness over the covered bone")
EXTRUSION = private("EXTRUSION", "Extrusion beyond the edge of the tibia")
NORMALITY_CODES = {
    Normality.NORMAL: NORMAL,
    Normality.UNDETERMINED: NORMALITY_UNDETERMINED,
    Normality.ABNORMAL: ABNORMAL,
}
_MODEL = "knee_segmentation"
_TEMPLATE = "1411"
_SIDES = {Laterality.RIGHT: RIGHT, Laterality.LEFT: LEFT}
_NAMES = {
    Quantity.VOLUME: (VOLUME, CUBIC_CENTIMETER, code(MEASUREMENT_METHOD, SUM_OF_VOXELS, Relation.MODIFIES)),
    Quantity.THICKNESS: (THICKNESS, MILLIMETER, code(DERIVATION, MEAN, Relation.MODIFIES)),
    Quantity.EXTRUSION: (EXTRUSION, MILLIMETER, b""),
}


def knee_site(laterality: Laterality, place: Code = KNEE_JOINT, part: Code | None = None) -> bytes:
    """Where something was found: a place of the knee with its side, and which part of it."""
    side = _SIDES.get(laterality)
    modifiers = [code(LATERALITY, side, Relation.MODIFIES)] if side else []
    modifiers += [code(TOPOGRAPHICAL_MODIFIER, part, Relation.MODIFIES)] if part else []
    return code(FINDING_SITE, place, Relation.MODIFIES, children=modifiers)


def measurement_groups(
    measurements: Sequence[Measurement],
    segmentations: Mapping[Plane, Segmentation],
    *,
    sources: Mapping[Plane, Sequence[Frame]],
    laterality: Laterality,
    made: Provenance,
) -> list[bytes]:
    """The groups in the order of their first measurement."""
    by_segment: dict[tuple[Structure, Plane], list[Measurement]] = defaultdict(list)
    for each in measurements:
        by_segment[each.structure, each.plane].append(each)
    groups = []
    for (structure, plane), values in by_segment.items():
        where = STRUCTURE_CODES[structure]
        items = [
            text(TRACKING_IDENTIFIER, where.label, Relation.CONTEXT),
            uid_reference(TRACKING_UNIQUE_IDENTIFIER, structure_uid(structure, made), Relation.CONTEXT),
            code(FINDING, where.type),
            knee_site(laterality, where.region or KNEE_JOINT, where.modifier),
            *algorithm(_MODEL, made),
            *[_measurement(each, sources[plane][each.slice_index]) for each in values],
            *_segment(structure, segmentations[plane], sources[plane][0]),
        ]
        groups.append(container(MEASUREMENT_GROUP, items, template=_TEMPLATE))
    return groups


def _segment(structure: Structure, segmentation: Segmentation, source: Frame) -> list[bytes]:
    return [
        segment_reference(REFERENCED_SEGMENT, segmentation.dataset, segmentation.numbers[structure]),
        uid_reference(SOURCE_SERIES_FOR_SEGMENTATION, source.series_instance_uid),
    ]


def _measurement(measurement: Measurement, frame: Frame) -> bytes:
    name, unit, how = _NAMES[measurement.quantity]
    children = [*([how] if how else []), *_properties(measurement, unit)]
    children.append(image_reference(SOURCE_OF_MEASUREMENT, frame, Relation.INFERRED))
    return number(name, measurement.value, unit, children=children)


def _properties(measurement: Measurement, unit: Code) -> Iterator[bytes]:
    of = Relation.PROPERTY
    reference, normality = measurement.reference, measurement.normality
    if reference is not None and normality is not None:
        yield code(NORMALITY, NORMALITY_CODES[normality], of)
        yield number(NORMAL_RANGE_UPPER_LIMIT, reference.high, unit, relation=of)
        if reference.low is not None:
            yield number(NORMAL_RANGE_LOWER_LIMIT, reference.low, unit, relation=of)
        yield text(NORMAL_RANGE_DESCRIPTION, reference.description, of)
        yield text(NORMAL_RANGE_AUTHORITY, reference.source, of)
    yield number(UPPER_UNCERTAINTY, measurement.uncertainty, unit, relation=of)
    yield number(LOWER_UNCERTAINTY, measurement.uncertainty, unit, relation=of)
