"""A TCP proxy that misbehaves on command: late, stalled, cut, reset, trickling, or not there at all.

One event loop in one thread serves all proxies of a site. A fault applies to open and to new connections until it is
healed.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Self

_CHUNK = 64 * 1024
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Trouble:
    """What a connection suffers; the default is nothing."""

    refuse: bool = False
    stall: bool = False
    delay_seconds: float = 0.0  # for each chunk, plus or minus half
    trickle_bytes: int = 0  # at most so many bytes at once, a hundred times a second
    cut_after_bytes: int = 0  # both directions together, then a reset


@dataclass
class Proxy:
    """One hop; ``port`` is where its clients connect."""

    upstream: tuple[str, int]
    rng: random.Random
    trouble: Trouble = field(default_factory=Trouble)
    port: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _passed: int = 0

    async def serve(self) -> None:
        """Listen on a free port of loopback."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]

    async def reset(self) -> None:
        """End every open connection with a reset."""
        for writer in list(self._writers):
            _reset(writer)

    async def suffer(self, trouble: Trouble) -> None:
        """From now on; bytes are counted anew."""
        self.trouble = trouble
        self._passed = 0

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.trouble.refuse:
            _reset(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.upstream)
        except OSError:
            _reset(writer)
            return
        self._writers |= {writer, far_writer}
        try:
            with contextlib.suppress(asyncio.CancelledError):  # the loop ends
                await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        finally:
            self._writers -= {writer, far_writer}
            for each in (writer, far_writer):
                each.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while data := await reader.read(self.trouble.trickle_bytes or _CHUNK):
                await self._hold(len(data), writer)
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()

    async def _hold(self, size: int, writer: asyncio.StreamWriter) -> None:
        self._passed += size
        if self.trouble.cut_after_bytes and self._passed > self.trouble.cut_after_bytes:
            self._passed = 0
            await self.reset()
            raise ConnectionResetError
        if self.trouble.trickle_bytes:
            await asyncio.sleep(0.01)
        if self.trouble.delay_seconds:
            await asyncio.sleep(self.trouble.delay_seconds * self.rng.uniform(0.5, 1.5))
        while self.trouble.stall and not writer.is_closing():  # noqa: ASYNC110 - the next trouble is no event
            await asyncio.sleep(0.05)


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, AttributeError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


class ProxyLoop:
    """The thread in which all proxies live; a context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="proxies")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._cancel_all(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _cancel_all(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def call(self, work: Coroutine[Any, Any, None]) -> None:
        """Run on the proxies' loop and wait for it."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)
