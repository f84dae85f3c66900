"""What must survive a restart and is not in the archive: attempts at each study, verdicts, and how analyses ended.

An attempt is written before it begins, so that a study that kills its worker every time is set aside after a few
attempts and not tried for ever. Content digests are kept because asking for them again costs a call per file. Losing
the file costs only work: results live in the archive.
"""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from services.common.status import StudyStatus
from services.forwarder.board import Board

_SCHEMA = (
    """
    CREATE TABLE IF NOT EXISTS attempts (
        study_id TEXT NOT NULL,
        input_digest TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        verdict TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (study_id, input_digest)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE IF NOT EXISTS outcomes (
        study_id TEXT NOT NULL,
        input_digest TEXT NOT NULL,
        status TEXT NOT NULL,
        PRIMARY KEY (study_id, input_digest)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE IF NOT EXISTS contents (
        study_id TEXT NOT NULL PRIMARY KEY,
        files_key TEXT NOT NULL,
        content_digest TEXT NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE TABLE IF NOT EXISTS retries (study_id TEXT NOT NULL PRIMARY KEY, observer TEXT NOT NULL) WITHOUT ROWID",
)


@dataclass(frozen=True)
class Entry:
    """Attempts begun, and the code of the refusal that is final, or ''."""

    attempts: int
    verdict: str


class Ledger:
    """One SQLite file, every change durable before the call returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        for table in _SCHEMA:
            self._database.execute(table)
        self.board = Board(self._database)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def entry(self, study_id: str, input_digest: str) -> Entry:
        """What is known about one input."""
        row = self._database.execute(
            "SELECT attempts, verdict FROM attempts WHERE study_id = ? AND input_digest = ?", (study_id, input_digest)
        ).fetchone()
        return Entry(*row) if row else Entry(0, "")

    def begin(self, study_id: str, input_digest: str) -> int:
        """Count an attempt before it begins; returns its number."""
        self._database.execute(
            "INSERT INTO attempts (study_id, input_digest, attempts) VALUES (?, ?, 1)"
            " ON CONFLICT (study_id, input_digest) DO UPDATE SET attempts = attempts + 1",
            (study_id, input_digest),
        )
        return self.entry(study_id, input_digest).attempts

    def forgive(self, study_id: str, input_digest: str) -> None:
        """Take an attempt back that failed for reasons outside the study."""
        self._database.execute(
            "UPDATE attempts SET attempts = MAX(attempts - 1, 0) WHERE study_id = ? AND input_digest = ?",
            (study_id, input_digest),
        )

    def judge(self, study_id: str, input_digest: str, code: str) -> None:
        """Write down that this input is refused for good."""
        self._database.execute(
            "UPDATE attempts SET verdict = ? WHERE study_id = ? AND input_digest = ?", (code, study_id, input_digest)
        )

    def finish(self, study_id: str, input_digest: str, status: StudyStatus) -> None:
        """Write down how a stored result set reads, and that its attempts ended well."""
        self._database.execute(
            "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?)", (study_id, input_digest, status.to_json())
        )
        self._database.execute(
            "UPDATE attempts SET attempts = 0 WHERE study_id = ? AND input_digest = ?", (study_id, input_digest)
        )

    def outcome(self, study_id: str, input_digest: str) -> StudyStatus | None:
        """How the result set of this input reads, None where this ledger does not know."""
        row = self._database.execute(
            "SELECT status FROM outcomes WHERE study_id = ? AND input_digest = ?", (study_id, input_digest)
        ).fetchone()
        return StudyStatus.from_json(row[0]) if row else None

    def ask_again(self, study_id: str, observer: str) -> None:
        """Write down that somebody wants the study analysed again."""
        self._database.execute("INSERT OR REPLACE INTO retries VALUES (?, ?)", (study_id, observer))

    def asked_again(self) -> list[str]:
        """The studies that somebody wants analysed again."""
        return [str(row[0]) for row in self._database.execute("SELECT study_id FROM retries ORDER BY study_id")]

    def forget(self, study_id: str, input_digest: str) -> None:
        """Attempts, verdict and outcome of one input are as if it had never been tried."""
        for table in ("attempts", "outcomes"):
            statement = f"DELETE FROM {table} WHERE study_id = ? AND input_digest = ?"  # noqa: S608 - two fixed names
            self._database.execute(statement, (study_id, input_digest))

    def answered(self, study_id: str) -> None:
        """The wish to analyse a study again is fulfilled, or pointless."""
        self._database.execute("DELETE FROM retries WHERE study_id = ?", (study_id,))

    def remember_content(self, study_id: str, files_key: str, content_digest: str) -> None:
        """Keep the content digest of a study's present files."""
        self._database.execute(
            "INSERT OR REPLACE INTO contents VALUES (?, ?, ?)", (study_id, files_key, content_digest)
        )

    def content(self, study_id: str, files_key: str) -> str | None:
        """The content digest of exactly these files, None where it is not known."""
        row = self._database.execute(
            "SELECT content_digest FROM contents WHERE study_id = ? AND files_key = ?", (study_id, files_key)
        ).fetchone()
        return str(row[0]) if row else None
