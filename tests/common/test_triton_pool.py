"""Several real Tritons behind one name: one is killed, one drained, one comes new, and no request is lost."""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc

from services.common.errors import ServiceUnavailable
from services.common.tensors import KNEE_CLASSIFICATION
from services.common.triton import TritonClient
from tests.common.test_triton import both, needs_triton, real_triton, until
from tests.faults.tiny_models import build_repository
from tools.stack.probes import triton_ready

THREADS = 3
INPUTS = {  # 6 MiB: larger than what gRPC keeps for a retry unless it is told to
    "volumes": np.full((3, 32, 256, 256), 200, np.uint8),
    "slice_mask": np.ones((3, 32), np.uint8),
    "region": np.zeros((3, 4), np.float32),
}


class Load:
    """Threads that ask one after the other, and what came of it."""

    def __init__(self, triton: TritonClient) -> None:
        self._triton = triton
        self._stopped = threading.Event()
        self.answered = 0
        self.failures: list[str] = []

    def ask(self) -> None:
        """Until told to stop; every answer is looked at."""
        while not self._stopped.is_set():
            try:
                logits = self._triton.infer(KNEE_CLASSIFICATION, INPUTS)["logits"]
            except ServiceUnavailable as error:
                self.failures.append(str(error))
                continue
            if not logits[0] > 0 > logits[1]:
                self.failures.append("a wrong answer")
            self.answered += 1

    def more(self, count: int) -> bool:
        """Wait for so many more answers."""
        wanted = self.answered + count
        return until(lambda: self.answered >= wanted, 120)

    @contextmanager
    def running(self) -> Iterator["Load"]:
        """Ask while the body runs."""
        threads = [threading.Thread(target=self.ask) for _ in range(THREADS)]
        for each in threads:
            each.start()
        try:
            yield self
        finally:
            self._stopped.set()
            for each in threads:
                each.join()


@pytest.mark.triton
@needs_triton
@pytest.mark.timeout(600)
def test_no_request_is_lost_when_one_server_is_killed_and_one_is_drained(tmp_path: Path):
    """Three servers, requests of 6 MiB in three threads: one SIGKILL, one SIGTERM, the third does it all."""
    repository = build_repository(tmp_path / "models")
    with ExitStack() as stack:
        servers = [stack.enter_context(real_triton(repository, tmp_path / f"log{index}")) for index in range(3)]
        for target, _ in servers:
            assert until(lambda target=target: triton_ready(target), 120)
        name = both(servers[0][0], f"{servers[1][0]},{servers[2][0]}")
        triton = stack.enter_context(TritonClient(name, timeout_seconds=60))
        with Load(triton).running() as load:
            assert load.more(30)
            servers[0][1].send_signal(signal.SIGKILL)
            assert load.more(30)
            servers[1][1].send_signal(signal.SIGTERM)
            assert load.more(30)
            assert servers[1][1].wait(60) == 0
            assert load.more(30)
        assert load.failures == []


@pytest.mark.triton
@needs_triton
@pytest.mark.timeout(600)
def test_a_server_that_was_away_gets_requests_again(tmp_path: Path):
    """A killed server that is started anew at its address serves its share within seconds."""
    repository = build_repository(tmp_path / "models")
    with ExitStack() as stack:
        first, _ = stack.enter_context(real_triton(repository, tmp_path / "log0"))
        second, process = stack.enter_context(real_triton(repository, tmp_path / "log1"))
        for target in (first, second):
            assert until(lambda target=target: triton_ready(target), 120)
        triton = stack.enter_context(TritonClient(both(first, second), timeout_seconds=60))
        with Load(triton).running() as load:
            assert load.more(10)
            process.kill()
            process.wait()
            assert load.more(10)
            port = int(second.rpartition(":")[2])
            again, _ = stack.enter_context(real_triton(repository, tmp_path / "log2", port=port))
            assert until(lambda: triton_ready(again), 120)
            assert until(lambda: successes(again) > 5, 60)
        assert load.failures == []


def successes(target: str) -> int:
    """Requests this server answered, by its own statistics."""
    with triton_grpc.InferenceServerClient(target) as client:
        statistics = client.get_inference_statistics(KNEE_CLASSIFICATION.name)
    return int(statistics.model_stats[0].inference_stats.success.count)
