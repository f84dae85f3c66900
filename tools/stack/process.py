"""One supervised process: started, probed, started again when it dies, stopped for good."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tools.stack.guard import Guard

_POLL_SECONDS = 0.2
_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 30.0
_STEADY_SECONDS = 60.0
_SICK_GRACE_SECONDS = 5.0  # a sick process may take long to stop, and what it still does is lost anyway

Probe = Callable[[], bool]
ProcessProbe = Callable[[int], bool]


@dataclass(frozen=True)
class Service:
    """What to run, and how to know that it works.

    ``alive`` gets the process id and is asked every ``alive_seconds``; ``prepare`` runs before each start.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    ready: Probe
    ready_seconds: float = 120.0
    alive: ProcessProbe | None = None
    alive_seconds: float = 10.0
    grace_seconds: float = 20.0
    prepare: Callable[[], None] | None = None


class StartFailed(Exception):
    """A service did not become ready; the text names its log."""


@dataclass
class Supervised:
    """A service's process now; an asyncio object."""

    service: Service
    logs: Path
    guard: Guard
    starts: int = 0
    _process: asyncio.subprocess.Process | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        """The file that takes the process's output."""
        return self.logs / f"{self.service.name}.log"

    @property
    def pid(self) -> int | None:
        """The process id, also of a process that has just ended; None before the first start."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the process and wait until it works; raises ``StartFailed``."""
        try:
            process = await self._spawn()
        except OSError as error:
            message = f"{self.service.name} did not start: {error}"
            raise StartFailed(message) from error
        deadline = time.monotonic() + self.service.ready_seconds
        while not await asyncio.to_thread(self.service.ready):
            if process.returncode is not None or time.monotonic() > deadline:
                await self.stop()
                message = f"{self.service.name} did not start; see {self.log}"
                raise StartFailed(message)
            await asyncio.sleep(_POLL_SECONDS)

    async def keep_alive(self) -> None:
        """Start the process again whenever it ends or stops answering, after a growing pause; until cancelled."""
        pause = _SHORTEST_PAUSE_SECONDS
        while True:
            started = time.monotonic()
            await self._until_dead()
            await self.stop(grace_seconds=min(_SICK_GRACE_SECONDS, self.service.grace_seconds))
            steady = time.monotonic() - started > _STEADY_SECONDS
            pause = _SHORTEST_PAUSE_SECONDS if steady else min(2 * pause, _LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(pause)
            with contextlib.suppress(StartFailed):
                await self.start()

    async def stop(self, *, grace_seconds: float | None = None) -> None:
        """SIGTERM, then after the grace (the service's own by default) SIGKILL to everything it started."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), grace_seconds or self.service.grace_seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        self.guard.forget(process.pid)
        self._process = None

    async def _spawn(self) -> asyncio.subprocess.Process:
        if self.service.prepare:
            self.service.prepare()
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.service.command,
                env=dict(self.service.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # its own group: Ctrl-C is ours to pass on, and in order
            )
        self.guard.watch(self._process.pid)
        self.starts += 1
        return self._process

    async def _until_dead(self) -> None:
        """Return when the process has ended or its liveness probe says no."""
        if self._process is None:
            return  # the last start failed
        ended = asyncio.create_task(self._process.wait())
        alive = self.service.alive
        try:
            while not ended.done():
                await asyncio.wait({ended}, timeout=self.service.alive_seconds)
                if not ended.done() and alive and not await asyncio.to_thread(alive, self._process.pid):
                    return
        finally:
            ended.cancel()
