"""The image that builds engines, as far as it goes without NVIDIA's base: it builds those of TensorRT-RTX as nobody."""

import importlib.util
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from services.common.tensors import MODELS
from tests.faults.tiny_models import build_repository
from tests.images.dockerfile import ROOT, Stage, parse
from tests.images.image import Builder
from tests.images.sandbox import as_user, enter
from tools.build_engines.published import read_engines

DOCKERFILE = ROOT / "model_repository/engines.Dockerfile"
PACKAGES = ("tensorrt_rtx_bindings", "tensorrt_rtx_libs")

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="overlay mounts need root"),
    pytest.mark.timeout(600),
]


def without_nvidias_base(stage: Stage) -> Stage:
    """This machine has the Python that apt would bring, and no libnvinfer to compare with."""
    kept = (each for each in stage.instructions if "apt-get" not in each.text and "libnvinfer" not in each.text)
    return replace(stage, instructions=tuple(kept))


def test_it_builds_engines_as_an_unprivileged_user_on_a_read_only_root(tmp_path):
    """The packages are installed by hash, everything that is imported is copied, and the cache gets whole engines."""
    if not all(importlib.util.find_spec(name) for name in PACKAGES):
        pytest.skip("TensorRT-RTX is not installed; run tools/install/tensorrt.sh")
    stage = without_nvidias_base(parse(DOCKERFILE)[-1])
    root = Builder(tmp_path, DOCKERFILE)._stage(stage, tmp_path / "image" / "root")
    models, cache, served = build_repository(tmp_path / "models"), tmp_path / "cache", tmp_path / "served"
    for folder in (cache, served):
        folder.mkdir()
        shutil.chown(folder, 10001, 10001)
    binds = {models: "/run/models", cache: "/run/cache", served: "/run/served"}
    for name in PACKAGES:
        binds[Path(importlib.util.find_spec(name).origin).parent] = f"/run/rtx/{name}"
    arguments = ["--repository", "/run/models", "--cache", "/run/cache", "--target", "8.9", "--out", "/run/served"]
    command = as_user(stage, {"PYTHONPATH": "/run/rtx"}, [*stage.last("ENTRYPOINT").words, *arguments])
    log = tmp_path / "log"
    assert enter(root, command, read_only=True, binds=binds, log=log).wait(300) == 0, log.read_text()[-3000:]
    assert set(read_engines(served, models)) == {contract.name for contract in MODELS}
