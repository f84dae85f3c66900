"""Run the forwarder: ``python -m services.forwarder``. The Orthanc plugin does; on Kubernetes it is a sidecar."""

import asyncio
import contextlib
import sys

import structlog

from services.common.errors import ServiceUnavailable
from services.common.metrics import serve_metrics
from services.common.pb.analysis_pb2_grpc import AnalysisStub
from services.common.server import until_stopped
from services.common.telemetry import configure_logging
from services.common.watchdog import Watchdog
from services.common.wire import open_channel
from services.forwarder.api import serve_pages
from services.forwarder.archive import Archive
from services.forwarder.ledger import Ledger, only_one
from services.forwarder.metrics import backlog_shown
from services.forwarder.parts import Parts, assemble
from services.forwarder.settings import ForwarderSettings
from services.forwarder.sweep import Sweep


async def forward(settings: ForwarderSettings) -> None:
    """Sweep until a signal, or until the plugin's end of standard input closes; then drain."""
    serve_metrics(settings.metrics_host, settings.metrics_port)
    with only_one(settings.ledger), contextlib.closing(Ledger(settings.ledger)) as ledger:
        async with (
            Archive(settings) as archive,
            open_channel(settings.analysis, tls_folder=settings.tls_folder) as channel,
        ):
            stub = AnalysisStub(channel)  # type: ignore[no-untyped-call]
            await _run(settings, assemble(settings, archive, stub, ledger))


async def _run(settings: ForwarderSettings, parts: Parts) -> None:
    watchdog = Watchdog()
    parts.sweep.beat = watchdog.expect("sweep", seconds=settings.silence_seconds + settings.sweep_seconds)
    loops = [until_stopped(), parts.sweep.run(), watchdog.keep_event_loop()]
    if settings.pages_socket:
        loops.append(serve_pages(parts.desk, settings.pages_socket, hint=parts.sweep.hint))
    if settings.lifeline:
        loops.append(_lifeline(parts.sweep))
    tasks = [asyncio.create_task(each) for each in loops]
    watchdog.guard()
    structlog.get_logger().info("forwarding", lifeline=settings.lifeline)
    try:
        with backlog_shown(parts.ledger.board.unfinished):
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await parts.dispatcher.stop(drain_seconds=settings.drain_seconds)
        with contextlib.suppress(ServiceUnavailable):
            await parts.leadership.release()


async def _lifeline(sweep: Sweep) -> None:
    """Every line on standard input is a hint; its end is the plugin's end."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while await lines.readline():
        sweep.hint()


def main() -> None:
    """Entry point."""
    settings = ForwarderSettings()
    configure_logging(settings, service="forwarder")
    asyncio.run(forward(settings))


if __name__ == "__main__":
    main()
