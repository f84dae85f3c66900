"""Studies that arrive at a rate, sent through the real client as preprocessing sends them, and counted as it counts."""

import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from services.common.errors import ArticulaError
from services.common.tensors import KNEE_CLASSIFICATION, KNEE_SEGMENTATION
from services.common.triton import TritonClient
from tools.stack.plan import free_port
from tools.stack.probes import zeros

_SEGMENTATION, _CLASSIFICATION = zeros(KNEE_SEGMENTATION), zeros(KNEE_CLASSIFICATION)
_PLANES = 3
_STUDY_SECONDS = 60.0
_ATTEMPTS = 3  # of a study, as the forwarder has them


@dataclass
class Endpoints:
    """What DNS says: addresses of the pods that are ready and do not leave, as callers heard them last."""

    name: str = ""


@dataclass
class Load:
    """Callers with so many workers; each study is three requests at once and then one."""

    endpoints: Endpoints
    workers: int
    answered: list[tuple[float, float]] = field(default_factory=list)  # (arrival, seconds) on the monotonic clock
    failures: list[str] = field(default_factory=list)
    retried: int = 0
    metrics_port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        registry = CollectorRegistry()
        self._in_work = Gauge("articula_studies_in_work", "Studies not yet answered.", registry=registry)
        self._studies = Counter("articula_studies_total", "Studies answered.", ["outcome"], registry=registry)
        self._studies.labels("findings")
        self._server, _ = start_http_server(self.metrics_port, "127.0.0.1", registry=registry)
        self._waiting: queue.Queue[float | None] = queue.Queue()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(self.workers)]
        for thread in self._threads:
            thread.start()

    def arrive(self, count: int) -> None:
        """So many studies are complete now."""
        for _ in range(count):
            self._in_work.inc()
            self._waiting.put(time.monotonic())

    def close(self) -> None:
        """Finish what has arrived."""
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()
        self._server.shutdown()

    def _work(self) -> None:
        name, triton = self.endpoints.name, TritonClient(self.endpoints.name, timeout_seconds=_STUDY_SECONDS)
        while (arrived := self._waiting.get()) is not None:
            if name != self.endpoints.name:  # a connection ended by its age resolves the name anew
                triton.close()
                name, triton = self.endpoints.name, TritonClient(self.endpoints.name, timeout_seconds=_STUDY_SECONDS)
            self._read(triton, arrived)
        triton.close()

    def _read(self, triton: TritonClient, arrived: float) -> None:
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                with ThreadPoolExecutor(_PLANES) as planes:
                    list(planes.map(lambda _: triton.infer(KNEE_SEGMENTATION, _SEGMENTATION), range(_PLANES)))
                triton.infer(KNEE_CLASSIFICATION, _CLASSIFICATION)
            except ArticulaError as error:
                if attempts_left:
                    self.retried += 1
                    continue
                self.failures.append(f"{error} ({error.__cause__})")
                self._studies.labels("rejected").inc()
            else:
                self.answered.append((arrived, time.monotonic() - arrived))
                self._studies.labels("findings").inc()
            break
        self._in_work.dec()


def arrivals(rate: float, seconds: float, rng: np.random.Generator) -> int:
    """How many come by chance in that time."""
    return int(rng.poisson(rate * seconds))
