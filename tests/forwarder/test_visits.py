"""New studies never wait for old ones, and no old one is forgotten."""

from services.forwarder.eligibility import StoredStudy
from services.forwarder.visits import Visits

AUDIT_SECONDS = 100.0
OLD, OLDER, NEW, BACKFILL = (
    StoredStudy(name, f"1.{name}", f"2025010{day}T000000/1")
    for name, day in (("old", 2), ("older", 1), ("new", 3), ("backfill", 1))
)
ALL = (OLDER, BACKFILL, OLD, NEW)


def order(visits: Visits, now: float, studies=ALL) -> tuple[list[str], list[str]]:
    found = visits.order(studies, now, is_backfill=lambda study_id: study_id == "backfill")
    return [each.study_id for each in found[0]], [each.study_id for each in found[1]]


def test_after_a_restart_the_newest_are_looked_at_first():
    """Whatever came while nobody looked is among them."""
    assert order(Visits(audit_seconds=AUDIT_SECONDS), 0.0) == ([], ["new", "old", "older", "backfill"])


def test_what_is_on_its_way_is_looked_at_always_and_backfill_as_time_allows():
    """An archive of before the installation is backfill, and may be longer than any sweep."""
    visits = Visits(audit_seconds=AUDIT_SECONDS)
    for study in (BACKFILL, NEW):
        visits.made(study, 1.0, settled=False)
    assert order(visits, 2.0) == (["new"], ["old", "older", "backfill"])


def test_what_is_settled_is_left_alone_until_an_audit_or_another_version():
    """Those that were looked at the longest time ago come first."""
    visits = Visits(audit_seconds=AUDIT_SECONDS)
    for now, study in enumerate((OLD, OLDER, NEW, BACKFILL)):
        visits.made(study, float(now), settled=True)
    assert order(visits, 50.0) == ([], [])
    assert order(visits, 101.5) == ([], ["old", "older"])
    changed = StoredStudy(NEW.study_id, NEW.study_instance_uid, "20250104T000000/2")
    assert order(visits, 50.0, (changed, OLD)) == (["new"], [])
    visits.unsettle("old")
    assert order(visits, 50.0) == (["old"], [])


def test_what_is_gone_is_forgotten():
    """It may come back as another."""
    visits = Visits(audit_seconds=AUDIT_SECONDS)
    visits.made(OLD, 1.0, settled=True)
    visits.keep_only(["new"])
    assert order(visits, 2.0, (OLD,)) == ([], ["old"])
