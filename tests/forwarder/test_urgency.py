"""Who is urgent, who is sent first, and that nobody takes all places."""

import asyncio
import re
from datetime import UTC, datetime, timedelta

import pytest

from services.common.pb import analysis_pb2 as pb
from services.common.volume import Plane
from services.forwarder.budget import RetryBudget
from services.forwarder.urgency import UrgencyRule, is_old, read_rules, urgency
from tests.forwarder.test_sweep import now
from tests.studies import series

RULES = (
    {"attribute": "RemoteAET", "matches": "ER_.*", "priority": "stat"},
    {"attribute": "StudyDescription", "matches": "(?i).*research.*", "priority": "backfill"},
)


class Turnstile:
    """A gate that lets answers through one by one."""

    def __init__(self) -> None:
        self._let = asyncio.Semaphore(0)

    def let_one_through(self) -> None:
        """The next one that waits, or that comes, may pass."""
        self._let.release()

    async def wait(self) -> None:
        """Stand in line."""
        await self._let.acquire()


async def headers(site, count):
    """Wait until so many studies have reached the service."""
    async with asyncio.timeout(30):
        while len(site.service.headers) < count:  # noqa: ASYNC110 - the fake has no event for it
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, "routine"),
        ({"RequestedProcedurePriority": "STAT"}, "stat"),
        ({"RequestedProcedurePriority": "high "}, "stat"),
        ({"RequestedProcedurePriority": "ROUTINE"}, "routine"),
        ({"StudyPriorityID": "HIGH"}, "stat"),
        ({"RemoteAET": "ER_MR2"}, "stat"),
        ({"RemoteAET": "WARD_ER_MR2"}, "routine"),
        ({"StudyDescription": "Knee, research protocol", "RequestedProcedurePriority": "STAT"}, "backfill"),
        ({"RemoteAET": "ER_MR2", "StudyDescription": "research"}, "stat"),
    ],
)
def test_rules_of_the_hospital_come_first_then_what_the_dicom_says(attributes, expected):
    """The sender's AE title, any attribute, then the priority that was asked for."""
    assert urgency(read_rules(RULES), attributes) == expected


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"attribute": "RemoteAET", "matches": "x"}, "exactly the keys"),
        ({"attribute": "RemoteAET", "matches": "x", "priority": "now"}, "stat, routine, backfill"),
        ({"attribute": "RemoteAET", "matches": "(", "priority": "stat"}, "regular expression"),
    ],
)
def test_a_rule_that_is_none_is_named_by_its_number(rule, words):
    """A typing error is found at the start."""
    with pytest.raises(ValueError, match=f"rule 2.*{re.escape(words)}"):
        read_rules([RULES[0], rule])
    assert read_rules(RULES)[0] == UrgencyRule("RemoteAET", re.compile("ER_.*"), "stat")


def test_what_lay_in_the_archive_for_days_is_old():
    """A first installation on a full archive keeps nobody waiting; a strange date is no reason to wait."""
    today = datetime(2025, 1, 10, tzinfo=UTC)
    assert is_old("20250107T000000", days=2, now=today)
    assert not is_old("20250109T000000", days=2, now=today)
    assert not is_old("20990109T000000", days=2, now=today)
    assert not is_old("", days=2, now=today + timedelta(days=9))


def test_an_urgent_study_overtakes_those_that_wait_for_a_place(site):
    """One place, five studies in the archive, the last of them STAT by its sender: it is sent second."""
    site.orthanc.clock = now()

    async def body(bench):
        site.service.gate = asyncio.Event()
        for number in range(4):
            bench.receive(series(Plane.SAGITTAL, StudyInstanceUID=f"1.2.3.{number}"))
        await bench.sweep.once()
        bench.receive(series(Plane.SAGITTAL, StudyInstanceUID="1.2.3.9", RequestedProcedurePriority="STAT"))
        await bench.sweep.once()
        site.service.gate.set()
        await bench.settle(1)

    site.run(body, parallel_studies=1, urgent_places=0)
    assert [each.study_instance_uid for each in site.service.headers].index("1.2.3.9") == 1
    assert site.service.headers[1].priority == pb.PRIORITY_STAT
    assert {row["priority"] for row in [{"priority": each.priority} for each in site.service.headers]} == {1, 2}


def test_an_urgent_study_has_a_place_of_its_own(site):
    """All places are taken by studies that do not end, and it is sent all the same."""
    site.orthanc.clock = now()

    async def body(bench):
        site.service.gate = asyncio.Event()
        for number in range(2):
            bench.receive(series(Plane.SAGITTAL, StudyInstanceUID=f"1.2.3.{number}"))
        await bench.sweep.once()
        bench.receive(series(Plane.SAGITTAL, StudyInstanceUID="1.2.3.9", RequestedProcedurePriority="STAT"))
        await bench.sweep.once()
        await headers(site, 2)
        sent = [each.study_instance_uid for each in site.service.headers]
        site.service.gate.set()
        return sent, {row["id"]: row["priority"] for row in bench.ledger.board.rows()}

    sent, shown = site.run(body, parallel_studies=1, urgent_places=1)
    assert len(sent) == 2
    assert "1.2.3.9" in sent
    assert sorted(shown.values()) == ["routine", "routine", "stat"]  # what the worklist says


def test_a_sender_over_its_quota_waits_for_others(site):
    """The quota is passed to the places: a study of another scanner goes before the rest of a hundred."""
    site.orthanc.clock, site.orthanc.sender = now(), "BUSY"

    async def body(bench):
        site.service.gate = Turnstile()
        for number in range(4):
            bench.receive(series(Plane.SAGITTAL, StudyInstanceUID=f"1.2.3.{number}"))
        await bench.sweep.once()
        site.orthanc.sender = "QUIET"
        bench.receive(series(Plane.SAGITTAL, StudyInstanceUID="1.2.3.9"))
        await bench.sweep.once()
        for sent in range(3, 6):  # one place at a time is given back: two at once, and either newcomer may arrive first
            site.service.gate.let_one_through()
            await headers(site, sent)
        site.service.gate.let_one_through()
        site.service.gate.let_one_through()
        await bench.settle(1)

    site.run(body, parallel_studies=2, studies_per_source=1)
    order = [each.study_instance_uid for each in site.service.headers]
    assert order.index("1.2.3.9") == 2
    assert {each.source for each in site.service.headers} == {"BUSY", "QUIET"}


def test_retries_are_a_share_of_what_succeeds():
    """A burst is allowed, then a tenth of the successes and a trickle."""
    budget = RetryBudget()
    assert [budget.spend() for _ in range(20)] == [True] * 20
    assert not budget.spend()
    for _ in range(10):
        budget.succeeded()
    assert budget.spend()
    assert not budget.spend()
