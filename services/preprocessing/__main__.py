"""Run the preprocessing service: ``python -m services.preprocessing``."""

import asyncio

import structlog

from services.common.metrics import serve_metrics
from services.common.pb.analysis_pb2_grpc import add_AnalysisServicer_to_server
from services.common.server import new_server, serving, until_stopped
from services.common.telemetry import configure_logging
from services.common.watchdog import Watchdog
from services.preprocessing.servicer import AnalysisServicer
from services.preprocessing.settings import PreprocessingSettings
from services.preprocessing.worker import WorkerPool


async def serve(settings: PreprocessingSettings) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    log = structlog.get_logger()
    serve_metrics(settings.metrics_host, settings.metrics_port)
    pool = WorkerPool(settings)
    server = new_server()
    add_AnalysisServicer_to_server(AnalysisServicer(settings, pool), server)  # type: ignore[no-untyped-call]
    try:
        async with serving(
            server, settings.listen, drain_seconds=settings.drain_seconds, tls_folder=settings.tls_folder
        ) as address:
            log.info("listening", address=address, workers=settings.workers, tls=settings.tls_folder is not None)
            watchdog = Watchdog()
            beating = asyncio.create_task(watchdog.keep_event_loop())
            await asyncio.sleep(0)
            watchdog.guard()
            await until_stopped()
            log.info("draining", seconds=settings.drain_seconds)
            beating.cancel()
    finally:
        pool.close()


def main() -> None:
    """Entry point."""
    settings = PreprocessingSettings()
    configure_logging(settings, service="preprocessing")
    asyncio.run(serve(settings))


if __name__ == "__main__":
    main()
