"""Metrics of processes that may be killed, scraped from the one process that outlives them.

A service's own process counts in memory, in ``SERVICE``. Worker processes count in files: ``counted_in`` names the
folder to a process about to be spawned, and ``collect_from`` adds up what lies there. So a killed worker loses nothing
that it counted, and its gauges leave with it. Labels are fixed vocabularies; nothing here can name a study.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"

SERVICE = CollectorRegistry()  # what the process itself counts
WORKERS = CollectorRegistry()  # what its workers count; scraped through their files alone

TRITON_WAITING = Gauge(
    "articula_triton_waiting_requests",
    "Requests sent to Triton and not yet answered.",
    registry=WORKERS,
    multiprocess_mode="livesum",
)
TRITON_SECONDS = Histogram(
    "articula_triton_request_seconds",
    "Wall clock of one request to Triton, its retries included.",
    ["model"],
    registry=WORKERS,
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60),
)
TRITON_BATCH = Histogram(
    "articula_triton_batch_size",
    "Members of one request as it was sent; Triton's own batcher merges requests further.",
    ["model"],
    registry=WORKERS,
    buckets=(1, 2, 4, 8),
)
TRITON_REJECTIONS = Counter(
    "articula_triton_rejections_total",
    "Requests that Triton did not answer with a result, after all retries, by reason.",
    ["reason"],
    registry=WORKERS,
)


def serve_metrics(host: str, port: int) -> None:
    """Serve ``/metrics`` in a thread; port 0 serves none."""
    if port:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a time stamp beside each counter that nobody asks for
        start_http_server(port, host, registry=SERVICE)


@contextmanager
def counted_in(folder: Path) -> Iterator[None]:
    """Processes spawned in the body count in files of this folder; this process goes on counting in memory."""
    before = os.environ.get(_FOLDER)
    os.environ[_FOLDER] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[_FOLDER]
        else:
            os.environ[_FOLDER] = before


@contextmanager
def collect_from(folder: Path) -> Iterator[None]:
    """Add what lies in the folder to this process's scrape while the body runs."""
    collector = MultiProcessCollector(None, path=str(folder))  # type: ignore[no-untyped-call]
    SERVICE.register(collector)
    try:
        yield
    finally:
        SERVICE.unregister(collector)


def forget_gauges_of(pid: int, folder: Path) -> None:
    """A process is gone: what it had in work is not in work any more."""
    mark_process_dead(pid, path=str(folder))  # type: ignore[no-untyped-call]
