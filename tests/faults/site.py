"""The real system with a fault proxy on each hop, every process of which may be killed, frozen or stopped at any time.

A minder starts again what has ended, within a fraction of a second, as systemd or Kubernetes would.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.faults.proxy import Proxy, ProxyLoop, Trouble
from tests.faults.sabotaged import VARIABLE
from tests.faults.tiny_models import build_repository
from tools.stack import plan, probes
from tools.stack.orthanc_config import ROOT, orthanc_configuration
from tools.stack.state import StackState
from tools.stack.triton_server import triton_command

PASSWORDS = {"demo": "demo-password", "articula": "forwarder-password"}
HOPS = ("analysis", "triton", "archive")


@dataclass
class Minded:
    """One process that is started again whenever it ends."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    log: Path
    prepare: Callable[[], None] = lambda: None
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    def start(self) -> None:
        """Start it, in a group of its own."""
        self.prepare()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=dict(self.environment), stdout=log, stderr=log, start_new_session=True
            )
        self.starts += 1

    @property
    def broken(self) -> bool:
        """Whether it ended, or, as Triton does, lives on with a dead backend process."""
        ended = self.process is not None and self.process.poll() is not None
        return ended or (
            self.process is not None and self.name == "triton" and probes._has_dead_child(self.process.pid)
        )

    def kill_group(self) -> None:
        """End it and everything it started."""
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@dataclass
class Site:
    """A running system under test."""

    folder: Path
    rng: random.Random
    state: StackState
    minded: dict[str, Minded]
    proxies: dict[str, Proxy]
    loop: ProxyLoop
    ledger: Path
    _stopping: threading.Event = field(default_factory=threading.Event)

    def mind(self) -> None:
        """Start again what has ended or lost a part, until the site stops."""
        while not self._stopping.wait(0.2):
            for each in self.minded.values():
                if each.broken and not self._stopping.is_set():
                    each.kill_group()
                    each.start()

    def works(self) -> bool:
        """Whether every part answers its users rightly."""
        state = self.state
        return (
            probes.orthanc_ready(state.orthanc_url, state.user, state.password)
            and probes.triton_ready(state.triton)
            and probes.analysis_ready(f"127.0.0.1:{self.proxies['analysis'].port}")
        )

    def wait_until_it_works(self, seconds: float) -> float:
        """Seconds until all parts answer; raises ``TimeoutError``."""
        started = time.monotonic()
        while not self.works():
            if time.monotonic() - started > seconds:
                message = f"the system does not work {seconds} s after its start; logs in {self.folder}"
                raise TimeoutError(message)
            time.sleep(0.2)
        return time.monotonic() - started

    def signal(self, name: str, number: int) -> None:
        """Send a signal to one process by its name."""
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess, IndexError):
            os.kill(self.pid(name), number)

    def pid(self, name: str) -> int:
        """Process id; ``worker``, ``backend`` and ``forwarder`` are found by their parents."""
        if name == "forwarder":
            return self._child("orthanc", "services.forwarder")
        if name == "worker":
            return self._child("preprocessing", "spawn_main")
        if name == "backend":
            return self._child("triton", "triton_python_backend_stub")
        process = self.minded[name].process
        assert process is not None
        return process.pid

    def _child(self, parent: str, word: str) -> int:
        children = psutil.Process(self.pid(parent)).children(recursive=True)
        return self.rng.choice([each.pid for each in children if word in " ".join(each.cmdline())])

    def suffer(self, hop: str, trouble: Trouble) -> None:
        """Let one hop misbehave."""
        self.loop.call(self.proxies[hop].suffer(trouble))

    def heal(self) -> None:
        """Let all hops work and everything frozen go on."""
        for hop in HOPS:
            self.suffer(hop, Trouble())
        for name in ("forwarder", *self.minded):
            self.signal(name, signal.SIGCONT)

    def stop(self) -> None:
        """End everything."""
        self._stopping.set()
        for each in self.minded.values():
            each.kill_group()
            each.prepare()


@contextmanager
def running_site(folder: Path, seed: int, sabotage: str = "") -> Iterator[Site]:
    """A site whose parts all work, but for the safeguard that is broken on purpose."""
    folder.mkdir(parents=True)
    for name in ("spool", "orthanc/storage", "orthanc/temporary", "logs"):
        (folder / name).mkdir(parents=True)
    repository = build_repository(folder / "models")
    ports = {name: plan._free_port() for name in ("orthanc", "dicom", "analysis", "triton", "triton-metrics")}
    rng = random.Random(seed)
    with ExitStack() as stack:
        loop = stack.enter_context(ProxyLoop())
        upstream = {"analysis": ports["analysis"], "triton": ports["triton"], "archive": ports["orthanc"]}
        proxies = {hop: Proxy(("127.0.0.1", upstream[hop]), random.Random(rng.random())) for hop in HOPS}
        for proxy in proxies.values():
            loop.call(proxy.serve())
        site = Site(
            folder=folder,
            rng=rng,
            state=_state(ports),
            minded=_processes(folder, repository, ports, proxies, sabotage),
            proxies=proxies,
            loop=loop,
            ledger=folder / "orthanc" / "ledger.sqlite",
        )
        stack.callback(site.stop)
        for each in site.minded.values():
            each.start()
        threading.Thread(target=site.mind, daemon=True, name="minder").start()
        site.wait_until_it_works(120)
        yield site


def _state(ports: Mapping[str, int]) -> StackState:
    return StackState(
        pid=0,
        orthanc_url=f"http://127.0.0.1:{ports['orthanc']}",
        dicom_port=ports["dicom"],
        aet="ARTICULA",
        user="demo",
        password=PASSWORDS["demo"],
        analysis=f"127.0.0.1:{ports['analysis']}",
        triton=f"127.0.0.1:{ports['triton']}",
    )


def _processes(
    folder: Path, repository: Path, ports: Mapping[str, int], proxies: Mapping[str, Proxy], sabotage: str
) -> dict[str, Minded]:
    server = triton_command(repository, grpc_port=ports["triton"], metrics_port=ports["triton-metrics"])
    configuration = orthanc_configuration(
        folder / "orthanc",
        http_port=ports["orthanc"],
        dicom_port=ports["dicom"],
        analysis=f"127.0.0.1:{proxies['analysis'].port}",
        passwords=PASSWORDS,
    )
    configuration["Articula"] |= {
        "OrthancUrl": f"http://127.0.0.1:{proxies['archive'].port}",
        "Python": str(_interpreter(folder)),
        "QuietSeconds": 1,
        "SweepSeconds": 0.5,
    }
    path = folder / "orthanc" / "orthanc.json"
    path.write_text(json.dumps(configuration))
    preprocessing = {
        **os.environ,
        VARIABLE: sabotage,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "ARTICULA_LISTEN": f"127.0.0.1:{ports['analysis']}",
        "ARTICULA_TRITON": f"127.0.0.1:{proxies['triton'].port}",
        "ARTICULA_SPOOL": str(folder / "spool"),
        "ARTICULA_INFER_SECONDS": "5",
        "ARTICULA_STUDY_SECONDS": "20",
        "ARTICULA_DRAIN_SECONDS": "5",
    }
    orthanc = {**os.environ, "TCP_NODELAY": "1", "TZ": "UTC", "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    orthanc |= {
        VARIABLE: sabotage,
        "ARTICULA_REST_SECONDS": "5",
        "ARTICULA_STUDY_SECONDS": "30",
        "ARTICULA_AUDIT_SECONDS": "20",
    }
    logs = folder / "logs"
    return {
        "triton": Minded("triton", server.command, server.environment, logs / "triton.log", server.prepare),
        "preprocessing": Minded(
            "preprocessing",
            [sys.executable, "-m", "tests.faults.sabotaged", "-m", "services.preprocessing"],
            preprocessing,
            logs / "preprocessing.log",
        ),
        "orthanc": Minded("orthanc", ["Orthanc", str(path)], orthanc, logs / "orthanc.log"),
    }


def _interpreter(folder: Path) -> Path:
    """What the plugin takes for Python: our interpreter, which runs the forwarder as this harness wants it."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.faults.sabotaged "$@"\n')
    path.chmod(0o755)
    return path
