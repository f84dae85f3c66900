"""Three Tritons behind one name, as on a cluster: one is killed, one told to leave, and no study may fail."""

import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from services.common.errors import ArticulaError
from services.common.tensors import KNEE_CLASSIFICATION
from services.common.triton import TritonClient
from tools.build_engines.accuracy import MOST
from tools.gpu_check.knees import Knee
from tools.gpu_check.serving import EXIT_SECONDS, Server

CALLERS = 4
_CALL_SECONDS = 120.0
_LEAVE_SECONDS = EXIT_SECONDS + 20.0


@dataclass(frozen=True)
class Drain:
    """What came of it. ``left_with`` is the exit status of the server that was told to leave; None where it stayed."""

    studies: int
    failures: tuple[str, ...]
    left_with: int | None
    left_after_seconds: float

    @property
    def problems(self) -> list[str]:
        """What must not be: a study without its answer or with a wrong one, a server that did not leave by itself."""
        failed = f"{len(self.failures)} studies failed while it was drained, the first with: {self.failures[:1]}"
        stayed = f"the server that was told to leave ended with {self.left_with}"
        none = "no study was answered while it was drained"
        wrong = {failed: bool(self.failures), stayed: self.left_with != 0, none: self.studies == 0}
        return [what for what, is_so in wrong.items() if is_so]


@dataclass
class Studies:
    """Studies that callers send one after the other, and what came of them."""

    triton: TritonClient
    knee: Knee
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    enough: threading.Event = field(default_factory=threading.Event)

    def send(self) -> None:
        """Until it is enough; every classification is held against the first answer of ONNX Runtime."""
        exact = self.knee.answers[KNEE_CLASSIFICATION.name]["logits"]
        while not self.enough.is_set():
            try:
                answers = {contract.name: self.triton.infer(contract, inputs) for contract, inputs in self.knee.calls}
            except ArticulaError as error:
                self.failures.append(f"{error.code}: {error}")
                continue
            if not np.abs(answers[KNEE_CLASSIFICATION.name]["logits"] - exact).max() <= MOST["logits"]:
                self.failures.append("a wrong answer")
            self.answered += 1

    def more(self, count: int) -> None:
        """Wait for so many more of them, or for the first failure."""
        wanted = self.answered + count
        while self.answered < wanted and not self.failures:
            time.sleep(0.05)


def drain(servers: Sequence[Server], knee: Knee, *, studies: int) -> Drain:
    """Kill the first server and end the second under load; ``studies`` go by before, between and after."""
    name = "ipv4:" + ",".join(server.target for server in servers)
    with TritonClient(name, timeout_seconds=_CALL_SECONDS) as triton:
        load = Studies(triton, knee)
        callers = [threading.Thread(target=load.send) for _ in range(CALLERS)]
        for each in callers:
            each.start()
        try:
            load.more(studies)
            servers[0].process.send_signal(signal.SIGKILL)
            load.more(studies)
            servers[1].process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            left_with = _left(servers[1])
            seconds = time.monotonic() - began
            load.more(studies)
        finally:
            load.enough.set()
            for each in callers:
                each.join()
    return Drain(load.answered, tuple(load.failures), left_with, seconds)


def _left(server: Server) -> int | None:
    try:
        return server.process.wait(_LEAVE_SECONDS)
    except subprocess.TimeoutExpired:
        return None
