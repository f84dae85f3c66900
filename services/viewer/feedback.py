"""What people say about findings: agree, disagree or a comment, kept for ever in one SQLite file.

Nothing is overwritten: each opinion is a row with who, when and about which result, and the newest of a person on a
finding is the one that counts. The archive's user name is who; a name of a patient has no place in a comment, and the
page says so.
"""

import csv
import io
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from services.common.finding import LABELS

VERDICTS = ("agree", "disagree", "comment")
_MAX_COMMENT = 2000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Opinion:
    """One row; ``said_at`` is UTC in ISO 8601, ``input_digest`` names the result that was looked at."""

    study_instance_uid: str
    input_digest: str
    label: str
    verdict: str
    comment: str
    observer: str
    said_at: str
    software_version: str
    probability: float

    @classmethod
    def from_request(cls, body: Mapping[str, Any], **known: Any) -> "Opinion":
        """What a page sent with what the server knows; raises ``ValueError`` where it is no opinion."""
        label, verdict, comment = (body.get(each, "") for each in ("label", "verdict", "comment"))
        if label not in LABELS or verdict not in VERDICTS or not isinstance(comment, str):
            message = "an opinion has a label of the report, a verdict and a comment"
            raise ValueError(message)
        if len(comment) > _MAX_COMMENT or (verdict == "comment" and not comment.strip()):
            message = f"a comment has 1 to {_MAX_COMMENT} characters"
            raise ValueError(message)
        return cls(label=label, verdict=verdict, comment=comment.strip(), **known)


_COLUMNS = tuple(each.name for each in fields(Opinion))


class Feedback:
    """The file; every opinion is durable before the call returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        columns = ", ".join(f"{each} {'REAL' if each == 'probability' else 'TEXT'} NOT NULL" for each in _COLUMNS)
        self._database.execute(f"CREATE TABLE IF NOT EXISTS opinions (id INTEGER PRIMARY KEY, {columns})")
        self._database.execute("CREATE INDEX IF NOT EXISTS by_study ON opinions (study_instance_uid)")

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def add(self, opinion: Opinion) -> None:
        """Keep one opinion."""
        places = ", ".join("?" for _ in _COLUMNS)
        self._database.execute(
            f"INSERT INTO opinions ({', '.join(_COLUMNS)}) VALUES ({places})",  # noqa: S608 - our own column names
            tuple(asdict(opinion).values()),
        )

    def of_study(self, study_instance_uid: str) -> list[Opinion]:
        """All opinions on one study, the oldest first."""
        return self._select("WHERE study_instance_uid = ?", study_instance_uid)

    def everything(self) -> list[Opinion]:
        """All opinions there are, the oldest first."""
        return self._select("")

    def _select(self, condition: str, *values: str) -> list[Opinion]:
        query = f"SELECT {', '.join(_COLUMNS)} FROM opinions {condition} ORDER BY id"  # noqa: S608 - as above
        return [Opinion(*row) for row in self._database.execute(query, values)]


def to_csv(opinions: list[Opinion]) -> str:
    """One line an opinion; a cell that a spreadsheet would run as a formula is made text."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for each in opinions:
        writer.writerow([_inert(value) for value in asdict(each).values()])
    return out.getvalue()


def _inert(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
