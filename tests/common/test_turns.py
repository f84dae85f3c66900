"""Urgent first, nobody for ever, no source alone."""

import asyncio

import pytest

from services.common.pb import analysis_pb2 as pb
from services.common.turns import Turns
from services.common.wire import PATIENCE_SECONDS, PRIORITY_NAMES

STAT, ROUTINE, BACKFILL = pb.PRIORITY_STAT, pb.PRIORITY_ROUTINE, pb.PRIORITY_BACKFILL


async def served(arrivals, *, pause: float = 0.0, quota: int = 0, patience=PATIENCE_SECONDS) -> list[str]:
    """The order in which those who came one after the other get the only place."""
    places: Turns[str] = Turns(quota=quota)
    places.add("place")
    first = await places.take(0, "first")
    order: list[str] = []

    async def visit(name, priority, source=""):
        place = await places.take(patience[priority], source)
        order.append(name)
        places.give(place, source)

    tasks = []
    for arrival in arrivals:
        tasks.append(asyncio.create_task(visit(*arrival)))
        await asyncio.sleep(pause)
    places.give(first, "first")
    await asyncio.gather(*tasks)
    return order


def test_an_urgent_study_overtakes_all_that_wait():
    """STAT, then routine in order of arrival, then backfill."""
    arrivals = [("old", BACKFILL), ("a", ROUTINE), ("b", ROUTINE), ("now", STAT), ("c", pb.PRIORITY_UNSPECIFIED)]
    assert asyncio.run(served(arrivals)) == ["now", "a", "b", "c", "old"]


def test_a_study_that_waited_long_is_overtaken_no_more():
    """Patience ends: a routine study older than the difference goes before a newcomer that is urgent."""
    arrivals = [("backfill", BACKFILL), ("routine", ROUTINE), ("urgent", STAT)]
    patience = {STAT: 0.0, ROUTINE: 0.05, BACKFILL: 0.1}
    assert asyncio.run(served(arrivals, pause=0.2, patience=patience)) == ["backfill", "routine", "urgent"]


def test_a_source_that_holds_its_quota_is_passed_over_while_others_wait():
    """A scanner that sends a hundred studies does not keep the next one out, and no place stays empty for it."""

    async def once():
        places: Turns[int] = Turns(quota=2)
        for number in range(3):
            places.add(number)
        held = [await places.take(300, "busy") for _ in range(3)]  # nobody else waits: a third is fine
        order: list[str] = []

        async def visit(name, source):
            await places.take(300, source)
            order.append(name)

        tasks = [asyncio.create_task(visit(f"busy {each}", "busy")) for each in range(2)]
        tasks.append(asyncio.create_task(visit("quiet", "quiet")))
        await asyncio.sleep(0)
        for place in held:
            places.give(place, "busy")
        await asyncio.gather(*tasks)
        return order

    assert asyncio.run(once()) == ["quiet", "busy 0", "busy 1"]


def test_who_gives_up_loses_no_place():
    """A cancelled wait passes its turn on, even in the moment in which it came."""

    async def once():
        places: Turns[str] = Turns()
        waiting = [asyncio.create_task(places.take(300)) for _ in range(3)]
        await asyncio.sleep(0)
        assert places.waiting == 3
        waiting[0].cancel()
        await asyncio.sleep(0)
        places.add("place")
        waiting[1].cancel()  # its turn has come, and it does not know yet
        return await asyncio.wait_for(waiting[2], 1)

    assert asyncio.run(once()) == "place"


def test_a_free_place_needs_no_wait():
    """Nobody queues without need."""

    async def once():
        places: Turns[int] = Turns()
        for number in (1, 2):
            places.add(number)
        return await places.take(3600), await places.take(0), places.waiting, places.free

    assert asyncio.run(once()) == (1, 2, 0, 0)


def test_patience_grows_as_urgency_falls():
    """The order of the classes."""
    assert PATIENCE_SECONDS[STAT] < PATIENCE_SECONDS[ROUTINE] < PATIENCE_SECONDS[BACKFILL]
    assert set(PATIENCE_SECONDS) == set(pb.Priority.values())
    assert set(PRIORITY_NAMES.values()) == set(pb.Priority.values()) - {pb.PRIORITY_UNSPECIFIED}
    with pytest.raises(KeyError):
        PATIENCE_SECONDS[99]
