"""The conclusion in words: sentences fit for dictation, the same facts as the coded part of the report."""

from collections.abc import Sequence

from services.common.codes import CONCLUSION, FINDING_CODES, STRUCTURE_CODES
from services.common.finding import Category, Finding, Laterality
from services.common.measurement import Measurement, Normality
from services.results.content import text

_SIDES = {Laterality.RIGHT: "right knee", Laterality.LEFT: "left knee", Laterality.UNKNOWN: "knee, side unknown"}


def conclusion(findings: Sequence[Finding], measurements: Sequence[Measurement], laterality: Laterality) -> list[bytes]:
    """The conclusion as one item of a report."""
    return [text(CONCLUSION, conclusion_text(findings, measurements, laterality))]


def conclusion_text(findings: Sequence[Finding], measurements: Sequence[Measurement], laterality: Laterality) -> str:
    """What is above its threshold, what is just below, and what lies outside its reference range."""
    ordered = sorted(findings, key=lambda each: -each.probability / each.threshold)
    positive = [_named(each) for each in ordered if each.positive]
    open_ones = [_named(each) for each in ordered if not each.positive and each.category is Category.EQUIVOCAL]
    outside = [_measured(each) for each in measurements if each.normality is Normality.ABNORMAL]
    sentences = [
        f"MRI of the {_SIDES[laterality]}, automated reading.",
        f"Above threshold: {'; '.join(positive)}." if positive else "None of the twelve findings is above threshold.",
        f"Equivocal, below threshold: {'; '.join(open_ones)}." if open_ones else "",
        f"Outside the reference range: {'; '.join(outside)}." if outside else "",
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _named(finding: Finding) -> str:
    meaning = FINDING_CODES[finding.label].meaning
    likely = ", equivocal" if finding.positive and finding.category is Category.EQUIVOCAL else ""
    return f"{meaning} (probability {finding.probability:.2f}{likely})"


def _measured(measurement: Measurement) -> str:
    reference = measurement.reference
    limits = "" if reference is None else _limits(reference.low, reference.high)
    name = f"{STRUCTURE_CODES[measurement.structure].label} {measurement.quantity}"
    uncertainty = f"{measurement.uncertainty:.1f} {measurement.unit}"
    return f"{name} {measurement.value:.1f} +- {uncertainty} ({limits})"


def _limits(low: float | None, high: float) -> str:
    return f"up to {high:.1f}" if low is None else f"{low:.1f} to {high:.1f}"
