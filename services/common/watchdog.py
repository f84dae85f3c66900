"""Loops say that they are alive; a process of which one has gone silent ends, so that it is started again.

A loop that hangs is worse than one that dies: nobody restarts it. Each promises to be heard every so many seconds, and
a thread of its own listens, which no blocked event loop can silence. Ending is safe at any moment: what must survive is
on disk before it is acted on.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger()

EXIT_STATUS = 70  # EX_SOFTWARE
_LISTEN_SECONDS = 1.0
_EVENT_LOOP_SECONDS = 60.0


class Watchdog:
    """Knows when each loop was heard last, on the monotonic clock. Used from any thread."""

    def __init__(self) -> None:
        self._promised: dict[str, float] = {}
        self._heard: dict[str, float] = {}

    def expect(self, loop: str, *, seconds: float) -> Callable[[], None]:
        """A loop promises to call the returned function at least so often."""
        self._promised[loop] = seconds

        def beat() -> None:
            self._heard[loop] = time.monotonic()

        beat()
        return beat

    def silent(self) -> list[str]:
        """Loops that broke their promise."""
        now = time.monotonic()
        return [loop for loop, seconds in self._promised.items() if now - self._heard[loop] > seconds]

    def guard(self, *, end: Callable[[int], object] = os._exit) -> None:
        """Listen in a thread from now on; a silent loop ends the process."""
        threading.Thread(target=self._listen, args=(end,), daemon=True, name="watchdog").start()

    async def keep_event_loop(self) -> None:
        """Beat for the running event loop until cancelled."""
        beat = self.expect("event loop", seconds=_EVENT_LOOP_SECONDS)
        while True:
            beat()
            await asyncio.sleep(_LISTEN_SECONDS)

    def _listen(self, end: Callable[[int], object]) -> None:
        while not (silent := self.silent()):
            time.sleep(_LISTEN_SECONDS)
        log.critical("a loop is silent, the process ends", loops=silent)
        end(EXIT_STATUS)
