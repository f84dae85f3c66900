"""One Triton as a pod: started by the container's script with the rendered arguments, ended by the rendered drain."""

import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from services.common.errors import ArticulaError
from services.common.tensors import KNEE_SEGMENTATION
from services.common.triton import TritonClient
from tools.simulate_autoscaling.chart import Leaving, Rendered
from tools.stack.plan import free_port
from tools.stack.probes import has_dead_child, zeros
from tools.stack.triton_server import MODEL_REPOSITORY, triton_command

_PROBE_SECONDS = 0.3
_LOCAL = ("ARTICULA_TLS_FOLDER", "ARTICULA_MODELS")  # certificates and volumes of a cluster


@dataclass
class TritonPod:
    """A process; ``phase`` goes from starting over ready and leaving to gone."""

    name: str
    rendered: Rendered
    component: str
    models: Path
    logs: Path
    grpc_port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)
    phase: str = "starting"
    killed: bool = False
    restarts: int = 0
    cold_start: float = 0.0
    leave_seconds: float = 0.0

    def start(self) -> None:
        """Run the container's entry point; a thread waits until it answers."""
        server = triton_command(self.models, grpc_port=self.grpc_port, metrics_port=self.metrics_port)
        container = self.rendered.environment(self.component)
        environment = {
            **server.environment,
            **{name: value for name, value in container.items() if name not in _LOCAL},
            "ARTICULA_TRITON_HOME": str(Path(server.command[0]).parents[1]),
            "ARTICULA_MODELS": str(self.models),
        }
        local = [
            f"--backend-config=python,shm-region-prefix-name=articula_{self.grpc_port}_",
            "--grpc-address=127.0.0.1",
            "--metrics-address=127.0.0.1",
            f"--grpc-port={self.grpc_port}",
            f"--metrics-port={self.metrics_port}",
            "--allow-http=false",
        ]
        self._command = ["sh", str(MODEL_REPOSITORY / "serve.sh"), *self.rendered.arguments(self.component), *local]
        self._environment, self._prepare = environment, server.prepare
        self._run()
        threading.Thread(target=self._probe, daemon=True).start()

    @property
    def target(self) -> str:
        """host:port of gRPC."""
        return f"127.0.0.1:{self.grpc_port}"

    def leave(self, leaving: Leaving) -> None:
        """What a kubelet does: the preStop sleep, then SIGTERM, and SIGKILL where the grace period ends first."""
        self.phase = "leaving"
        threading.Thread(target=self._leave, args=(leaving,), daemon=True).start()

    def wait(self, seconds: float) -> None:
        """Until the process has ended; one that has not is killed."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._prepare()

    def stop(self) -> None:
        """At once, as at the end of everything."""
        self.phase = "leaving"
        self._process.terminate()

    def _run(self) -> None:
        self._prepare()
        with (self.logs / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)

    def _leave(self, leaving: Leaving) -> None:
        begin = time.monotonic()
        time.sleep(leaving.pause)
        self._process.terminate()
        try:
            self._process.wait(leaving.grace - leaving.pause)
        except subprocess.TimeoutExpired:
            self.killed = True
            self._process.kill()
            self._process.wait()
        self.leave_seconds = time.monotonic() - begin
        self.phase = "gone"

    def _probe(self) -> None:
        """Ready is a right answer, not an open port; alive is a server whose models' processes are."""
        begin = time.monotonic()
        while self.phase in {"starting", "ready"}:
            if self.phase == "starting" and self._answers():
                self.cold_start = time.monotonic() - begin
                self.phase = "ready" if self.phase == "starting" else self.phase
            if has_dead_child(self._process.pid) and self.phase == "ready":
                self.restarts += 1
                self._process.kill()
                self._process.wait()
                self._run()
            time.sleep(_PROBE_SECONDS)

    def _answers(self) -> bool:
        try:
            with TritonClient(self.target, timeout_seconds=5) as triton:
                triton.infer(KNEE_SEGMENTATION, zeros(KNEE_SEGMENTATION))
        except ArticulaError:
            return False
        return True
