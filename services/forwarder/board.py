"""What the worklist shows: every study of the archive with its last state, durable, so that a restart shows it at once.

The archive holds the states too, one metadata value a study; asking for each of thousands again for every look at the
worklist would keep it busy. So whatever status passes through the forwarder is noted here as well. Dates and
descriptions of studies are kept, nothing that says whose they are.
"""

import json
import sqlite3
import time
from collections.abc import Collection, Iterable
from typing import Any

from services.common.status import StudyState, StudyStatus
from services.common.uids import is_result_uid
from services.forwarder.eligibility import StoredStudy

_SCHEMA = """
    CREATE TABLE IF NOT EXISTS board (
        study_id TEXT NOT NULL PRIMARY KEY,
        study_date TEXT NOT NULL,
        description TEXT NOT NULL,
        seen_at REAL NOT NULL,
        changed_at REAL NOT NULL,
        status TEXT NOT NULL,
        findings TEXT NOT NULL DEFAULT '[]'
    ) WITHOUT ROWID
"""
# a table of its own, because the board of an older version has no such column
_UNFINISHED = "CREATE TABLE IF NOT EXISTS unfinished (study_id TEXT PRIMARY KEY, since REAL NOT NULL) WITHOUT ROWID"
# likewise
_TRIAGE = "CREATE TABLE IF NOT EXISTS triage (study_id TEXT PRIMARY KEY, priority TEXT, source TEXT) WITHOUT ROWID"
_ROWS = 500  # the newest; older ones are found in the archive's own pages
_UNKNOWN = ("routine", "")  # priority and source before a study was looked at
_WAITING = StudyStatus(StudyState.WAITING)


class Board:
    """One table of the ledger's file; ``version`` changes whenever what is shown does."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._database.execute(_SCHEMA)
        self._database.execute(_UNFINISHED)
        self._database.execute(_TRIAGE)
        self._known = {str(row[0]) for row in self._database.execute("SELECT study_id FROM board")}
        self._unfinished: dict[str, float] = dict(self._database.execute("SELECT study_id, since FROM unfinished"))
        self._triage: dict[str, tuple[str, str]] = {
            study_id: (priority, source)
            for study_id, priority, source in self._database.execute("SELECT study_id, priority, source FROM triage")
        }
        self._started = time.time_ns()
        self._changes = 0

    @property
    def version(self) -> str:
        """Names what ``rows`` returns now."""
        return f"{self._started:x}-{self._changes:x}"

    def see(self, studies: Iterable[StoredStudy]) -> None:
        """Add studies that are new in the archive and drop those that are gone."""
        present = {each.study_id: each for each in studies if not is_result_uid(each.study_instance_uid)}
        now = time.time()
        for study_id in present.keys() - self._known:
            each = present[study_id]
            self._write(
                "INSERT OR IGNORE INTO board (study_id, study_date, description, seen_at, changed_at, status)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (study_id, each.study_date, each.description, now, now, _WAITING.to_json()),
            )
            self._begin(study_id, now)
        self._drop((self._known | self._unfinished.keys()) - present.keys())
        self._known = set(present)

    def note(self, study_id: str, status: StudyStatus) -> None:
        """Keep the state of one study."""
        written = status.to_json()
        self._write(
            "UPDATE board SET status = ?, changed_at = ? WHERE study_id = ? AND status != ?",
            (written, time.time(), study_id, written),
        )
        if status.state.final:
            self.finish(study_id)
        else:
            self._begin(study_id, time.time())

    def finish(self, study_id: str) -> None:
        """Nothing is left to do about a study as it is now."""
        if self._unfinished.pop(study_id, None) is not None:
            self._database.execute("DELETE FROM unfinished WHERE study_id = ?", (study_id,))

    def unfinished(self) -> list[tuple[str, float]]:
        """Priority and since when it is known, in seconds since 1970, of every unfinished study; from any thread."""
        triage = self._triage.copy()
        return [(triage.get(study_id, _UNKNOWN)[0], since) for study_id, since in self._unfinished.copy().items()]

    def triage(self, study_id: str) -> tuple[str, str] | None:
        """Priority and source of a study, None before they are known."""
        return self._triage.get(study_id)

    def sort(self, study_id: str, priority: str, source: str) -> None:
        """Keep how urgent a study is and who sent it."""
        if self._triage.get(study_id) != (priority, source):
            self._triage[study_id] = (priority, source)
            self._write("INSERT OR REPLACE INTO triage VALUES (?, ?, ?)", (study_id, priority, source))

    def findings(self, study_id: str, findings: list[dict[str, Any]]) -> None:
        """Keep what was found, the most probable first."""
        self._write("UPDATE board SET findings = ? WHERE study_id = ?", (json.dumps(findings), study_id))

    def status(self, study_id: str) -> StudyStatus | None:
        """The last known state of one study."""
        row = self._database.execute("SELECT status FROM board WHERE study_id = ?", (study_id,)).fetchone()
        return StudyStatus.from_json(row[0]) if row else None

    def rows(self) -> list[dict[str, Any]]:
        """The newest studies, the last changed first; times are seconds since 1970."""
        found = self._database.execute(
            "SELECT study_id, study_date, description, seen_at, changed_at, status, findings FROM board"
            " ORDER BY changed_at DESC, study_id LIMIT ?",
            (_ROWS,),
        )
        return [
            {
                "id": study_id,
                "date": date,
                "description": description,
                "seen_at": seen_at,
                "changed_at": changed_at,
                "priority": self._triage.get(study_id, _UNKNOWN)[0],
                "status": json.loads(status),
                "findings": json.loads(findings),
            }
            for study_id, date, description, seen_at, changed_at, status, findings in found
        ]

    def count(self) -> int:
        """How many studies the archive holds."""
        return len(self._known)

    def _begin(self, study_id: str, now: float) -> None:
        if study_id not in self._unfinished:
            self._unfinished[study_id] = now
            self._database.execute("INSERT OR REPLACE INTO unfinished VALUES (?, ?)", (study_id, now))

    def _drop(self, study_ids: Collection[str]) -> None:
        for study_id in study_ids:
            self._write("DELETE FROM board WHERE study_id = ?", (study_id,))
            self._database.execute("DELETE FROM triage WHERE study_id = ?", (study_id,))
            self._triage.pop(study_id, None)
            self.finish(study_id)

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        self._changes += self._database.execute(statement, values).rowcount
