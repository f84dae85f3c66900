"""Each image, built from its Dockerfile alone, works as an unprivileged user on a read-only root."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

import httpx
import psutil
import pytest

from services.common.errors import ServiceUnavailable
from services.common.status import StudyState
from services.common.tensors import KNEE_CLASSIFICATION, KNEE_SEGMENTATION
from services.common.triton import TritonClient
from tests.images.dockerfile import ROOT
from tests.images.elf import missing
from tests.images.image import Builder, Image
from tools.demo.orthanc import Orthanc
from tools.demo.send import study_of
from tools.drill.results import result_sets, wait_final
from tools.phantom.study import write_study
from tools.secrets.__main__ import make_secrets, orthanc_secrets
from tools.stack.plan import free_port
from tools.stack.state import StackState

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="overlay mounts need root"),
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Builds an image by the path of its Dockerfile, once for all tests of this file."""
    return cache(lambda path: Builder(tmp_path_factory.mktemp("build"), ROOT / path).build())


def until_healthy(image: Image, process, log, environment, extra=(), seconds=90) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        if image.healthy(process, log, environment, extra):
            return
        time.sleep(0.5)
    pytest.fail(log.read_text(errors="replace")[-4000:])


def owned(folder):
    folder.mkdir(parents=True)
    shutil.chown(folder, 10001, 10001)
    return folder


@contextmanager
def triton_running(image, folder) -> Iterator[tuple[subprocess.Popen[bytes], str, Callable[[], bool]]]:
    """Triton's container once it is healthy, its address, and its health check."""
    log, grpc_port, http_port = folder / "triton.log", free_port(), free_port()
    environment = {"ARTICULA_TLS_FOLDER": "/run/tls", "ARTICULA_EXIT_SECONDS": "1"}
    ports = [f"--http-port={http_port}", f"--grpc-port={grpc_port}", f"--metrics-port={free_port()}"]
    binds = {folder / "secrets/tls/triton": "/run/tls"}
    with image.running(log, environment=environment, binds=binds, arguments=ports) as process:
        until_healthy(image, process, log, environment, [str(http_port)])
        healthy = partial(image.healthy, process, log, environment, [str(http_port)])
        yield process, f"127.0.0.1:{grpc_port}", healthy


@contextmanager
def preprocessing_running(image, folder, triton) -> Iterator[tuple[subprocess.Popen[bytes], str, str]]:
    """The service's container once it is healthy, its address, and that of its metrics."""
    log, port, metrics_port = folder / "preprocessing.log", free_port(), free_port()
    environment = {
        "ARTICULA_LISTEN": f"127.0.0.1:{port}",
        "ARTICULA_METRICS_PORT": str(metrics_port),
        "ARTICULA_TRITON": triton,
        "ARTICULA_TLS_FOLDER": "/run/tls",
    }
    binds = {owned(folder / "spool"): "/srv/spool", folder / "secrets/tls/preprocessing": "/run/tls"}
    with image.running(log, environment=environment, binds=binds) as process:
        until_healthy(image, process, log, environment)
        yield process, f"127.0.0.1:{port}", f"http://127.0.0.1:{metrics_port}/metrics"


@contextmanager
def orthanc_running(image, folder, analysis) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Orthanc's container once the forwarder runs, and its URL."""
    log, port = folder / "orthanc.log", free_port()
    environment = {"ARTICULA_TLS_FOLDER": "/run/tls"}
    binds = {
        owned(folder / "archive"): "/srv/orthanc",
        configuration_folder(image, folder / "configuration", port, analysis): "/opt/articula/orthanc",
        folder / "secrets/tls/orthanc": "/run/tls",
    }
    with image.running(log, environment=environment, binds=binds) as process:
        until_healthy(image, process, log, environment)
        yield process, f"http://127.0.0.1:{port}"


@pytest.mark.stack
@pytest.mark.skipif(not shutil.which("Orthanc", path=f"{os.environ['PATH']}:/usr/sbin"), reason="no Orthanc")
def test_the_images_read_a_knee_together_over_mutual_tls(built, tmp_path):
    """Built from their Dockerfiles alone: a knee in, one result set out, and a dead backend is seen by the probe."""
    make_secrets(tmp_path / "secrets", days=1)
    with (
        triton_running(built("model_repository/cpu.Dockerfile"), tmp_path) as (triton, models, triton_healthy),
        preprocessing_running(built("services/preprocessing/Dockerfile"), tmp_path, models) as (
            service,
            analysis,
            metrics,
        ),
        orthanc_running(built("services/orthanc_plugin/Dockerfile"), tmp_path, analysis) as (archive, url),
    ):
        assert {uid_of(each) for each in (triton, service, archive)} == {10001}
        rest = Orthanc(StackState(0, url, 0, "", "reader", "reader-password", "", ""))
        write_study(tmp_path / "study", 11, ["ACL"], matrix=160)
        for path in sorted((tmp_path / "study").rglob("*.dcm")):
            rest.store(path.read_bytes())
        study = study_of(tmp_path / "study")
        assert wait_final(rest, [study], seconds=120) == {study: StudyState.DONE}
        assert len(result_sets(rest)[study].manifests) == 1
        assert rest.content("/ohif/viewer")
        assert httpx.get(metrics, trust_env=False).is_success
        with TritonClient(models, timeout_seconds=2) as stranger, pytest.raises(ServiceUnavailable):
            stranger.parameters(KNEE_CLASSIFICATION)
        kill_a_backend(triton.pid)
        assert not triton_healthy()
    assert service.returncode == 0, "SIGTERM ends it in order"
    assert list((tmp_path / "archive/index").iterdir()), "the archive is on the volume"


@pytest.mark.parametrize("path", ["services/preprocessing/Dockerfile", "model_repository/cpu.Dockerfile"])
def test_a_slim_base_has_every_library_that_the_packages_ask_for(built, path):
    """This machine has many libraries that an image has not; python:slim brings Python's own and the C and C++ ones."""
    image = built(path)
    slim = {"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libresolv.so.2", "libz.so.1"}
    slim |= {"ld-linux-x86-64.so.2", "libgcc_s.so.1", "libstdc++.so.6", "libpython3.11.so.1.0"}
    assert missing(image.root / "opt/articula") - slim == set()


def configuration_folder(image, folder, port, analysis):
    """The image's configuration with the secrets beside it, on free ports."""
    shutil.copytree(image.root / "opt/articula/orthanc", folder)
    base = json.loads((folder / "orthanc.json").read_text())
    (folder / "orthanc.json").write_text(json.dumps(base | {"HttpPort": port, "DicomPort": free_port()}))
    passwords = {"reader": "reader-password", "articula": "forwarder-password"}
    private = orthanc_secrets(passwords, log_key="key")
    private["Articula"] |= {"OrthancUrl": f"http://127.0.0.1:{port}", "Analysis": analysis, "QuietSeconds": 1}
    (folder / "secrets.json").write_text(json.dumps(private))
    return folder


def uid_of(process: subprocess.Popen[bytes]) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1])


def kill_a_backend(server: int) -> None:
    """What Triton neither restarts nor reports: one of two processes of a model that the probe does not ask."""
    children = [
        each for each in psutil.Process(server).children() if KNEE_SEGMENTATION.name in " ".join(each.cmdline())
    ]
    children[0].kill()
