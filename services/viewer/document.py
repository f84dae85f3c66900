"""Reading a structured report as Orthanc gives it: JSON with DICOM keywords (``/instances/{id}/tags?simplify``).

Orthanc parses the DICOM, so nothing here touches a byte of it. The reader is tolerant: an item without what it should
have is passed over, one that is not known does no harm, and a report of an older version shows what it holds.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

Tags = Mapping[str, Any]

COMMENT, CONCLUSION = "121106", "121077"
_FINDING, _TRACKING = "121071", "112039"
_PROBABILITY, _THRESHOLD, _STATE, _CATEGORY = "122157", "THRESHOLD", "STATE", "CATEGORY"
_PRESENT = "52101004"


@dataclass(frozen=True)
class ImageReference:
    """One frame of a source image; ``frame`` counts from 1, as DICOM does."""

    sop_instance_uid: str
    frame: int = 1


@dataclass(frozen=True)
class Item:
    """A content item and what is under it."""

    tags: Tags

    @property
    def name(self) -> str:
        """Code value of the concept name."""
        return _code(self.tags, "ConceptNameCodeSequence").get("CodeValue", "")

    @property
    def meaning(self) -> str:
        """Words of the concept name."""
        return _code(self.tags, "ConceptNameCodeSequence").get("CodeMeaning", "")

    @property
    def kind(self) -> str:
        """Value type: TEXT, NUM, CODE, IMAGE, CONTAINER and so on."""
        return str(self.tags.get("ValueType", ""))

    @property
    def text(self) -> str:
        """Text, or the meaning of a code."""
        return str(self.tags.get("TextValue") or _code(self.tags, "ConceptCodeSequence").get("CodeMeaning", ""))

    @property
    def code(self) -> str:
        """Code value of a coded answer."""
        return _code(self.tags, "ConceptCodeSequence").get("CodeValue", "")

    @property
    def number(self) -> float | None:
        """A measured number, None where there is none."""
        return _float(_code(self.tags, "MeasuredValueSequence").get("NumericValue"))

    @property
    def unit(self) -> str:
        """UCUM code of the number's unit, '' where it has none."""
        unit = _code(_code(self.tags, "MeasuredValueSequence"), "MeasurementUnitsCodeSequence").get("CodeValue", "")
        return "" if unit == "1" else unit

    @cached_property
    def children(self) -> "list[Item]":
        """The items directly under this one."""
        return [Item(each) for each in _sequence(self.tags, "ContentSequence")]

    def first(self, name: str) -> "Item | None":
        """The first child with this concept name."""
        return next((each for each in self.children if each.name == name), None)

    def images(self) -> list[ImageReference]:
        """The images that children of this item refer to."""
        return [each for child in self.children if child.kind == "IMAGE" for each in references(child.tags)]

    def walk(self) -> "Iterator[Item]":
        """This item and everything below it, depth first."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True)
class ReportedFinding:
    """One group of the report about a finding; ``images`` begins with the deciding one."""

    label: str
    meaning: str
    probability: float
    threshold: float
    positive: bool
    category: str
    images: list[ImageReference]
    links: list[str]  # SOP Instance UIDs of everything the group refers to


@dataclass(frozen=True)
class ReportedMeasurement:
    """One number with what the report says about it; limits in the unit of the value."""

    structure: str
    name: str
    value: float
    unit: str
    uncertainty: float | None = None
    low: float | None = None
    high: float | None = None
    range_text: str = ""
    source: str = ""
    images: list[ImageReference] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """What a report holds, in its order."""

    findings: list[ReportedFinding]
    measurements: list[ReportedMeasurement]
    conclusion: str
    notes: list[str]
    software_version: str


def read_report(tags: Tags) -> Report:
    """Read a report of findings or of a missing result; never raises on content that is merely strange."""
    root = Item(tags)
    groups = [each for each in root.walk() if each.kind == "CONTAINER" and each.first(_TRACKING)]
    findings = [found for found in map(_finding, groups) if found]
    measurements = [one for group in groups if not group.first(_PROBABILITY) for one in _measurements(group)]
    conclusion = root.first(CONCLUSION)
    return Report(
        findings,
        measurements,
        conclusion.text if conclusion else "",
        [each.text for each in root.children if each.name == COMMENT and each.text],
        str(tags.get("SoftwareVersions") or ""),
    )


def references(tags: Tags, keyword: str = "ReferencedSOPSequence") -> list[ImageReference]:
    """The frames that a sequence of references names; one without frame numbers means the first."""
    found = []
    for each in _sequence(tags, keyword):
        uid, frames = str(each.get("ReferencedSOPInstanceUID") or ""), str(each.get("ReferencedFrameNumber") or "1")
        numbers = [int(number) for number in frames.split("\\") if number.strip().isdigit()] or [1]
        found += [ImageReference(uid, number) for number in numbers if uid]
    return found


def _finding(group: Item) -> ReportedFinding | None:
    probability, named = group.first(_PROBABILITY), group.first(_FINDING)
    label = group.first(_TRACKING)
    if probability is None or probability.number is None or named is None or label is None:
        return None
    threshold, state, category = (group.first(name) for name in (_THRESHOLD, _STATE, _CATEGORY))
    limit = threshold.number if threshold and threshold.number is not None else 0.5
    return ReportedFinding(
        label.text,
        named.text or label.text,
        probability.number,
        limit,
        state.code == _PRESENT if state else probability.number >= limit,
        category.text.lower() if category else "",
        group.images(),
        [each.sop_instance_uid for child in group.children for each in references(child.tags)],
    )


def _measurements(group: Item) -> Iterator[ReportedMeasurement]:
    label = group.first(_TRACKING)
    for item in group.children:
        if item.kind != "NUM" or item.number is None:
            continue
        yield ReportedMeasurement(
            label.text if label else "", item.meaning, item.number, item.unit, images=item.images(), **_limits(item)
        )


def _limits(item: Item) -> dict[str, Any]:
    """Range, its source and the uncertainty, found by the words of their concept names."""
    found: dict[str, Any] = {}
    for child in item.children:
        words = child.meaning.lower()
        if child.kind == "NUM" and "uncertainty" in words:
            found["uncertainty"] = child.number
        elif child.kind == "NUM" and "lower limit" in words:
            found["low"] = child.number
        elif child.kind == "NUM" and "upper limit" in words:
            found["high"] = child.number
        elif child.kind == "TEXT" and "range" in words:
            found["source" if "authority" in words else "range_text"] = child.text
    return found


def _sequence(tags: Tags, keyword: str) -> list[Tags]:
    value = tags.get(keyword)
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _code(tags: Tags, keyword: str) -> Tags:
    return next(iter(_sequence(tags, keyword)), {})


def _float(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None
