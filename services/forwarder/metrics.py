"""What the forwarder counts: the backlog, its age, and how long people wait. Nothing here can name a study."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from services.common.metrics import SERVICE

PRIORITIES = ("stat", "routine", "backfill")

STUDY_SECONDS = Histogram(
    "articula_study_seconds",
    "Wall clock from a study's last slice to its result being visible in the archive.",
    registry=SERVICE,
    buckets=(5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1800),
)

Unfinished = Callable[[], Iterable[tuple[str, float]]]


class Backlog(Collector):
    """Asks, at each scrape, for (priority, known since) of every unfinished study; seconds since 1970."""

    def __init__(self, unfinished: Unfinished) -> None:
        self._unfinished = unfinished

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Both gauges from one look, so that they never contradict each other."""
        studies = list(self._unfinished())
        waiting = Counter(priority for priority, _ in studies)
        backlog = GaugeMetricFamily("articula_backlog_studies", "Unfinished studies.", labels=["priority"])
        for priority in PRIORITIES:
            backlog.add_metric([priority], waiting[priority])
        yield backlog
        now = time.time()
        oldest = max((now - since for _, since in studies), default=0.0)
        yield GaugeMetricFamily(
            "articula_oldest_unfinished_study_seconds", "Age of the oldest unfinished study.", max(oldest, 0.0)
        )


@contextmanager
def backlog_shown(unfinished: Unfinished) -> Iterator[None]:
    """Scrapes show this backlog while the body runs."""
    backlog = Backlog(unfinished)
    SERVICE.register(backlog)
    try:
        yield
    finally:
        SERVICE.unregister(backlog)
