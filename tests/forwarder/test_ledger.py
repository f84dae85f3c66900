"""What is still known after a restart."""

import subprocess
import sys

from services.common.status import StudyState, StudyStatus
from services.forwarder.ledger import Entry, Ledger
from services.forwarder.steadiness import Steadiness


def test_attempts_and_verdicts_survive_a_restart(tmp_path):
    """An attempt is on disk before it begins; forgiving takes it back; a verdict is final for its digest only."""
    ledger = Ledger(tmp_path / "folder" / "ledger.sqlite")
    assert [ledger.begin("s", "d"), ledger.begin("s", "d")] == [1, 2]
    ledger.close()
    ledger = Ledger(tmp_path / "folder" / "ledger.sqlite")
    assert ledger.entry("s", "d") == Entry(2, "")
    ledger.forgive("s", "d")
    ledger.judge("s", "d", "NO_SIGNAL")
    assert ledger.entry("s", "d") == Entry(1, "NO_SIGNAL")
    assert ledger.entry("s", "other") == Entry(0, "")
    ledger.close()


def test_an_attempt_survives_a_process_that_is_killed_right_after_it(tmp_path):
    """No close, no commit, no exit code: the count is there."""
    code = (
        "import os, sys; from pathlib import Path; from services.forwarder.ledger import Ledger;"
        "Ledger(Path(sys.argv[1])).begin('s', 'd'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "ledger.sqlite"], check=False)
    ledger = Ledger(tmp_path / "ledger.sqlite")
    assert ledger.entry("s", "d") == Entry(1, "")
    ledger.close()


def test_an_outcome_is_remembered_word_for_word_and_clears_the_attempts(tmp_path):
    """Code, advice and times of a no-result come back as they were."""
    status = StudyStatus(StudyState.NO_RESULT, "d", code="NO_SIGNAL", advice="Send again.", seconds={"infer": 1.5})
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.begin("s", "d")
    ledger.finish("s", "d", status)
    assert ledger.outcome("s", "d") == status
    assert ledger.entry("s", "d") == Entry(0, "")
    assert ledger.outcome("s", "other") is None
    ledger.close()


def test_content_is_known_for_exactly_the_same_files(tmp_path):
    """A study keeps the digests of two sets of files, all of it and an early start's; older ones go."""
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.remember_content("s", "files", "digest")
    ledger.remember_content("s", "more files", "another")
    assert ledger.content("s", "files") == "digest"
    ledger.remember_content("s", "yet more files", "a third")
    assert ledger.content("s", "more files") == "another"
    assert ledger.content("s", "files") is None
    ledger.close()


def test_forgiving_more_than_was_begun_leaves_nothing_negative(tmp_path):
    """Else a study would gain attempts."""
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.begin("s", "d")
    ledger.forgive("s", "d")
    ledger.forgive("s", "d")
    assert ledger.begin("s", "d") == 1
    ledger.close()


def test_the_time_starts_anew_with_every_change():
    """Our own clock decides how long a study has been as it is."""
    steady = Steadiness()
    assert steady.seconds("s", "a", now=0) == 0
    assert steady.seconds("s", "a", now=4.5) == 4.5
    assert steady.seconds("s", "b", now=5) == 0
    assert steady.seconds("s", "a", now=6) == 0
    assert steady.seconds("other", "a", now=7) == 0


def test_studies_that_are_gone_are_forgotten():
    """Memory stays as large as the archive's list."""
    steady = Steadiness()
    steady.seconds("s", "a", now=0)
    steady.keep_only({"other"})
    assert steady.seconds("s", "a", now=9) == 0
