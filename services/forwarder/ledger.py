"""What must survive a restart and is not in the archive: attempts at each study, verdicts, and how analyses ended.

An attempt is written before it begins, so that a study that kills its worker every time is set aside after a few
attempts and not tried for ever. Content digests are kept because asking for them again costs a call per file. Losing
the file costs only work: results live in the archive, and what is shown on each study tells of its attempts.
"""

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.common.errors import ArticulaError
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
    CREATE TABLE IF NOT EXISTS digests (
        study_id TEXT NOT NULL,
        files_key TEXT NOT NULL,
        content_digest TEXT NOT NULL,
        PRIMARY KEY (study_id, files_key)
    )
    """,
    "CREATE TABLE IF NOT EXISTS retries (study_id TEXT NOT NULL PRIMARY KEY, observer TEXT NOT NULL) WITHOUT ROWID",
)

_DIGESTS_A_STUDY = 2  # of all its files, and of the series that an early start was about


class LedgerInUse(ArticulaError):
    """Another forwarder works with this ledger."""

    code = "LEDGER_IN_USE"


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold the ledger's lock, which the kernel gives back when the process ends; raises ``LedgerInUse``.

    A forwarder whose Orthanc was killed may live for a moment longer, or be frozen: two would count attempts twice.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            message = "another forwarder works with this ledger; it is waited for"
            raise LedgerInUse(message) from None
        yield


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

    def knows(self, study_id: str, input_digest: str) -> bool:
        """Whether this ledger ever counted an attempt at this input."""
        statement = "SELECT 1 FROM attempts WHERE study_id = ? AND input_digest = ?"
        return self._database.execute(statement, (study_id, input_digest)).fetchone() is not None

    def tried(self, study_id: str) -> bool:
        """Whether this ledger ever counted an attempt at any input of this study."""
        statement = "SELECT 1 FROM attempts WHERE study_id = ? LIMIT 1"
        return self._database.execute(statement, (study_id,)).fetchone() is not None

    def recall(self, study_id: str, input_digest: str, attempts: int) -> None:
        """Take over attempts that another ledger counted, where this one knows nothing of the input."""
        self._database.execute(
            "INSERT OR IGNORE INTO attempts (study_id, input_digest, attempts) VALUES (?, ?, ?)",
            (study_id, input_digest, attempts),
        )

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
        """Keep the content digest of a set of a study's files: all of them, or those of an early start."""
        self._database.execute("INSERT OR REPLACE INTO digests VALUES (?, ?, ?)", (study_id, files_key, content_digest))
        self._database.execute(
            "DELETE FROM digests WHERE study_id = ? AND rowid NOT IN"
            " (SELECT rowid FROM digests WHERE study_id = ? ORDER BY rowid DESC LIMIT ?)",
            (study_id, study_id, _DIGESTS_A_STUDY),
        )

    def content(self, study_id: str, files_key: str) -> str | None:
        """The content digest of exactly these files, None where it is not known."""
        row = self._database.execute(
            "SELECT content_digest FROM digests WHERE study_id = ? AND files_key = ?", (study_id, files_key)
        ).fetchone()
        return str(row[0]) if row else None
