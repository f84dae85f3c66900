"""The worklist's memory: every study of the archive, its last state, durable."""

import pytest

from services.common.status import StudyState, StudyStatus
from services.forwarder.eligibility import StoredStudy
from services.forwarder.ledger import Ledger

ONE, TWO = (StoredStudy(name, "1.2", "v", "20250102", f"Knee {name}") for name in ("one", "two"))


@pytest.fixture
def ledger(tmp_path):
    made = Ledger(tmp_path / "ledger.sqlite")
    yield made
    made.close()


def test_studies_come_and_go_with_the_archive(ledger):
    """A new one waits; one that is gone leaves the list; nothing says whose they are."""
    ledger.board.see([ONE, TWO])
    assert {row["id"]: row["status"]["state"] for row in ledger.board.rows()} == {"one": "waiting", "two": "waiting"}
    ledger.board.see([TWO])
    (row,) = ledger.board.rows()
    assert (row["id"], row["date"], row["description"], row["priority"]) == ("two", "20250102", "Knee two", "routine")
    assert ledger.board.count() == 1


def test_the_version_changes_exactly_when_the_list_does(ledger):
    """So that a page that asks every two seconds costs nothing while nothing happens."""
    ledger.board.see([ONE])
    before = ledger.board.version
    ledger.board.see([ONE])
    assert ledger.board.version == before
    ledger.board.note("one", StudyStatus(StudyState.RUNNING, stage="infer"))
    running = ledger.board.version
    assert running != before
    ledger.board.note("one", StudyStatus(StudyState.RUNNING, stage="infer"))
    assert ledger.board.version == running


def test_state_and_findings_survive_a_restart(tmp_path):
    """The first look after a restart shows what the last one did."""
    first = Ledger(tmp_path / "ledger.sqlite")
    first.board.see([ONE])
    first.board.note("one", StudyStatus(StudyState.DONE, "d"))
    first.board.findings("one", [{"label": "ACL", "probability": 0.9, "positive": True}])
    first.close()
    again = Ledger(tmp_path / "ledger.sqlite")
    again.board.see([ONE])
    (row,) = again.board.rows()
    assert row["status"]["state"] == "done"
    assert row["findings"][0]["label"] == "ACL"
    assert again.board.status("one") == StudyStatus(StudyState.DONE, "d")
    assert again.board.status("two") is None
    again.close()
