"""Start, serve and stop a gRPC server as one context manager.

SIGTERM or Ctrl-C asks for a graceful stop: no new calls, those in work get ``drain_seconds``. A second signal stops at
once.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from services.common.tls import server_credentials
from services.common.wire import CHANNEL_OPTIONS

_SERVER_OPTIONS = (
    *CHANNEL_OPTIONS,
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 20_000),
    ("grpc.so_reuseport", 0),  # a second server on the port must fail, not share it
)


def new_server() -> grpc.aio.Server:
    """A server with the options both ends agree on; add servicers to it, then hand it to ``serving``."""
    return grpc.aio.server(options=_SERVER_OPTIONS)


@asynccontextmanager
async def serving(
    server: grpc.aio.Server, listen: str, *, drain_seconds: float, tls_folder: Path | None = None
) -> AsyncIterator[str]:
    """Serve while the body runs; yields the address bound, with the port that was picked for port 0."""
    host = listen.rpartition(":")[0]
    if tls_folder:
        port = server.add_secure_port(listen, server_credentials(tls_folder))
    else:
        port = server.add_insecure_port(listen)
    await server.start()
    try:
        yield f"{host}:{port}"
    finally:
        await server.stop(drain_seconds)


async def until_stopped() -> None:
    """Return at the first SIGTERM or SIGINT; the second one cancels whatever still runs."""
    stopped = asyncio.Event()
    main_task = asyncio.current_task()

    def on_signal() -> None:
        if stopped.is_set() and main_task:
            main_task.cancel()
        stopped.set()

    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, on_signal)
    await stopped.wait()
