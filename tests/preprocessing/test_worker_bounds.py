"""What keeps a worker's process within its bounds, seen on a process of its own."""

import asyncio
import errno
import multiprocessing
import os
import signal
import time

import pytest

from services.common.errors import TRANSIENT, ArticulaError, RefusalCode, ServiceUnavailable
from services.common.volume import Plane
from services.preprocessing import worker
from services.preprocessing.pipeline import Job
from services.preprocessing.settings import PreprocessingSettings
from services.preprocessing.worker import Worker, WorkerPool, _bound_cpu, _outcome
from tests.preprocessing.test_service import files_of, requests, run
from tests.studies import STUDY, series


def compute_for_ever() -> None:
    """Body of a process that a decoder without end would make."""
    _bound_cpu(0)
    while True:
        pass


@pytest.mark.timeout(60)
def test_a_job_that_computes_without_end_is_ended_by_the_kernel():
    """Whatever Python or a codec does, the process dies by the signal for it."""
    process = multiprocessing.get_context("spawn").Process(target=compute_for_ever)
    process.start()
    process.join(50)
    assert process.exitcode == -signal.SIGXCPU


def test_a_killed_worker_is_dead_even_where_somebody_else_saw_it_die(tmp_path):
    """Two threads wait for a killed process and only one is told: the next study must not get the dead worker."""
    killed = Worker(PreprocessingSettings(triton="127.0.0.1:1", spool=tmp_path / "spool"), tmp_path)
    assert killed.alive
    process = killed._process.pid
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    killed.kill()
    assert not killed.alive


def test_no_place_is_lost_where_a_new_worker_can_not_be_started(tmp_path, monkeypatch):
    """Out of descriptors for a moment: each place that got lost would be one fewer, until everybody waits for ever."""
    failures = iter([OSError(errno.EMFILE, ""), OSError(errno.EAGAIN, "")])

    def scarce(*arguments):
        for failure in failures:
            raise failure
        return Worker(*arguments)

    async def body():
        pool = WorkerPool(PreprocessingSettings(triton="127.0.0.1:1", spool=tmp_path / "spool", workers=1))
        monkeypatch.setattr(worker, "Worker", scarce)
        monkeypatch.setattr(worker, "_AGAIN_SECONDS", 0.05)
        job = Job(STUDY, "d" * 64, tmp_path, (), deadline=time.monotonic() + 60)
        try:
            (only,) = pool._workers
            os.kill(only._process.pid, signal.SIGKILL)
            codes = []
            for _ in range(2):
                with pytest.raises(ArticulaError) as refused:
                    await asyncio.wait_for(pool.run(job, lambda *_: None), 30)
                codes.append(refused.value.code)
        finally:
            pool.close()
        return codes

    first, second = asyncio.run(body())
    assert first == RefusalCode.PROCESSING_CRASHED
    assert second != RefusalCode.PROCESSING_CRASHED
    assert next(failures, None) is None


def test_what_a_parser_warns_of_is_not_logged(tmp_path, capfd):
    """Pydicom quotes the value that it finds wanting; nobody may read it."""
    instances = series(Plane.SAGITTAL)
    bad = [each.replace(b"19450607", b"CANARY-X").replace(b"20250102", b"CANARYDT") for each in files_of(instances)]
    run(tmp_path, requests(bad))
    output = capfd.readouterr()
    assert "study answered" in output.out + output.err
    assert "CANARY" not in output.out + output.err


class Defective:
    """A pipeline that meets one error."""

    def __init__(self, defect: Exception) -> None:
        self._defect = defect

    def analyze(self, job, on_stage):  # noqa: ARG002 - the signature of the real one
        """Meet it."""
        raise self._defect


@pytest.mark.parametrize("trouble", [FileNotFoundError(errno.ENOENT, "gone"), OSError(errno.ENOSPC, "full")])
def test_trouble_of_the_spool_is_not_the_studys(trouble, capfd):
    """A disk that is full or away for a moment: the study may come back, and nobody blames it."""
    assert isinstance(_outcome(Defective(trouble), None, None), ServiceUnavailable)
    assert "spool can't be used" in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "defect", [OSError("19450607"), ZeroDivisionError("19450607"), MemoryError(), RecursionError()]
)
def test_an_unforeseen_exception_is_a_code_that_nobody_retries(defect, capfd):
    """The same bytes would meet it again; its text, which may quote the study, stays out of the log."""
    outcome = _outcome(Defective(defect), None, None)
    assert outcome.code == RefusalCode.PROCESSING_ERROR
    assert outcome.code not in TRANSIENT
    assert "19450607" not in "".join(capfd.readouterr())
