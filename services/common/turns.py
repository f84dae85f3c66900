"""Whose turn it is: urgent studies first, but nobody waits for ever, and no source takes all places from the others.

A study that waits has a due time: its arrival plus the patience of its priority. The earliest due time goes first. So
an urgent study overtakes every routine one that came in the last minutes, and a routine one that waited longer
overtakes newcomers of any kind. A source that holds its quota of places is passed over while another one waits; where
none does, places are not left empty. No clock but the monotonic one is asked.
"""

import asyncio
import itertools
import time
from collections import Counter
from dataclasses import dataclass
from typing import Generic, TypeVar

Place = TypeVar("Place")


@dataclass(frozen=True, eq=False)
class _Waiter(Generic[Place]):
    due: float
    number: int  # arrival decides between equals
    source: str
    place: "asyncio.Future[Place]"


class Turns(Generic[Place]):
    """Hands out free places to those who wait, in the order of their due times. Used from one event loop only."""

    def __init__(self, *, quota: int = 0) -> None:
        self._quota = quota  # places of one source while others wait; 0: no bound
        self._free: list[Place] = []
        self._waiting: list[_Waiter[Place]] = []
        self._held: Counter[str] = Counter()
        self._count = itertools.count()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(not each.place.done() for each in self._waiting)

    @property
    def free(self) -> int:
        """How many places wait for somebody."""
        return len(self._free)

    async def take(self, patience_seconds: float, source: str = "") -> Place:
        """A free place, once it is this one's turn; cancelling gives the turn back."""
        if self._free:
            self._held[source] += 1
            return self._free.pop(0)
        future: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiter(time.monotonic() + patience_seconds, next(self._count), source, future))
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.give(future.result(), source)  # its turn had come in the same moment
            raise

    def give(self, place: Place, source: str = "") -> None:
        """Give a place back."""
        self.leave(source)
        self.add(place)

    def leave(self, source: str) -> None:
        """Count a place of this source no more; it may be gone for good."""
        self._held[source] -= 1

    def add(self, place: Place) -> None:
        """A place that nobody holds: the next who waits gets it."""
        self._waiting = [each for each in self._waiting if not each.place.done()]
        if not self._waiting:
            self._free.append(place)
            return
        chosen = min(self._waiting, key=lambda each: (self._over(each.source), each.due, each.number))
        self._waiting.remove(chosen)
        self._held[chosen.source] += 1
        chosen.place.set_result(place)

    def _over(self, source: str) -> bool:
        return bool(self._quota) and self._held[source] >= self._quota
