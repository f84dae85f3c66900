"""What people said about a report, as a structured report of its own: agree, disagree or a comment for each finding.

The caller keeps the opinions; this makes them portable. The document is of the same study as the report it speaks of,
refers to it, and names the observer, the time and the software version of each opinion. Its UID follows from what it
says, so exporting twice stores one object, and exporting after another opinion stores a second one.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum

import pydicom
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.uid import Comprehensive3DSRStorage

from services.common.codes import (
    ALGORITHM_VERSION,
    COMMENT,
    ENGLISH,
    FINDING,
    FINDING_CODES,
    LANGUAGE,
    OBSERVER_TYPE,
    PERSON,
    PERSON_OBSERVER_NAME,
    SOURCE,
    Code,
    private,
)
from services.common.study import Provenance
from services.results.content import Relation, code, container, date_time, person, reference, text
from services.results.document import Root, set_content
from services.results.identity import COPIED, RESEARCH_ONLY, new_object, sign

KIND = "feedback"
TITLE = private("FEEDBACK", "Feedback on an automated reading")
OPINION = private("OPINION", "Opinion on a finding")
VERDICT = private("VERDICT", "Verdict")
SAID_AT = private("SAID-AT", "Time of the opinion")
_SERIES_NUMBER = 9090
_UTF_8 = "ISO_IR 192"
_UNDECODABLE = "\N{REPLACEMENT CHARACTER}"


class Verdict(StrEnum):
    """What a person thinks of a finding."""

    AGREE = "agree"
    DISAGREE = "disagree"
    COMMENT = "comment"


VERDICT_CODES: dict[Verdict, Code] = {
    Verdict.AGREE: private("AGREE", "Agrees with the finding"),
    Verdict.DISAGREE: private("DISAGREE", "Disagrees with the finding"),
    Verdict.COMMENT: private("COMMENT", "Comments on the finding"),
}


@dataclass(frozen=True)
class Opinion:
    """One person's opinion on one finding of ``LABELS``; ``said_at`` knows its offset from UTC."""

    label: str
    verdict: Verdict
    observer: str
    said_at: datetime
    software_version: str
    comment: str = ""


def feedback_object(report: pydicom.Dataset, opinions: Sequence[Opinion]) -> pydicom.Dataset:
    """Comprehensive 3D SR of all opinions on one report, in the order of their time.

    ``report`` is the report as it is stored; its patient and study are taken over. Text beyond ASCII makes the document
    UTF-8, where the patient's name allows it; where it does not, such characters become question marks.
    Raises ``ValueError`` without an opinion, for a label that no report has, or for a time without offset.
    """
    ordered = sorted(opinions, key=_order)
    source = _readable(report, ordered)
    unicode = source.get("SpecificCharacterSet") == _UTF_8
    dataset = new_object(Comprehensive3DSRStorage, KIND, provenance=_provenance(report, ordered))
    dataset.Modality, dataset.SeriesNumber = "SR", _SERIES_NUMBER
    dataset.PerformedProcedureCodeSequence = []
    dataset.CompletionFlag, dataset.VerificationFlag = "COMPLETE", "UNVERIFIED"
    items = [
        code(LANGUAGE, ENGLISH, Relation.MODIFIES),
        *_observer(ordered[0], unicode=unicode),
        reference(SOURCE, report),
        *[_opinion(each, unicode=unicode) for each in ordered],
        text(COMMENT, RESEARCH_ONLY),
    ]
    set_content(dataset, Root(TITLE, None, items), [report])
    sign(dataset, source, kind="Feedback", description="Articula feedback")
    _date(dataset, ordered[-1].said_at)
    return dataset


def _order(opinion: Opinion) -> tuple[datetime, str, str]:
    if opinion.label not in FINDING_CODES:
        message = "an opinion is about one of the report's findings"
        raise ValueError(message)
    if opinion.said_at.tzinfo is None:
        message = "the time of an opinion needs its offset from UTC"
        raise ValueError(message)
    return opinion.said_at, opinion.label, opinion.observer


def _provenance(report: pydicom.Dataset, opinions: Sequence[Opinion]) -> Provenance:
    """The digest of what is said, of which the UIDs are made."""
    if not opinions:
        message = "feedback without an opinion"
        raise ValueError(message)
    said = [{**asdict(each), "said_at": each.said_at.astimezone(UTC).isoformat()} for each in opinions]
    content = json.dumps([str(report.SOPInstanceUID), said], sort_keys=True)
    versions = opinions[-1].software_version
    return Provenance(hashlib.sha256(content.encode()).hexdigest(), KIND, versions, "", {})


def _observer(opinion: Opinion, *, unicode: bool) -> list[bytes]:
    """A person as the observer (TID 1003)."""
    return [
        code(OBSERVER_TYPE, PERSON, Relation.CONTEXT),
        person(PERSON_OBSERVER_NAME, _text(_one_line(opinion.observer), unicode=unicode), Relation.CONTEXT),
    ]


def _opinion(opinion: Opinion, *, unicode: bool) -> bytes:
    comment = [text(COMMENT, _text(opinion.comment, unicode=unicode))] if opinion.comment else []
    items = [
        *_observer(opinion, unicode=unicode),
        date_time(SAID_AT, _written(opinion.said_at), Relation.CONTEXT),
        code(FINDING, FINDING_CODES[opinion.label]),
        code(VERDICT, VERDICT_CODES[opinion.verdict]),
        text(ALGORITHM_VERSION, opinion.software_version, Relation.MODIFIES),
        *comment,
    ]
    return container(OPINION, items)


def _written(moment: datetime) -> str:
    """The moment with an offset that is not zero: DCMTK 3.6 refuses a document for one of +0000."""
    with_offset = moment if moment.utcoffset() else moment.astimezone(timezone(timedelta(hours=1)))
    return with_offset.strftime("%Y%m%d%H%M%S%z")


def _text(value: str, *, unicode: bool) -> str | bytes:
    return value.encode() if unicode else value


def _one_line(name: str) -> str:
    """A name without what separates its parts in DICOM, at most 64 characters."""
    return " ".join(name.replace("\\", " ").replace("=", " ").split())[:64] or "unknown"


def _readable(report: pydicom.Dataset, opinions: Sequence[Opinion]) -> pydicom.Dataset:
    """The report's patient and study as they are, or in UTF-8 where an opinion needs more than ASCII."""
    if all((each.comment + each.observer).isascii() for each in opinions):
        return report
    raw, source = (
        pydicom.Dataset(),
        pydicom.Dataset(),
    )  # looking at an element decodes it in place, so not in the report
    for keyword in (each for each in COPIED if each in report):
        raw[Tag(keyword)] = report.get_item(keyword)
    for keyword in (each for each in COPIED if each in raw):
        value = raw[keyword].value
        written = "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value or "")
        if _UNDECODABLE in written:
            return report
        setattr(source, keyword, written)
    source.SpecificCharacterSet = _UTF_8
    return source


def _date(dataset: pydicom.Dataset, said_at: datetime) -> None:
    """A document of people has the time of the last of them, not the study's; in place."""
    dataset.ContentDate = dataset.SeriesDate = dataset.InstanceCreationDate = said_at.strftime("%Y%m%d")
    dataset.ContentTime = dataset.SeriesTime = dataset.InstanceCreationTime = said_at.strftime("%H%M%S")
