"""Where the site keeps its things, and which processes with which settings make it up.

Time is compressed so that hundreds of faults fit into an hour: short quiet times and deadlines, and a plugin that
starts a dead forwarder again at once (its own pause doubles up to 30 s, and here forwarders die all the time).
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.orthanc_plugin.settings import PluginSettings
from tests.faults import launched, means, namespace
from tests.faults.minded import Minded
from tests.faults.tiny_models import build_repository
from tools.secrets.certificates import write_identities
from tools.stack import plan
from tools.stack.orthanc_config import ROOT, orthanc_configuration
from tools.stack.triton_server import triton_command

PASSWORDS = {"demo": "demo-password", "articula": "forwarder-password"}
HOPS = ("analysis", "triton", "archive")
DISKS = {"spool": "64m", "archive": "2g", "ledger": "64m"}
_FORWARDER = {"ARTICULA_REST_SECONDS": "5", "ARTICULA_STUDY_SECONDS": "30", "ARTICULA_AUDIT_SECONDS": "20"}
_SHARED = {"ARTICULA_SHARED_INDEX": "true", "ARTICULA_LEASE_SECONDS": "4"}  # what the plugin finds on PostgreSQL
_SERVICES = ("orthanc", "preprocessing", "triton")
Command = tuple[list[str], dict[str, str], Callable[[], None]]  # command line, environment, what comes before
_PLUGIN = """
import sys
sys.path.insert(0, {root!r})
import services.orthanc_plugin.supervision as supervision
supervision._FIRST_PAUSE_SECONDS, supervision._LONGEST_PAUSE_SECONDS = 0.1, 0.5
__file__ = {plugin!r}
exec(compile(open(__file__).read(), __file__, "exec"))
"""


@dataclass(frozen=True)
class Layout:
    """Folders and ports; ``sabotage`` names a broken safeguard, ``trace`` has every durable write written down.

    With a ``rival`` a second forwarder works on the same archive, and the two must elect a leader.
    """

    folder: Path
    ports: Mapping[str, int]
    hops: Mapping[str, int]  # ports of the proxies
    sabotage: str = ""
    trace: bool = False
    quiet_seconds: float = 1.0
    rival: bool = False

    @property
    def ledger(self) -> Path:
        """The forwarder's ledger."""
        return self.folder / "ledger" / "ledger.sqlite"

    @property
    def tls(self) -> Path:
        """A folder of certificates for each service."""
        return self.folder / "tls"

    @property
    def clock(self) -> Path:
        """By how much the wall clock of the services is wrong."""
        return self.folder / "clock"

    @property
    def traces(self) -> Path:
        """Where durable writes are written down."""
        return self.folder / "trace"

    def prepare(self) -> None:
        """Make folders, disks, certificates, clock and models."""
        for name in ("logs", "trace", *DISKS):
            (self.folder / name).mkdir(parents=True)
        if "disk" not in namespace.missing():
            for name, size in DISKS.items():
                means.small_disk(self.folder / name, size)
        for name in ("archive/storage", "archive/temporary"):
            (self.folder / name).mkdir()
        means.set_clock(self.clock, 0)
        write_identities(self.tls, {name: (name,) for name in _SERVICES}, days=30)
        build_repository(self.folder / "models")

    def processes(self) -> dict[str, Minded]:
        """All processes, in the order in which they start."""
        commands = {
            "triton": self._triton(),
            "preprocessing": self._preprocessing(),
            "orthanc": self._orthanc(),
        }
        if self.rival:
            commands["rival"] = self._rival()
        return {name: Minded(name, *rest, self.folder / "logs" / f"{name}.log") for name, rest in commands.items()}

    def _common(self, service: str) -> dict[str, str]:
        traced = {launched.TRACE: str(self.traces)} if self.trace else {}
        return {
            **os.environ,
            **traced,
            launched.SABOTAGE: self.sabotage,
            "PYTHONPATH": str(ROOT),
            "ARTICULA_TLS_FOLDER": str(self.tls / service),
        }

    def _triton(self) -> Command:
        server = triton_command(
            self.folder / "models", grpc_port=self.ports["triton"], metrics_port=self.ports["triton-metrics"]
        )
        tls = self.tls / "triton"
        secured = [
            "--grpc-use-ssl=true",
            "--grpc-use-ssl-mutual=true",
            f"--grpc-server-cert={tls / 'tls.crt'}",
            f"--grpc-server-key={tls / 'tls.key'}",
            f"--grpc-root-cert={tls / 'ca.crt'}",
        ]
        return [*server.command, *secured], server.environment, server.prepare

    def _preprocessing(self) -> Command:
        environment = {
            **self._common("preprocessing"),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "ARTICULA_LISTEN": f"127.0.0.1:{self.ports['analysis']}",
            "ARTICULA_TRITON": f"127.0.0.1:{self.hops['triton']}",
            "ARTICULA_SPOOL": str(self.folder / "spool" / "studies"),
            "ARTICULA_INFER_SECONDS": "5",
            "ARTICULA_STUDY_SECONDS": "20",
            "ARTICULA_DRAIN_SECONDS": "5",
        }
        return [sys.executable, "-m", "tests.faults.launched", "-m", "services.preprocessing"], environment, _nothing

    def _orthanc(self) -> Command:
        path = self.folder / "orthanc.json"
        path.write_text(json.dumps(self._configuration()))
        environment = {**self._common("orthanc"), **_FORWARDER, "TCP_NODELAY": "1", "TZ": "UTC"}
        return ["Orthanc", str(path)], {**environment, "PATH": f"{os.environ['PATH']}:/usr/sbin"}, _nothing

    def _rival(self) -> Command:
        """A forwarder as the plugin starts it, but for its ledger; nobody's child, and without pages."""
        (self.folder / "rival").mkdir()
        theirs = PluginSettings.from_configuration(self._configuration()).environment()
        own = {"ARTICULA_LEDGER": str(self.folder / "rival" / "ledger.sqlite"), "ARTICULA_LIFELINE": "false"}
        environment = {**self._common("orthanc"), **_FORWARDER, **theirs, **own, **_SHARED}
        del environment["ARTICULA_PAGES_SOCKET"]
        return [sys.executable, "-m", "tests.faults.launched", "-m", "services.forwarder"], environment, _nothing

    def _configuration(self) -> dict[str, Any]:
        configuration = orthanc_configuration(
            self.folder / "archive",
            http_port=self.ports["orthanc"],
            dicom_port=self.ports["dicom"],
            analysis=f"127.0.0.1:{self.hops['analysis']}",
            passwords=PASSWORDS,
        )
        configuration["PythonScript"] = str(self.folder / "plugin.py")
        configuration["Plugins"] = [each for each in configuration["Plugins"] if "ServeFolders" not in each]
        configuration["Articula"] |= {
            "OrthancUrl": f"http://127.0.0.1:{self.hops['archive']}",
            "Python": str(self._interpreter()),
            "Ledger": str(self.ledger),
            "QuietSeconds": self.quiet_seconds,
            "SweepSeconds": 0.5,
        }
        plugin = str(ROOT / "services" / "orthanc_plugin" / "plugin.py")
        (self.folder / "plugin.py").write_text(_PLUGIN.format(root=str(ROOT), plugin=plugin))
        return configuration

    def _interpreter(self) -> Path:
        """What the plugin takes for Python: ours, which runs the forwarder as this harness wants it."""
        path = self.folder / "python"
        shared = " ".join(f"{name}={value}" for name, value in _SHARED.items()) if self.rival else ""
        path.write_text(f'#!/bin/sh\n{shared} exec {sys.executable} -m tests.faults.launched "$@"\n')
        path.chmod(0o755)
        return path


def _nothing() -> None:
    """What is to be done before most starts."""


def free_ports() -> dict[str, int]:
    """A free port for each listener."""
    return {name: plan.free_port() for name in ("orthanc", "dicom", "analysis", "triton", "triton-metrics")}
