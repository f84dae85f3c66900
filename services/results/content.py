"""Content items of structured reports (PS3.3 C.17.3), encoded at once; highdicom reads them back in the tests."""

from collections import defaultdict
from collections.abc import Sequence
from enum import StrEnum

import pydicom

from services.common.codes import NO_UNITS, Code
from services.common.frame import Frame
from services.results.encoding import Value, coded, item


class Relation(StrEnum):
    """How an item belongs to its parent."""

    CONTAINS = "CONTAINS"
    MODIFIES = "HAS CONCEPT MOD"
    CONTEXT = "HAS OBS CONTEXT"
    ACQUISITION = "HAS ACQ CONTEXT"
    PROPERTY = "HAS PROPERTIES"
    INFERRED = "INFERRED FROM"


def container(name: Code, children: Sequence[bytes], *, template: str | None = None) -> bytes:
    """A heading with items under it; ``template`` is its number in PS3.16."""
    extra: dict[str, Value] = {"ContentTemplateSequence": [template_item(template)]} if template else {}
    body: dict[str, Value] = {"ContinuityOfContent": "CONTINUOUS", "ContentSequence": children, **extra}
    return _content("CONTAINER", name, Relation.CONTAINS, body)


def text(name: Code, value: str | bytes, relation: Relation = Relation.CONTAINS) -> bytes:
    """A sentence; of a ``str``, characters beyond ASCII become question marks."""
    return _content("TEXT", name, relation, {"TextValue": value})


def code(name: Code, value: Code, relation: Relation = Relation.CONTAINS, *, children: Sequence[bytes] = ()) -> bytes:
    """A coded answer, with items that modify it."""
    extra: dict[str, Value] = {"ContentSequence": children} if children else {}
    return _content("CODE", name, relation, {"ConceptCodeSequence": [coded(value)], **extra})


def number(
    name: Code,
    value: float,
    unit: Code = NO_UNITS,
    *,
    relation: Relation = Relation.CONTAINS,
    children: Sequence[bytes] = (),
) -> bytes:
    """A number to four decimals, with items that modify it."""
    rounded = round(float(value), 4)
    measured = item(MeasurementUnitsCodeSequence=[coded(unit)], NumericValue=str(rounded), FloatingPointValue=rounded)
    extra: dict[str, Value] = {"ContentSequence": children} if children else {}
    return _content("NUM", name, relation, {"MeasuredValueSequence": [measured], **extra})


def uid_reference(name: Code, value: str, relation: Relation = Relation.CONTAINS) -> bytes:
    """A UID."""
    return _content("UIDREF", name, relation, {"UID": value})


def person(name: Code, value: str | bytes, relation: Relation = Relation.CONTAINS) -> bytes:
    """A person's name as DICOM writes it, family name first."""
    return _content("PNAME", name, relation, {"PersonName": value})


def date_time(name: Code, value: str, relation: Relation = Relation.CONTAINS) -> bytes:
    """A point in time, ``YYYYMMDDHHMMSS`` with an offset from UTC."""
    return _content("DATETIME", name, relation, {"DateTime": value})


def reference(name: Code, dataset: pydicom.Dataset) -> bytes:
    """Another object of the study: an image, or whatever else it is."""
    value_type = "IMAGE" if "Rows" in dataset else "COMPOSITE"
    return _content(value_type, name, Relation.CONTAINS, {"ReferencedSOPSequence": [instance_item(dataset)]})


def segment_reference(name: Code, dataset: pydicom.Dataset, segment: int) -> bytes:
    """One segment of a segmentation."""
    return _content("IMAGE", name, Relation.CONTAINS, {"ReferencedSOPSequence": [instance_item(dataset, segment)]})


def image_reference(name: Code, frame: Frame, relation: Relation = Relation.CONTAINS) -> bytes:
    """One slice of a source series."""
    return _content("IMAGE", name, relation, {"ReferencedSOPSequence": image_items([frame])})


def instance_item(dataset: pydicom.Dataset, segment: int | None = None) -> bytes:
    """Class and instance UID of an object, and which segment of it is meant."""
    extra: dict[str, Value] = {} if segment is None else {"ReferencedSegmentNumber": [segment]}
    return item(ReferencedSOPClassUID=dataset.SOPClassUID, ReferencedSOPInstanceUID=dataset.SOPInstanceUID, **extra)


def image_items(frames: Sequence[Frame], **attributes: Value) -> list[bytes]:
    """References to source slices, one item an instance; a multi-frame instance names its frames in their order."""
    by_instance: dict[tuple[str, str], list[str]] = defaultdict(list)
    for frame in frames:
        numbers = by_instance[frame.sop_class_uid, frame.sop_instance_uid]
        if frame.frame_number is not None:
            numbers.append(str(frame.frame_number))
    return [
        item(
            ReferencedSOPClassUID=sop_class,
            ReferencedSOPInstanceUID=uid,
            **({"ReferencedFrameNumber": "\\".join(numbers)} if numbers else {}),
            **attributes,
        )
        for (sop_class, uid), numbers in by_instance.items()
    ]


def template_item(number_in_ps3_16: str) -> bytes:
    """Which template of PS3.16 a container follows."""
    return item(MappingResource="DCMR", TemplateIdentifier=number_in_ps3_16)


def _content(value_type: str, name: Code, relation: Relation, body: dict[str, Value]) -> bytes:
    return item(RelationshipType=relation, ValueType=value_type, ConceptNameCodeSequence=[coded(name)], **body)
