"""Run the forwarder: ``python -m services.forwarder``. The Orthanc plugin does; on Kubernetes it is a sidecar."""

import asyncio
import sys

import structlog

from services.common.metrics import serve_metrics
from services.common.pb.analysis_pb2_grpc import AnalysisStub
from services.common.server import until_stopped
from services.common.telemetry import configure_logging
from services.common.wire import open_channel
from services.forwarder.api import serve_pages
from services.forwarder.archive import Archive
from services.forwarder.desk import Desk
from services.forwarder.dispatch import Dispatcher
from services.forwarder.inputs import Inputs
from services.forwarder.ledger import Ledger
from services.forwarder.metrics import backlog_shown
from services.forwarder.settings import ForwarderSettings
from services.forwarder.sweep import Sweep
from services.viewer.feedback import Feedback


async def forward(settings: ForwarderSettings) -> None:
    """Sweep until a signal, or until the plugin's end of standard input closes."""
    ledger = Ledger(settings.ledger)
    serve_metrics(settings.metrics_host, settings.metrics_port)
    async with (
        Archive(settings) as archive,
        open_channel(settings.analysis, tls_folder=settings.tls_folder) as channel,
    ):
        stub = AnalysisStub(channel)  # type: ignore[no-untyped-call]
        dispatcher = Dispatcher(settings, archive, stub, ledger)
        sweep = Sweep(settings, archive, dispatcher, Inputs(archive, stub, ledger))
        stops = [asyncio.create_task(until_stopped()), asyncio.create_task(sweep.run())]
        if settings.pages_socket:
            desk = Desk(archive, stub, ledger, feedback=Feedback(settings.ledger.with_name("feedback.sqlite")))
            stops.append(asyncio.create_task(serve_pages(desk, settings.pages_socket, hint=sweep.hint)))
        if settings.lifeline:
            stops.append(asyncio.create_task(_lifeline(sweep)))
        structlog.get_logger().info("forwarding", lifeline=settings.lifeline)
        try:
            with backlog_shown(ledger.board.unfinished):
                done, _ = await asyncio.wait(stops, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in stops:
                task.cancel()
            await dispatcher.stop()
            ledger.close()


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
