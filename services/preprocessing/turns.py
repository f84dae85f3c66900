"""Whose turn it is: urgent studies first, but nobody waits for ever.

A study that waits has a due time: its arrival plus the patience of its priority. The earliest due time goes first. So
an urgent study overtakes every routine one that came in the last minutes, and a routine one that waited longer
overtakes newcomers of any kind. No clock but the monotonic one is asked.
"""

import asyncio
import heapq
import itertools
import time
from typing import Generic, TypeVar

from services.common.pb import analysis_pb2 as pb

Place = TypeVar("Place")

PATIENCE_SECONDS = {
    pb.PRIORITY_STAT: 0.0,
    pb.PRIORITY_ROUTINE: 300.0,
    pb.PRIORITY_UNSPECIFIED: 300.0,
    pb.PRIORITY_BACKFILL: 3600.0,
}


class Turns(Generic[Place]):
    """Hands out free places to those who wait, in the order of their due times. Used from one event loop only."""

    def __init__(self) -> None:
        self._free: list[Place] = []
        self._waiting: list[tuple[float, int, asyncio.Future[Place]]] = []
        self._count = itertools.count()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(not future.done() for *_, future in self._waiting)

    async def take(self, priority: pb.Priority) -> Place:
        """A free place, once it is this one's turn; cancelling gives the turn back."""
        if self._free:
            return self._free.pop(0)
        future: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        due = time.monotonic() + PATIENCE_SECONDS[priority]
        heapq.heappush(self._waiting, (due, next(self._count), future))
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.give(future.result())  # its turn had come in the same moment
            raise

    def give(self, place: Place) -> None:
        """A place is free: the next who waits gets it."""
        while self._waiting:
            *_, future = heapq.heappop(self._waiting)
            if not future.done():
                future.set_result(place)
                return
        self._free.append(place)
