"""One leader at a time over one archive, and nothing that a former leader does counts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.common.errors import ServiceUnavailable
from services.common.status import StudyState, StudyStatus
from services.common.volume import Plane
from services.forwarder.archive import Archive
from services.forwarder.lease import STUDY_UID, Lease
from services.forwarder.settings import ForwarderSettings
from tests.fakes.analysis_server import FakeAnalysis
from tests.fakes.orthanc_server import FakeOrthanc, fake_orthanc
from tests.fakes.result_objects import result_objects
from tests.forwarder.conftest import Site
from tests.forwarder.test_sweep import results
from tests.studies import part10, series

SECONDS = 0.9


@asynccontextmanager
async def candidates(orthanc: FakeOrthanc, count: int) -> AsyncIterator[list[tuple[Archive, Lease]]]:
    """So many forwarders' parts in one election."""
    with fake_orthanc(orthanc) as url:
        settings = ForwarderSettings(orthanc_url=url, password="p", rest_seconds=5)
        archives = [Archive(settings) for _ in range(count)]
        yield [(each, Lease(each, holder=str(number), seconds=SECONDS)) for number, each in enumerate(archives)]
        for each in archives:
            await each.__aexit__(None, None, None)


def election(body, count: int = 2):
    async def held():
        orthanc = FakeOrthanc()
        async with candidates(orthanc, count) as all_of_them:
            return await body(orthanc, all_of_them)

    return asyncio.run(held())


async def leaders(all_of_them) -> list[int]:
    found = await asyncio.gather(*(lease.leads() for _, lease in all_of_them))
    return [number for number, leads in enumerate(found) if leads]


def test_of_all_who_ask_at_once_exactly_one_leads_and_stays():
    """The archive stores an identity once, so one of eight begins the term; the others watch."""

    async def body(_, all_of_them):
        first = await leaders(all_of_them)
        again = []
        for _ in range(6):
            await asyncio.sleep(SECONDS / 3)
            again.append(await leaders(all_of_them))
        return first, again

    first, again = election(body, 8)
    assert len(first) == 1
    assert again == [first] * 6


def test_a_silent_leader_is_replaced_after_its_lease_and_its_writes_are_refused():
    """It wakes up and believes that it leads: the fence asks the archive first. The old term's object is gone."""

    async def body(orthanc, all_of_them):
        (sleepy_archive, sleepy), (_, waking) = all_of_them
        assert await sleepy.leads()
        assert not await waking.leads()
        await asyncio.sleep(1.2 * SECONDS)
        assert await waking.leads()
        before = dict(orthanc.files)
        sleepy._beaten_at += 100  # its own clock slept with it
        data = part10(series(Plane.SAGITTAL)[0])
        for write in (
            lambda: sleepy_archive.store(data, study_id="s", sop_instance_uid="u"),
            lambda: sleepy_archive.delete(next(iter(orthanc.files))),
            lambda: sleepy_archive.show("s", StudyStatus(StudyState.DONE)),
        ):
            with pytest.raises(ServiceUnavailable, match="lead"):
                await write()
        assert orthanc.files == before
        assert not await sleepy.leads()
        return [int(each.InstanceNumber) for each in orthanc.datasets.values()]

    assert election(body) == [2]


def test_a_leader_that_can_not_renew_stops_by_its_own_clock():
    """No answer of the archive is needed to know that the lease is over."""

    async def body(orthanc, all_of_them):
        archive, lease = all_of_them[0]
        assert await lease.leads()
        await archive.show("s", StudyStatus(StudyState.DONE))
        orthanc.broken = {"": 500}
        await asyncio.sleep(1.1 * SECONDS)
        with pytest.raises(ServiceUnavailable, match="over"):
            await lease.confirm()

    election(body)


def test_a_planned_stop_keeps_nobody_waiting():
    """The lead is given away, not waited out."""

    async def body(_, all_of_them):
        (_, first), (_, second) = all_of_them
        assert await first.leads()
        assert not await second.leads()
        await first.release()
        return await second.leads()

    assert election(body)


def test_a_stale_candidate_does_not_bring_back_an_old_term():
    """The number it would begin is lower than the one that leads."""

    async def body(_, all_of_them):
        (_, first), (_, second), (_, third) = all_of_them
        assert await first.leads()
        await first.release()
        assert await second.leads()  # term 2; term 1 is gone
        third._seen = (None, 0.0)
        return await third._try(None, 100.0), await second.leads()

    assert election(body, 3) == (False, True)


def test_two_forwarders_analyse_a_study_once_and_the_follower_takes_over(tmp_path):
    """Each has a ledger of its own; the follower shows the worklist, and knows what the leader had tried."""
    orthanc, service = FakeOrthanc(), FakeAnalysis(answers=["PROCESSING_CRASHED"], make_objects=result_objects)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = Site(orthanc, service, tmp_path / "a"), Site(orthanc, service, tmp_path / "b")
    options = {"shared_index": True, "lease_seconds": 4}

    async def lives():
        async with first.forwarder(**options) as leader, second.forwarder(**options) as follower:
            leader.receive(series(Plane.SAGITTAL))
            for _ in range(3):
                await leader.settle(1)
                await follower.settle(1)
                leader.dispatcher._pauses.clear()
                if len(service.headers) == 1:
                    assert [row["status"]["state"] for row in follower.ledger.board.rows()] == ["retrying"]
            assert len(service.headers) == 2
            assert len(leader.ledger.board.rows()) == 1  # the lease's own study is nobody's work
            await asyncio.sleep(4.2)
            leader.receive(series(Plane.SAGITTAL, StudyInstanceUID="1.2.3.4"))
            await follower.settle(2)
            await leader.settle(1)
            assert len(service.headers) == 3
            return [row["status"]["state"] for row in follower.ledger.board.rows()]

    assert asyncio.run(lives()) == ["done", "done"]
    assert len(results(orthanc)) == 5  # two sets of two, and the term
    assert sum(str(each.StudyInstanceUID) == STUDY_UID for each in orthanc.datasets.values()) == 1
