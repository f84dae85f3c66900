"""One supervised process: started, probed, started again when it dies, stopped for good."""

import asyncio
import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 30.0
_STEADY_SECONDS = 60.0

Probe = Callable[[], bool]


@dataclass(frozen=True)
class Service:
    """What to run, and how to know that it works. ``alive`` is asked every ``alive_seconds`` where it is given."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    ready: Probe
    ready_seconds: float = 120.0
    alive: Probe | None = None
    alive_seconds: float = 10.0
    grace_seconds: float = 20.0


class StartFailed(Exception):
    """A service did not become ready; the text names its log."""


@dataclass
class Supervised:
    """A service's process now; an asyncio object."""

    service: Service
    logs: Path
    starts: int = 0
    _process: asyncio.subprocess.Process | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        """The file that takes the process's output."""
        return self.logs / f"{self.service.name}.log"

    async def start(self) -> None:
        """Start the process and wait until it works; raises ``StartFailed``."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.service.command,
                env=dict(self.service.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        self.starts += 1
        deadline = time.monotonic() + self.service.ready_seconds
        while not await asyncio.to_thread(self.service.ready):
            if self._process.returncode is not None or time.monotonic() > deadline:
                await self.stop()
                message = f"{self.service.name} did not start; see {self.log}"
                raise StartFailed(message)
            await asyncio.sleep(_POLL_SECONDS)

    async def keep_alive(self) -> None:
        """Start the process again whenever it ends or stops answering, after a growing pause; until cancelled."""
        pause = 0.5
        while True:
            started = time.monotonic()
            await self._until_dead()
            await self.stop()
            pause = 0.5 if time.monotonic() - started > _STEADY_SECONDS else min(2 * pause, _LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(pause)
            with contextlib.suppress(StartFailed):
                await self.start()

    async def stop(self) -> None:
        """SIGTERM, then after the grace SIGKILL to everything it started."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), self.service.grace_seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()

    async def _until_dead(self) -> None:
        assert self._process is not None  # noqa: S101 - only called after start
        ended = asyncio.create_task(self._process.wait())
        try:
            while not ended.done():
                await asyncio.wait({ended}, timeout=self.service.alive_seconds)
                if not ended.done() and self.service.alive and not await asyncio.to_thread(self.service.alive):
                    return
        finally:
            ended.cancel()


def _die_with_parent() -> None:
    """Let the kernel end the child when the supervisor is killed, so that nothing stays behind."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
