"""Urgent first, nobody for ever."""

import asyncio

import pytest

from services.common.pb import analysis_pb2 as pb
from services.preprocessing.turns import PATIENCE_SECONDS, Turns

STAT, ROUTINE, BACKFILL = pb.PRIORITY_STAT, pb.PRIORITY_ROUTINE, pb.PRIORITY_BACKFILL


async def served(arrivals, *, pause: float = 0.0) -> list[str]:
    """The order in which those who came one after the other get the only place."""
    places: Turns[str] = Turns()
    places.give("place")
    first = await places.take(ROUTINE)
    order: list[str] = []

    async def visit(name, priority):
        place = await places.take(priority)
        order.append(name)
        places.give(place)

    tasks = []
    for name, priority in arrivals:
        tasks.append(asyncio.create_task(visit(name, priority)))
        await asyncio.sleep(pause)
    places.give(first)
    await asyncio.gather(*tasks)
    return order


def test_an_urgent_study_overtakes_all_that_wait():
    """STAT, then routine in order of arrival, then backfill."""
    arrivals = [("old", BACKFILL), ("a", ROUTINE), ("b", ROUTINE), ("now", STAT), ("c", pb.PRIORITY_UNSPECIFIED)]
    assert asyncio.run(served(arrivals)) == ["now", "a", "b", "c", "old"]


def test_a_study_that_waited_long_is_overtaken_no_more(monkeypatch):
    """Patience ends: a routine study older than the difference goes before a newcomer that is urgent."""
    monkeypatch.setitem(PATIENCE_SECONDS, ROUTINE, 0.05)
    monkeypatch.setitem(PATIENCE_SECONDS, BACKFILL, 0.1)
    arrivals = [("backfill", BACKFILL), ("routine", ROUTINE), ("urgent", STAT)]
    assert asyncio.run(served(arrivals, pause=0.2)) == ["backfill", "routine", "urgent"]


def test_who_gives_up_loses_no_place():
    """A cancelled wait passes its turn on, even in the moment in which it came."""

    async def once():
        places: Turns[str] = Turns()
        waiting = [asyncio.create_task(places.take(ROUTINE)) for _ in range(3)]
        await asyncio.sleep(0)
        assert places.waiting == 3
        waiting[0].cancel()
        await asyncio.sleep(0)
        places.give("place")
        waiting[1].cancel()  # its turn has come, and it does not know yet
        return await asyncio.wait_for(waiting[2], 1)

    assert asyncio.run(once()) == "place"


def test_a_free_place_needs_no_wait():
    """Nobody queues without need."""

    async def once():
        places: Turns[int] = Turns()
        for number in (1, 2):
            places.give(number)
        return await places.take(BACKFILL), await places.take(STAT), places.waiting

    assert asyncio.run(once()) == (1, 2, 0)


def test_patience_grows_as_urgency_falls():
    """The order of the classes."""
    assert PATIENCE_SECONDS[STAT] < PATIENCE_SECONDS[ROUTINE] < PATIENCE_SECONDS[BACKFILL]
    assert set(PATIENCE_SECONDS) == set(pb.Priority.values())
    with pytest.raises(KeyError):
        PATIENCE_SECONDS[99]
