"""The fake service in a loop of its own, for tests that are not asynchronous themselves."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.fakes.analysis_server import FakeAnalysis, fake_analysis


@contextmanager
def analysis_in_thread(servicer: FakeAnalysis, port: int) -> Iterator[None]:
    """Serve the fake on a port while the body runs."""
    stop, loop, up = asyncio.Event(), asyncio.new_event_loop(), threading.Event()

    async def serve():
        async with fake_analysis(servicer, f"127.0.0.1:{port}"):
            up.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    up.wait(10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
