"""Worker processes that may be killed at any moment without harm to anyone but their own study.

Each worker is a spawned process with one pipe, a bound on its memory and no credentials. It takes one job at a time and
answers with progress and then one outcome. A worker that dies, hangs or exceeds its time is killed and replaced; the
study it had gets a coded error, the others notice nothing.
"""

import asyncio
import contextlib
import logging
import math
import multiprocessing
import resource
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import cv2
import structlog

from services.common.errors import ArticulaError, RefusalCode, ServiceUnavailable, StudyRefused
from services.common.metrics import collect_from, counted_in, forget_gauges_of
from services.common.telemetry import bind_study, configure_logging
from services.common.turns import Turns
from services.common.wire import PATIENCE_SECONDS
from services.preprocessing.pipeline import Analysis, Job, Pipeline
from services.preprocessing.settings import PreprocessingSettings

OnProgress = Callable[[str, int, int], None]
_AGAIN_SECONDS = 1.0
_SPAWN = multiprocessing.get_context("spawn")  # fork and gRPC don't mix
log = structlog.get_logger()


@dataclass(frozen=True)
class _Progress:
    stage: str
    done: int
    total: int


class Worker:
    """One process and this side's end of its pipe."""

    def __init__(self, settings: PreprocessingSettings, counts: Path) -> None:
        self._counts = counts
        self._killed = False
        self._connection, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=serve_jobs, args=(theirs, settings), daemon=True)
        with counted_in(counts):
            self._process.start()
        theirs.close()

    @property
    def alive(self) -> bool:
        """Whether the process can take a job.

        Two threads may wait for the end of a killed process; who comes second is not told and would take it for alive.
        """
        return not self._killed and self._process.is_alive()

    def run(self, job: Job, on_progress: OnProgress, *, seconds: float) -> Analysis:
        """Send a job and wait for its outcome; blocks, so call it in a thread.

        Raises what the job raised, or ``StudyRefused`` with ``PROCESSING_CRASHED`` or ``PROCESSING_TIMEOUT``.
        """
        deadline = time.monotonic() + seconds
        try:
            self._connection.send(job)
            while self._connection.poll(max(deadline - time.monotonic(), 0.0)):
                answer = self._connection.recv()
                if isinstance(answer, _Progress):
                    on_progress(answer.stage, answer.done, answer.total)
                    continue
                return _unwrap(answer)
        except (EOFError, OSError) as error:
            self.kill()  # its pipe may close before the process counts as dead
            raise StudyRefused(RefusalCode.PROCESSING_CRASHED) from error
        self.kill()
        raise StudyRefused(RefusalCode.PROCESSING_TIMEOUT)

    def kill(self) -> None:
        """End the process at once; a blocked ``run`` then raises."""
        self._killed = True
        self._process.kill()
        self._process.join()
        if self._process.pid is not None:
            forget_gauges_of(self._process.pid, self._counts)
        with contextlib.suppress(OSError):
            self._connection.close()


class WorkerPool:
    """A fixed number of workers, each of which goes to whose turn it is. Used from one event loop only."""

    def __init__(self, settings: PreprocessingSettings) -> None:
        self._settings = settings
        self._turns: Turns[Worker] = Turns(quota=settings.workers_per_source)
        self._workers: set[Worker] = set()
        # a thread for each worker: in asyncio's own pool they would keep other calls waiting on a machine of few cores
        self._threads = ThreadPoolExecutor(settings.workers, thread_name_prefix="worker")
        self._open = contextlib.ExitStack()
        self._counts = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="articula-metrics-")))
        self._open.enter_context(collect_from(self._counts))
        self._closed = False
        for _ in range(settings.workers):
            self._add()

    async def run(self, job: Job, on_progress: OnProgress) -> Analysis:
        """Run a job once a worker is free for it; cancelling this call kills that worker and so stops the work."""
        worker = await self._turns.take(PATIENCE_SECONDS[job.priority], job.source)
        loop = asyncio.get_running_loop()

        def forward(stage: str, done: int, total: int) -> None:
            loop.call_soon_threadsafe(on_progress, stage, done, total)

        try:
            seconds = min(self._settings.study_seconds, max(job.deadline - time.monotonic(), 0.0))
            return await loop.run_in_executor(self._threads, partial(worker.run, job, forward, seconds=seconds))
        except asyncio.CancelledError:
            worker.kill()
            raise
        finally:
            self._turns.leave(job.source)
            self._release(worker)

    def close(self) -> None:
        """Kill all workers."""
        self._closed = True
        for worker in self._workers:
            worker.kill()
        self._workers.clear()
        self._threads.shutdown(wait=False)  # a killed worker ends its thread's wait
        self._open.close()

    def _add(self) -> None:
        worker = Worker(self._settings, self._counts)
        self._workers.add(worker)
        self._turns.add(worker)

    def _release(self, worker: Worker) -> None:
        if self._closed:
            return
        if worker.alive:
            self._turns.add(worker)
            return
        log.warning("worker replaced")
        self._workers.discard(worker)
        try:
            worker.kill()
        finally:
            self._fill()

    def _fill(self) -> None:
        """Start what is missing; where the machine lets no process start, again in a moment, lest places get lost."""
        while not self._closed and len(self._workers) < self._settings.workers:
            try:
                self._add()
            except OSError as error:
                log.critical("no worker can be started", error=type(error).__name__)
                asyncio.get_running_loop().call_later(_AGAIN_SECONDS, self._fill)
                return


def serve_jobs(connection: Connection, settings: PreprocessingSettings) -> None:
    """Body of a worker process: take jobs until the other end closes."""
    resource.setrlimit(resource.RLIMIT_AS, (settings.worker_memory_bytes, settings.worker_memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold patient data
    configure_logging(settings, service="preprocessing-worker")
    warnings.simplefilter("ignore")  # pydicom quotes the values it warns of
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    cv2.setNumThreads(1)  # the other cores have workers of their own
    with Pipeline(settings) as pipeline, contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            job: Job = connection.recv()
            _bound_cpu(settings.study_cpu_seconds)
            bind_study(job.study_instance_uid, settings.log_key)
            connection.send(_outcome(pipeline, job, connection))


def _bound_cpu(seconds: int) -> None:
    """The kernel ends this process where its next job computes longer: a decoder may loop without end."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time()) + seconds, hard))


def _outcome(pipeline: Pipeline, job: Job, connection: Connection) -> Analysis | ArticulaError:
    """Run one job; every exception becomes a typed value, named in the log by its type only."""
    try:
        return pipeline.analyze(job, lambda stage, done, total: connection.send(_Progress(stage, done, total)))
    except ArticulaError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a defect of ours must not take the worker's other studies along
        if isinstance(error, OSError) and error.errno:  # the kernel's, so of the machine: the spool is full or away
            log.warning("spool can't be used", error=type(error).__name__)
            return ServiceUnavailable("the spool can't be used")
        where = traceback.extract_tb(error.__traceback__)[-1]
        # neither the text nor the traceback's values: both may quote the study
        log.critical("unexpected error", error=type(error).__name__, where=f"{where.filename}:{where.lineno}")
        return StudyRefused(RefusalCode.PROCESSING_ERROR)


def _unwrap(answer: object) -> Analysis:
    if isinstance(answer, ArticulaError):
        raise answer
    assert isinstance(answer, Analysis)  # noqa: S101 - the other end of the pipe is our own code
    return answer
