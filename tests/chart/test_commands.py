"""The commands in the rendered objects, run."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.orthanc_plugin.probe import read_configuration
from services.orthanc_plugin.settings import PluginSettings
from tests.chart.rendering import ROOT, environment, named, needs_helm, rendered
from tests.faults.tiny_models import build_repository
from tests.real.orthanc import wait_for
from tools.pin_models import REPOSITORY
from tools.stack import plan

pytestmark = needs_helm
STORE = ROOT / "build" / "store-venv" / "bin"
KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}


def _run(words: list[str], places: dict[str, Path | str], **given: str) -> subprocess.CompletedProcess[str]:
    """Run a container's command with its folders elsewhere, and the environment that it is given."""
    for place in sorted(places, key=len, reverse=True):
        words = [str(places[place]) + word.removeprefix(place) if word.startswith(place) else word for word in words]
    threads = {"OPENBLAS_NUM_THREADS": "1"}  # spinning ones starve whoever shares the machine
    variables = {**os.environ, **threads, **given}
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=250, env=variables)


def _configure(folder: Path, users: str) -> subprocess.CompletedProcess[str]:
    objects = rendered("hospital")
    pod = named(objects, "StatefulSet", "articula-orthanc")["spec"]["template"]["spec"]
    places = {name: folder / name for name in ("chart", "secrets", "target", "data")}
    for place in places.values():
        place.mkdir()
    for name, text in named(objects, "ConfigMap", "articula-orthanc")["data"].items():
        (places["chart"] / name).write_text(text)
    for name, text in (
        ("forwarder-password", "f"),
        ("log-key", "k\n"),
        ("postgresql-password", "p"),
        ("users.json", users),
    ):
        (places["secrets"] / name).write_text(text)
    return _run(
        pod["initContainers"][0]["command"],
        {
            "/opt/articula/venv/bin/python3": sys.executable,
            "/opt/articula/orthanc/orthanc.json": ROOT / "services/orthanc_plugin/image/orthanc.json",
            "/run/chart": places["chart"],
            "/run/secrets/articula": places["secrets"],
            "/target": places["target"],
            "/srv/orthanc": places["data"],
        },
    )


def test_orthanc_gets_its_configuration_with_secrets(tmp_path):
    """Image, cluster and secrets in one file, which the plugin and the probe understand."""
    assert _configure(tmp_path, '{"radiology": "r"}').stderr == ""
    assert {each.name for each in (tmp_path / "data").iterdir()} == {"storage", "index", "articula"}
    configuration = read_configuration(tmp_path / "target")
    settings = PluginSettings.from_configuration(configuration)
    assert (settings.user, settings.password, settings.log_key) == ("articula", "f", "k")
    assert settings.metrics_port == 9101
    assert settings.analysis == "articula-preprocessing:50051"
    assert configuration["RegisteredUsers"] == {"radiology": "r", "articula": "f"}
    assert configuration["AuthenticationEnabled"]
    assert configuration["PostgreSQL"]["TransactionMode"] == "Serializable"
    assert configuration["PostgreSQL"]["Password"] == "p"
    assert configuration["Plugins"][-1].endswith("libOrthancPostgreSQLIndex.so")


@pytest.mark.parametrize("users", ["{}", '{"radiology": ""}'])
def test_orthanc_does_not_start_with_an_empty_password(tmp_path, users):
    """The start of the pod ends with a sentence instead."""
    answer = _configure(tmp_path, users)
    assert answer.returncode != 0
    assert "empty" in answer.stderr


def _arguments(pool: str, changes: str = "{}") -> list[str]:
    pod = named(rendered("network", changes), "Deployment", f"articula-triton-{pool}")["spec"]["template"]["spec"]
    return next(each for each in pod["initContainers"] if each["name"] == "engines")["args"]


def _build_engines(arguments: list[str], places: dict[str, Path | str]) -> subprocess.CompletedProcess[str]:
    return _run([sys.executable, "-m", "tools.build_engines", *arguments], places)


@pytest.mark.timeout(900)
def test_a_pod_builds_the_engines_that_its_job_has_not(tmp_path):
    """Triton then reads a whole repository of plans; a pod that may not build finds them in the cache."""
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed; run tools/install/tensorrt.sh")
    places = {"/engines": tmp_path / "engines", "/served": tmp_path / "served"}
    places["/models"] = build_repository(tmp_path / "models")
    only_reading = json.dumps({"engineBuild": {"enabled": False}})
    assert _build_engines(_arguments("l4", only_reading), places).stderr.startswith("ENGINE_MISMATCH: ")
    assert not (tmp_path / "served").exists()
    for changes in ("{}", only_reading):
        ended = _build_engines(_arguments("l4", changes), places)
        assert ended.returncode == 0, ended.stderr
        assert len(list((tmp_path / "served").glob("*/1/model.plan"))) == 3


def test_a_gpu_pod_without_engines_serves_the_same_models_with_the_gpus_backend(tmp_path):
    """One source for both kinds of pods: a CPU's Triton could not read a GPU's repository, nor the other way round."""
    objects = rendered("shared")
    pod = named(objects, "Deployment", "articula-triton-a10")["spec"]["template"]["spec"]
    assert [each["name"] for each in pod["initContainers"]] == ["models", "profile"]
    places = {"/opt/articula/venv/bin/python": sys.executable, "/models": REPOSITORY, "/served": tmp_path / "served"}
    for _ in range(2):  # a start that broke is made again
        assert _run(pod["initContainers"][1]["command"], places).returncode == 0
    config = (tmp_path / "served/knee_cam/config.pbtxt").read_text()
    assert 'backend: "onnxruntime"' in config
    assert (tmp_path / "served/knee_cam/1/model.onnx").exists()
    processors = named(objects, "Deployment", "articula-triton-cpu")["spec"]["template"]["spec"]
    assert [each["name"] for each in processors["initContainers"]] == ["models"]


def test_models_are_copied_from_an_image(tmp_path):
    """The whole repository, hidden files included, at the place that Triton reads."""
    changes = {"models": {"source": "image", "image": {"repository": "models"}}}
    pod = named(rendered("hospital", json.dumps(changes)), "Deployment", "articula-triton-cpu")["spec"]["template"][
        "spec"
    ]
    (tmp_path / "models/knee_cam/1").mkdir(parents=True)
    (tmp_path / "models/knee_cam/config.pbtxt").write_text("x")
    (tmp_path / "target").mkdir()
    command = pod["initContainers"][0]["command"]
    assert _run(command, {"/models": tmp_path / "models", "/target": tmp_path / "target"}).returncode == 0
    assert (tmp_path / "target/knee_cam/config.pbtxt").read_text() == "x"
    mounts = {each["name"]: each["mountPath"] for each in pod["containers"][0]["volumeMounts"]}
    assert mounts["models"] == "/models"


@contextmanager
def _bucket(models: Path) -> Iterator[str]:
    """A real S3 store with these models at s3://models/1; its address."""
    port = plan.free_port()
    log = (models.parent / "store.log").open("wb")
    with log, subprocess.Popen([STORE / "moto_server", "--port", str(port)], stdout=log, stderr=log) as store:
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(lambda: _aws(address, "s3", "mb", "s3://models").returncode == 0)
            assert _aws(address, "s3", "sync", str(models), "s3://models/1").returncode == 0
            yield address
        finally:
            store.terminate()


def _aws(address: str, *words: str) -> subprocess.CompletedProcess[str]:
    given = {"AWS_ENDPOINT_URL": address, "AWS_DEFAULT_REGION": "us-east-1", **KEYS}
    return _run(["aws", *words], {"aws": STORE / "aws"}, **given)


@pytest.mark.skipif(not (STORE / "aws").exists(), reason="no S3 store; run tools/install/store.sh")
def test_models_are_copied_from_a_bucket(tmp_path):
    """What the bucket holds, no more: a file of an earlier version goes. A store without them ends the pod's start."""
    (tmp_path / "models/knee_cam/1").mkdir(parents=True)
    (tmp_path / "models/knee_cam/1/model.onnx").write_bytes(b"m" * 9_000_000)  # in several parts
    (tmp_path / "target/old").mkdir(parents=True)
    (tmp_path / "target/old/config.pbtxt").write_text("x")
    with _bucket(tmp_path / "models") as address:
        store = {"uri": "s3://models/1", "endpoint": address, "existingSecret": "store"}
        changes = {"models": {"source": "s3", "s3": store}}
        deployment = named(rendered("shared", json.dumps(changes)), "Deployment", "articula-triton-cpu")
        container = deployment["spec"]["template"]["spec"]["initContainers"][0]
        variables = {**environment(container), **KEYS}
        places = {"aws": STORE / "aws", "/target": tmp_path / "target"}
        assert _run(container["command"], places, **variables).returncode == 0
        missing = [word.replace("s3://models/1", "s3://nowhere/1") for word in container["command"]]
        assert "NoSuchBucket" in _run(missing, places, **variables).stderr
    files = [path for path in (tmp_path / "target").rglob("*") if path.is_file()]
    assert [path.relative_to(tmp_path / "target").as_posix() for path in files] == ["knee_cam/1/model.onnx"]
    assert files[0].stat().st_size == 9_000_000


def test_triton_knows_the_arguments_it_gets():
    """An unknown one would end the server at its start."""
    server = next(
        (ROOT / "build/triton-venv/lib").glob("python3*/site-packages/pytriton/tritonserver/bin/tritonserver")
    )
    text = subprocess.run([server, "--help"], capture_output=True, text=True, check=False).stderr
    container = named(rendered("hospital"), "Deployment", "articula-triton-cpu")["spec"]["template"]["spec"][
        "containers"
    ][0]
    for argument in container["args"]:
        name, _, number = argument.partition("=")
        assert f"{name} " in text
        assert int(number) >= 1000, "milliseconds"
