"""A real Orthanc with our plugin, for one test: free ports, its own folder, gone afterwards."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pytest

from tools.demo.orthanc import Orthanc
from tools.stack import plan
from tools.stack.orthanc_config import orthanc_configuration
from tools.stack.probes import orthanc_ready
from tools.stack.state import StackState


@dataclass
class RealOrthanc:
    """The process, its address and a session."""

    process: subprocess.Popen[bytes]
    state: StackState
    rest: Orthanc
    configuration: Path


def wait_for(condition: Callable[[], object], seconds: float = 30.0):
    """The first true value of the condition; fails after the time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.1)
    pytest.fail(f"not within {seconds} s")


@contextmanager
def real_orthanc(folder: Path, analysis: str) -> Iterator[RealOrthanc]:
    """Orthanc, plugin and forwarder, pointed at an analysis service, once all of it runs."""
    (folder / "temporary").mkdir(parents=True)
    with orthanc_process(folder, analysis) as running:
        state = running.state
        wait_for(lambda: orthanc_ready(state.orthanc_url, state.user, state.password))
        yield running


@contextmanager
def orthanc_process(
    folder: Path,
    analysis: str,
    *,
    changes: Mapping[str, object] = MappingProxyType({}),
    whole: Mapping[str, object] = MappingProxyType({}),
    plugins: Sequence[Path] = (),
) -> Iterator[RealOrthanc]:
    """Orthanc just started; ``changes`` go over the plugin's section, ``whole`` over the whole configuration.

    Hints are off: whatever is tested here must not need them.
    """
    passwords = {"demo": "demo-password", "articula": "forwarder-password"}
    http_port, dicom_port = plan.free_port(), plan.free_port()
    configuration = orthanc_configuration(
        folder, http_port=http_port, dicom_port=dicom_port, analysis=analysis, passwords=passwords
    )
    configuration["Articula"] |= {"QuietSeconds": 1, "SweepSeconds": 0.5, "Hints": False, **changes}
    configuration |= whole
    configuration["Plugins"] += map(str, plugins)
    path = folder / "orthanc.json"
    path.write_text(json.dumps(configuration))
    state = StackState(
        pid=0,
        orthanc_url=f"http://127.0.0.1:{http_port}",
        dicom_port=dicom_port,
        aet=configuration["DicomAet"],
        user="demo",
        password=passwords["demo"],
        analysis=analysis,
        triton="",
    )
    running = RealOrthanc(start(path), state, Orthanc(state), path)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()
        wait_for(lambda: not forwarders(path), 10)  # its lifeline is cut


def start(configuration: Path) -> subprocess.Popen[bytes]:
    """Start Orthanc with its log beside its configuration."""
    environment = {**os.environ, "TCP_NODELAY": "1", "TZ": "UTC", "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    with (configuration.parent / "orthanc.log").open("ab") as log:
        return subprocess.Popen(["Orthanc", str(configuration)], env=environment, stdout=log, stderr=log)


def forwarders(configuration: Path) -> list[int]:
    """Process ids of the forwarders that belong to this Orthanc."""
    ledger = str(configuration.parent / "ledger.sqlite").encode()
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = (place / "cmdline").read_bytes(), (place / "environ").read_bytes()
        except OSError:
            continue
        if b"services.forwarder" in command and ledger in environment:
            found.append(int(place.name))
    return found
