"""The real system with a fault proxy on each hop, each process of which may be killed or frozen at any time."""

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import psutil

from services.common.errors import ArticulaError
from services.common.pb import analysis_pb2 as pb
from services.common.pb.analysis_pb2_grpc import AnalysisStub
from services.common.tensors import KNEE_CLASSIFICATION, KNEE_SEGMENTATION
from services.common.tls import client_credentials
from services.common.triton import TritonClient
from tests.faults.layout import HOPS, PASSWORDS, Layout, free_ports
from tests.faults.minded import Minded
from tests.faults.proxy import Proxy, ProxyLoop, Trouble
from tests.faults.sender import SenderLog
from tools.stack import probes
from tools.stack.state import StackState

_MIND_SECONDS, _PROBE_SECONDS = 0.1, 10.0


@dataclass
class Site:
    """A running system under test."""

    layout: Layout
    rng: random.Random
    state: StackState
    minded: dict[str, Minded]
    proxies: dict[str, Proxy]
    loop: ProxyLoop
    log: SenderLog = field(default_factory=SenderLog)
    _stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def folder(self) -> Path:
        """Everything the site writes is in here."""
        return self.layout.folder

    def mind(self) -> None:
        """Start again what has ended or lost a part, until the site stops."""
        while not self._stopping.wait(_MIND_SECONDS):
            for each in self.minded.values():
                if each.broken and not self._stopping.is_set():
                    each.kill_group()
                    each.start()

    def works(self) -> bool:
        """Whether every part answers its users rightly."""
        state = self.state
        return (
            probes.orthanc_ready(state.orthanc_url, state.user, state.password)
            and self._triton_works()
            and self.pipeline_digest(self.proxies["analysis"].port) != ""
        )

    def _triton_works(self) -> bool:
        tls = self.layout.tls / "preprocessing"
        try:
            with TritonClient(self.state.triton, timeout_seconds=_PROBE_SECONDS, tls_folder=tls) as triton:
                for contract in (KNEE_SEGMENTATION, KNEE_CLASSIFICATION):
                    triton.infer(contract, probes.zeros(contract))
                return probes._saliency_is_right(triton)
        except (ArticulaError, OSError):
            return False

    def pipeline_digest(self, port: int | None = None) -> str:
        """What the analysis service would run; '' while it does not answer."""
        with self.analysis(port) as stub:
            try:
                return stub.Describe(pb.DescribeRequest(), timeout=_PROBE_SECONDS).digest
            except grpc.RpcError:
                return ""

    @contextmanager
    def analysis(self, port: int | None = None) -> Iterator[AnalysisStub]:
        """The analysis service, past the proxy unless told otherwise."""
        target = self.state.analysis if port is None else f"127.0.0.1:{port}"
        with grpc.secure_channel(target, client_credentials(self.layout.tls / "orthanc")) as channel:
            yield AnalysisStub(channel)

    def wait_until_it_works(self, seconds: float) -> float:
        """Seconds until all parts answer; raises ``TimeoutError``."""
        started = time.monotonic()
        while not self.works():
            if time.monotonic() - started > seconds:
                message = f"the system does not work {seconds} s after a fault; logs in {self.folder}"
                raise TimeoutError(message)
            time.sleep(0.1)
        return time.monotonic() - started

    def signal(self, name: str, number: int) -> None:
        """Send a signal to one process by its name."""
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess, IndexError):
            os.kill(self.pid(name), number)

    def pid(self, name: str) -> int:
        """Process id; ``worker``, ``backend`` and ``forwarder`` are found by their parents, IndexError without one."""
        if name == "forwarder":
            return self._child("orthanc", "services.forwarder")
        if name == "worker":
            return self._child("preprocessing", "spawn_main")
        if name == "backend":
            return self._child("triton", "triton_python_backend_stub")
        process = self.minded[name].process
        assert process is not None
        return process.pid

    def family(self, name: str) -> list[int]:
        """A process and all it started."""
        with contextlib.suppress(psutil.NoSuchProcess):
            found = psutil.Process(self.pid(name))
            return [found.pid, *(each.pid for each in found.children(recursive=True))]
        return []

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
        for region in Path("/dev/shm").glob(f"articula_{self.layout.ports['triton']}_*"):  # noqa: S108
            region.unlink(missing_ok=True)


@contextmanager
def running_site(folder: Path, seed: int, **options: object) -> Iterator[Site]:
    """A site whose parts all work; ``options`` are fields of ``Layout``."""
    ports = free_ports()
    rng = random.Random(seed)
    with ExitStack() as stack:
        loop = stack.enter_context(ProxyLoop())
        upstream = {"analysis": ports["analysis"], "triton": ports["triton"], "archive": ports["orthanc"]}
        proxies = {hop: Proxy(("127.0.0.1", upstream[hop]), random.Random(rng.random())) for hop in HOPS}
        for proxy in proxies.values():
            loop.call(proxy.serve())
        layout = Layout(folder, ports, {hop: proxy.port for hop, proxy in proxies.items()}, **options)
        layout.prepare()
        site = Site(layout, rng, _state(ports), layout.processes(), proxies, loop)
        stack.callback(site.stop)
        for each in site.minded.values():
            each.start()
        threading.Thread(target=site.mind, daemon=True, name="minder").start()
        site.wait_until_it_works(120)
        yield site


def _state(ports: dict[str, int]) -> StackState:
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
