"""How urgent a study is: by a rule of the hospital, by what the DICOM says, or by its age. Pure functions.

Rules come first, in their order; a rule names the sender's AE title or an attribute, and a regular expression that the
whole value must match. Then speaks the study itself: RequestedProcedurePriority (PS3.4 K.6.1.2.2) or the older
StudyPriorityID. What lay in the archive for days before it was first seen is backfill: nobody waits for it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from services.common.wire import PRIORITY_NAMES

STAT, ROUTINE, BACKFILL = PRIORITY_NAMES
SENDER = "RemoteAET"  # names the sender in a rule; all other names are DICOM keywords
_ASKED_FOR = ("RequestedProcedurePriority", "StudyPriorityID")
_URGENT = frozenset({"STAT", "HIGH"})
_FIELDS = {"attribute", "matches", "priority"}


@dataclass(frozen=True)
class UrgencyRule:
    """Studies whose ``attribute`` matches get this priority."""

    attribute: str
    matches: re.Pattern[str]
    priority: str


def read_rules(values: Iterable[Mapping[str, str]]) -> tuple[UrgencyRule, ...]:
    """Rules as the configuration has them; raises ``ValueError`` that says what is wrong with which."""
    return tuple(_rule(number, value) for number, value in enumerate(values, start=1))


def urgency(rules: Sequence[UrgencyRule], attributes: Mapping[str, Any]) -> str:
    """Priority of a study by the attributes of one of its images and ``SENDER``."""
    for rule in rules:
        if rule.matches.fullmatch(str(attributes.get(rule.attribute) or "")):
            return rule.priority
    asked = {str(attributes.get(each) or "").strip().upper() for each in _ASKED_FOR}
    return STAT if asked & _URGENT else ROUTINE


def is_old(last_update: str, *, days: float, now: datetime) -> bool:
    """Whether Orthanc's date of a study's last change, UTC without punctuation, lies so far back."""
    try:
        changed = datetime.strptime(last_update, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return False
    return now - changed > timedelta(days=days)


def _rule(number: int, value: Mapping[str, str]) -> UrgencyRule:
    if set(value) != _FIELDS:
        message = f"priority rule {number} needs exactly the keys {', '.join(sorted(_FIELDS))}"
        raise ValueError(message)
    if value["priority"] not in PRIORITY_NAMES:
        message = f"priority rule {number} names no priority; there are {', '.join(PRIORITY_NAMES)}"
        raise ValueError(message)
    try:
        return UrgencyRule(value["attribute"], re.compile(value["matches"]), value["priority"])
    except re.error as error:
        message = f"priority rule {number} has no regular expression: {error}"
        raise ValueError(message) from None
