"""Reading a report: everything that is there, nothing that is not, and no error for what is strange."""

import pytest

from services.viewer.document import ImageReference, Item, read_report, references


def code(value, meaning=""):
    return [{"CodeValue": value, "CodingSchemeDesignator": "DCM", "CodeMeaning": meaning}]


def text(name, value):
    return {"ValueType": "TEXT", "ConceptNameCodeSequence": code(name), "TextValue": value}


def number(name, value, meaning="", unit="1", children=()):
    measured = [{"NumericValue": str(value), "MeasurementUnitsCodeSequence": code(unit)}]
    return {
        "ValueType": "NUM",
        "ConceptNameCodeSequence": code(name, meaning),
        "MeasuredValueSequence": measured,
        "ContentSequence": list(children),
    }


def image(uid, **more):
    return {
        "ValueType": "IMAGE",
        "ConceptNameCodeSequence": code("121112"),
        "ReferencedSOPSequence": [{"ReferencedSOPInstanceUID": uid, **more}],
    }


def group(*children):
    return {"ValueType": "CONTAINER", "ConceptNameCodeSequence": code("125007"), "ContentSequence": list(children)}


FINDING = {"ValueType": "CODE", "ConceptNameCodeSequence": code("121071"), "ConceptCodeSequence": code("F01", "Tear")}


def report(*children):
    return {"ContentSequence": list(children), "SoftwareVersions": "1.2.3"}


def test_a_finding_has_its_number_threshold_words_and_images():
    """A group with a probability is a finding; without a state the threshold decides."""
    found = read_report(
        report(
            group(
                text("112039", "ACL"),
                FINDING,
                number("122157", 0.8),
                number("THRESHOLD", 0.3),
                image("1.2", ReferencedFrameNumber="3\\5"),
            )
        )
    ).findings
    (finding,) = found
    assert (finding.label, finding.meaning, finding.probability, finding.threshold) == ("ACL", "Tear", 0.8, 0.3)
    assert finding.positive
    assert finding.images == [ImageReference("1.2", 3), ImageReference("1.2", 5)]


def test_a_measurement_has_unit_range_source_and_uncertainty():
    """What hangs below a number is found by the words of its name."""
    below = [
        number("a", 3.0, "Normal Range Upper Limit"),
        number("b", 1.0, "Normal Range Lower Limit"),
        number("c", 0.2, "+, range of upper measurement uncertainty"),
        {**text("d", "A book"), "ConceptNameCodeSequence": code("d", "Normal Range Authority")},
        image("1.9"),
    ]
    (measured,) = read_report(
        report(group(text("112039", "Meniscus"), number("x", 2.5, "Extrusion", "mm", below)))
    ).measurements
    assert (measured.structure, measured.name, measured.value, measured.unit) == ("Meniscus", "Extrusion", 2.5, "mm")
    assert (measured.low, measured.high, measured.uncertainty) == (1.0, 3.0, 0.2)
    assert measured.source == "A book"
    assert measured.images == [ImageReference("1.9")]


def test_notes_conclusion_and_version_are_read():
    """Comments at the root are notes."""
    read = read_report(report(text("121077", "Nothing."), text("121106", "missing: axial")))
    assert (read.conclusion, read.notes, read.software_version) == ("Nothing.", ["missing: axial"], "1.2.3")


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"ContentSequence": None},
        {"ContentSequence": "text"},
        {"ContentSequence": [1, {}, {"ValueType": "NUM"}]},
        report(group(text("112039", "ACL"), FINDING, number("122157", "many"))),
        report(group(text("112039", "ACL"), number("122157", 0.5))),
    ],
)
def test_strange_content_is_passed_over(tags):
    """No finding, and no error."""
    assert read_report(tags).findings == []


def test_a_reference_without_uid_is_none():
    """Only what can be found counts; a frame number that is no number means the first."""
    assert references(
        {"ReferencedSOPSequence": [{}, {"ReferencedSOPInstanceUID": "1", "ReferencedFrameNumber": "x"}]}
    ) == [ImageReference("1", 1)]
    assert Item({}).number is None
