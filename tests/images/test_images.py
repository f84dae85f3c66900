"""Each image, built from its Dockerfile alone, works as an unprivileged user on a read-only root."""

import json
import os
import shutil
import subprocess
import time
from functools import cache
from pathlib import Path

import httpx
import psutil
import pytest

from services.common.tls import server_credentials
from tests.fakes.triton_server import FakeTriton, fake_triton
from tests.images.dockerfile import ROOT
from tests.images.elf import missing
from tests.images.image import Builder, Image
from tools.secrets.__main__ import make_secrets, orthanc_secrets
from tools.stack.plan import _free_port

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="overlay mounts need root"),
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Builds an image by the path of its Dockerfile, once for all tests of this file."""
    return cache(lambda path: Builder(tmp_path_factory.mktemp("build"), ROOT / path).build())


@pytest.fixture
def secrets(tmp_path):
    make_secrets(tmp_path / "secrets", days=1)
    return tmp_path / "secrets"


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


def test_preprocessing_answers_its_probe_over_mutual_tls(built, tmp_path, secrets):
    """Pip step, copied files, entry point, health check; a Triton without networks is behind it."""
    image = built("services/preprocessing/Dockerfile")
    spool, log = owned(tmp_path / "spool"), tmp_path / "log"
    credentials = server_credentials(secrets / "tls/triton")
    with fake_triton(FakeTriton(), credentials=credentials) as target:
        environment = {
            "ARTICULA_LISTEN": f"127.0.0.1:{_free_port()}",
            "ARTICULA_METRICS_PORT": str(_free_port()),
            "ARTICULA_TRITON": target,
            "ARTICULA_TLS_FOLDER": "/run/tls",
        }
        binds = {spool: "/srv/spool", secrets / "tls/preprocessing": "/run/tls"}
        with image.running(log, environment=environment, binds=binds) as process:
            until_healthy(image, process, log, environment)
            assert uid_of(process) == 10001
            metrics = httpx.get(f"http://127.0.0.1:{environment['ARTICULA_METRICS_PORT']}/metrics", trust_env=False)
            assert metrics.is_success
    assert process.returncode == 0, "SIGTERM ends it in order"


@pytest.mark.triton
def test_triton_for_cpu_infers_rightly_in_its_image(built, tmp_path, secrets):
    """All three models load from the image; the probe's one inference comes back with the right values."""
    image = built("model_repository/cpu.Dockerfile")
    log, http_port = tmp_path / "log", _free_port()
    environment = {"ARTICULA_TLS_FOLDER": "/run/tls", "ARTICULA_EXIT_SECONDS": "1"}
    ports = [f"--http-port={http_port}", f"--grpc-port={_free_port()}", f"--metrics-port={_free_port()}"]
    binds = {secrets / "tls/triton": "/run/tls"}
    with image.running(log, environment=environment, binds=binds, arguments=ports) as process:
        until_healthy(image, process, log, environment, [str(http_port)])
        assert uid_of(process) == 10001
        kill_backends(process.pid)
        assert not image.healthy(process, log, environment, [str(http_port)]), "a dead backend process is seen"


@pytest.mark.orthanc
@pytest.mark.skipif(not shutil.which("Orthanc", path=f"{os.environ['PATH']}:/usr/sbin"), reason="no Orthanc")
def test_orthanc_runs_the_plugin_and_its_forwarder_in_its_image(built, tmp_path, secrets):
    """The configuration in the image, the secrets over it, the forwarder in its own environment."""
    image = built("services/orthanc_plugin/Dockerfile")
    log, data, port = tmp_path / "log", owned(tmp_path / "orthanc"), _free_port()
    configuration = configuration_folder(image, tmp_path / "configuration", port)
    environment = {"ARTICULA_TLS_FOLDER": "/run/tls"}
    binds = {
        data: "/srv/orthanc",
        configuration: "/opt/articula/orthanc",
        secrets / "tls/orthanc": "/run/tls",
    }
    with image.running(log, environment=environment, binds=binds) as process:
        until_healthy(image, process, log, environment)
        assert uid_of(process) == 10001
        ohif = httpx.get(f"http://127.0.0.1:{port}/ohif/viewer", auth=("reader", "reader-password"), trust_env=False)
        assert ohif.is_success
    assert list((data / "index").iterdir()), "the archive is on the volume"


@pytest.mark.parametrize("path", ["services/preprocessing/Dockerfile", "model_repository/cpu.Dockerfile"])
def test_a_slim_base_has_every_library_that_the_packages_ask_for(built, path):
    """This machine has many libraries that an image has not; python:slim brings Python's own and the C and C++ ones."""
    image = built(path)
    slim = {"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libresolv.so.2", "libz.so.1"}
    slim |= {"ld-linux-x86-64.so.2", "libgcc_s.so.1", "libstdc++.so.6", "libpython3.11.so.1.0"}
    assert missing(image.root / "opt/articula") - slim == set()


def configuration_folder(image, folder, port):
    """The image's configuration with the secrets beside it, on free ports."""
    shutil.copytree(image.root / "opt/articula/orthanc", folder)
    base = json.loads((folder / "orthanc.json").read_text())
    (folder / "orthanc.json").write_text(json.dumps(base | {"HttpPort": port, "DicomPort": _free_port()}))
    passwords = {"reader": "reader-password", "articula": "forwarder-password"}
    private = orthanc_secrets(passwords, log_key="key")
    private["Articula"] |= {"OrthancUrl": f"http://127.0.0.1:{port}", "Analysis": "127.0.0.1:1"}
    (folder / "secrets.json").write_text(json.dumps(private))
    return folder


def uid_of(process: subprocess.Popen[bytes]) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1])


def kill_backends(server: int) -> None:
    """What Triton neither restarts nor reports."""
    for child in psutil.Process(server).children():
        child.kill()
