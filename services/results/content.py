"""Content items of structured reports (PS3.3 C.17.3), encoded at once; highdicom reads them back in the tests."""

from collections.abc import Sequence
from enum import StrEnum

import pydicom

from services.common.codes import NO_UNITS, Code
from services.results.encoding import Value, coded, item


class Relation(StrEnum):
    """How an item belongs to its parent."""

    CONTAINS = "CONTAINS"
    MODIFIES = "HAS CONCEPT MOD"
    CONTEXT = "HAS OBS CONTEXT"


def container(name: Code, children: Sequence[bytes], *, template: str | None = None) -> bytes:
    """A heading with items under it; ``template`` is its number in PS3.16."""
    extra: dict[str, Value] = {"ContentTemplateSequence": [template_item(template)]} if template else {}
    body: dict[str, Value] = {"ContinuityOfContent": "CONTINUOUS", "ContentSequence": children, **extra}
    return _content("CONTAINER", name, Relation.CONTAINS, body)


def text(name: Code, value: str, relation: Relation = Relation.CONTAINS) -> bytes:
    """A sentence; characters beyond ASCII become question marks."""
    return _content("TEXT", name, relation, {"TextValue": value})


def code(name: Code, value: Code, relation: Relation = Relation.CONTAINS, *, children: Sequence[bytes] = ()) -> bytes:
    """A coded answer, with items that modify it."""
    extra: dict[str, Value] = {"ContentSequence": children} if children else {}
    return _content("CODE", name, relation, {"ConceptCodeSequence": [coded(value)], **extra})


def number(name: Code, value: float) -> bytes:
    """A number without unit, to four decimals."""
    rounded = round(float(value), 4)
    measured = item(
        MeasurementUnitsCodeSequence=[coded(NO_UNITS)], NumericValue=str(rounded), FloatingPointValue=rounded
    )
    return _content("NUM", name, Relation.CONTAINS, {"MeasuredValueSequence": [measured]})


def uid_reference(name: Code, value: str, relation: Relation = Relation.CONTAINS) -> bytes:
    """A UID."""
    return _content("UIDREF", name, relation, {"UID": value})


def reference(name: Code, dataset: pydicom.Dataset) -> bytes:
    """Another object of the study: an image, or whatever else it is."""
    value_type = "IMAGE" if "Rows" in dataset else "COMPOSITE"
    return _content(value_type, name, Relation.CONTAINS, {"ReferencedSOPSequence": [instance_item(dataset)]})


def instance_item(dataset: pydicom.Dataset) -> bytes:
    """Class and instance UID of an object."""
    return item(ReferencedSOPClassUID=dataset.SOPClassUID, ReferencedSOPInstanceUID=dataset.SOPInstanceUID)


def template_item(number_in_ps3_16: str) -> bytes:
    """Which template of PS3.16 a container follows."""
    return item(MappingResource="DCMR", TemplateIdentifier=number_in_ps3_16)


def _content(value_type: str, name: Code, relation: Relation, body: dict[str, Value]) -> bytes:
    return item(RelationshipType=relation, ValueType=value_type, ConceptNameCodeSequence=[coded(name)], **body)
