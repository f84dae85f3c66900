"""Tritons for the checks: on loopback, with a log of their own, gone afterwards."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.stack.plan import free_port
from tools.stack.probes import triton_ready
from tools.stack.triton_server import VENV, installed_triton_command, triton_command

START_SECONDS = 600.0  # ONNX Runtime's TensorRT provider builds its engines while Triton starts
EXIT_SECONDS = 120  # a server that is told to leave may finish what it has; a busy machine is no lost study
_LEAVE_SECONDS = 40.0


class TritonNotReady(Exception):
    """A server ended or did not get ready in time; the message has the end of its log."""


@dataclass(frozen=True)
class Server:
    """One running Triton: its gRPC address and that of its metrics."""

    target: str
    metrics: str
    process: subprocess.Popen[bytes]


def triton_home() -> Path | None:
    """Where a Triton is installed, as in NVIDIA's image; None where only the wheel for CPUs is."""
    home = Path(os.environ.get("ARTICULA_TRITON_HOME", "/opt/tritonserver"))
    return home if (home / "bin" / "tritonserver").exists() else None


def has_wheel() -> bool:
    """Whether the server for processors is installed."""
    return (VENV / "bin").exists()


@contextmanager
def serving(repository: Path, logs: Path, *, home: Path | None = None, count: int = 1) -> Iterator[list[Server]]:
    """``count`` ready servers of one repository, of ``home`` or else of the wheel; raises ``TritonNotReady``."""
    with ExitStack() as stack:
        starting = (_running(repository, logs / f"triton-{index}.log", home) for index in range(count))
        servers = [stack.enter_context(each) for each in starting]
        for index, server in enumerate(servers):
            _await(server, logs / f"triton-{index}.log")
        yield servers


@contextmanager
def _running(repository: Path, log: Path, home: Path | None) -> Iterator[Server]:
    grpc_port, metrics_port = free_port(), free_port()
    server = (
        installed_triton_command(home, repository, grpc_port=grpc_port, metrics_port=metrics_port)
        if home
        else triton_command(repository, grpc_port=grpc_port, metrics_port=metrics_port)
    )
    server.prepare()
    with log.open("wb") as output:
        command = [*server.command, f"--exit-timeout-secs={EXIT_SECONDS}"]  # the last one counts
        process = subprocess.Popen(command, env=server.environment, stdout=output, stderr=output)
    try:
        yield Server(f"127.0.0.1:{grpc_port}", f"http://127.0.0.1:{metrics_port}/metrics", process)
    finally:
        process.terminate()
        try:
            process.wait(_LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        server.prepare()


def _await(server: Server, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        if triton_ready(server.target):
            return
        time.sleep(0.5)
    message = f"Triton is not ready; the end of {log}:\n{log.read_text(errors='replace')[-2000:]}"
    raise TritonNotReady(message)
