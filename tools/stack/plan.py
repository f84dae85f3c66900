"""Which processes make up the stack on one machine, on which ports, with which credentials."""

import json
import os
import secrets
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from tools.stack import probes
from tools.stack.orthanc_config import AET, FORWARDER_USER, ROOT, orthanc_configuration
from tools.stack.process import Service
from tools.stack.state import StackState
from tools.stack.triton_server import MODEL_REPOSITORY, triton_command

USER = "demo"
_LOWEST_PORT, _OUTGOING_PORTS = 15_000, 32_768  # Linux gives outgoing connections the ports from there on
_given: set[int] = set()
_DEFAULT_PORTS = {
    "orthanc": 8042,
    "dicom": 4242,
    "analysis": 50051,
    "metrics": 9100,
    "forwarder-metrics": 9101,
    "triton": 8001,
    "triton-metrics": 8002,
}


@dataclass(frozen=True)
class Plan:
    """The services in the order in which they start, and the state to publish when all are ready."""

    services: tuple[Service, ...]
    state: StackState


def make_plan(folder: Path, *, repository: Path = MODEL_REPOSITORY, usual_ports: bool = True) -> Plan:
    """Lay out a stack whose state lives in ``folder``; takes free ports where the usual ones are taken or unwanted."""
    folder = folder.resolve()
    for name in ("logs", "spool", "orthanc/storage", "orthanc/temporary"):
        (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    ports = choose_ports() if usual_ports else {name: free_port() for name in _DEFAULT_PORTS}
    passwords = credentials(folder / "credentials.json")
    state = StackState(
        pid=os.getpid(),
        orthanc_url=f"http://127.0.0.1:{ports['orthanc']}",
        dicom_port=ports["dicom"],
        aet=AET,
        user=USER,
        password=passwords[USER],
        analysis=f"127.0.0.1:{ports['analysis']}",
        triton=f"127.0.0.1:{ports['triton']}",
        metrics=f"http://127.0.0.1:{ports['metrics']}/metrics",
        forwarder_metrics=f"http://127.0.0.1:{ports['forwarder-metrics']}/metrics",
        triton_metrics=f"http://127.0.0.1:{ports['triton-metrics']}/metrics",
    )
    return Plan((_triton(repository, ports), _preprocessing(folder, ports), _orthanc(folder, state, passwords)), state)


def choose_ports() -> dict[str, int]:
    """The usual port of each listener, or a free one where it is taken."""
    return {name: port if _is_free(port) else free_port() for name, port in _DEFAULT_PORTS.items()}


def credentials(path: Path) -> dict[str, str]:
    """Passwords by Orthanc user, made by chance at the first start; no password is ever a default."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(json.dumps({name: secrets.token_urlsafe(12) for name in (USER, FORWARDER_USER)}))
    passwords: dict[str, str] = json.loads(path.read_text())
    return passwords


def _triton(repository: Path, ports: Mapping[str, int]) -> Service:
    server = triton_command(repository, grpc_port=ports["triton"], metrics_port=ports["triton-metrics"])
    target = f"127.0.0.1:{ports['triton']}"
    return Service(
        "triton",
        server.command,
        server.environment,
        ready=partial(probes.triton_ready, target),
        alive=partial(probes.triton_alive, target),
        grace_seconds=30.0,
        prepare=server.prepare,
    )


def _preprocessing(folder: Path, ports: Mapping[str, int]) -> Service:
    target = f"127.0.0.1:{ports['analysis']}"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",  # one worker a core; more threads would only contend
        "OPENBLAS_NUM_THREADS": "1",
        "ARTICULA_LISTEN": target,
        "ARTICULA_TRITON": f"127.0.0.1:{ports['triton']}",
        "ARTICULA_SPOOL": str(folder / "spool"),
        "ARTICULA_METRICS_PORT": str(ports["metrics"]),
    }
    command = [sys.executable, "-m", "services.preprocessing"]
    ready = partial(probes.analysis_ready, target)
    return Service("preprocessing", command, environment, ready=ready, grace_seconds=40.0)


def _orthanc(folder: Path, state: StackState, passwords: Mapping[str, str]) -> Service:
    configuration = orthanc_configuration(
        folder / "orthanc",
        http_port=int(state.orthanc_url.rpartition(":")[2]),
        dicom_port=state.dicom_port,
        analysis=state.analysis,
        passwords=passwords,
    )
    configuration["Articula"]["MetricsPort"] = urlsplit(state.forwarder_metrics).port
    path = folder / "orthanc" / "orthanc.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(configuration, indent=2))
    return Service(
        "orthanc",
        ["Orthanc", str(path)],
        # Nagle's algorithm costs 50 ms an instance; local time steps twice a year
        {**os.environ, "TCP_NODELAY": "1", "TZ": "UTC", "PATH": f"{os.environ['PATH']}:/usr/sbin"},
        ready=partial(probes.orthanc_ready, state.orthanc_url, state.user, state.password),
    )


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """One that nobody has and nobody was given; no outgoing connection can take it before its server starts."""
    while True:
        port = _LOWEST_PORT + secrets.randbelow(_OUTGOING_PORTS - _LOWEST_PORT)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
