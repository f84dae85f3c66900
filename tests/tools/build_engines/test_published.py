"""A folder of engines appears whole, and one that does not fit is refused with what differs."""

import json
import shutil
from dataclasses import replace

import pytest

from services.common.tensors import MODELS
from tools.build_engines.published import (
    MANIFEST,
    Build,
    EngineMismatch,
    check,
    check_servable,
    fits,
    publish,
    read_engines,
)
from tools.pin_models import REPOSITORY

BUILD = Build("tensorrt_rtx", "1.7.1.116", "8.9", "fp16", (1, 2, 4))
ENGINES = {contract.name: contract.name.encode() for contract in MODELS}


@pytest.fixture
def folder(tmp_path):
    publish(tmp_path / "fp16-sm89", BUILD, REPOSITORY, ENGINES)
    return tmp_path / "fp16-sm89"


def test_a_published_folder_is_a_repository_with_a_manifest(folder):
    """Triton finds the plans, the chart the compute capability, and nothing else is left beside them."""
    assert sorted(each.name for each in folder.iterdir()) == sorted([MANIFEST, *ENGINES])
    assert '"compute_capability": "8.9"' in (folder / MANIFEST).read_text()
    assert read_engines(folder, REPOSITORY) == ENGINES
    assert fits(folder, BUILD, REPOSITORY)
    assert [each.name for each in folder.parent.iterdir()] == [folder.name]


def test_publishing_again_replaces_everything(folder):
    """The second set is there alone."""
    other = dict.fromkeys(ENGINES, b"new")
    publish(folder, replace(BUILD, precision="fp32"), REPOSITORY, other)
    assert read_engines(folder, REPOSITORY) == other
    assert sorted(each.name for each in folder.iterdir()) == sorted([MANIFEST, *ENGINES])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("runtime", "tensorrt"),
        ("runtime_version", "10.0"),
        ("compute_capability", "8.6"),
        ("precision", "fp32"),
        ("batches", (1, 4, 8)),
    ],
)
def test_engines_of_another_build_are_refused(folder, field, value):
    """Each part of the key counts, and the message names it."""
    other = replace(BUILD, **{field: value})
    assert other.key("a" * 64) != BUILD.key("a" * 64)
    with pytest.raises(EngineMismatch, match=f"^ENGINE_MISMATCH: .*{field} is"):
        check(folder, other, REPOSITORY)


def test_engines_that_prove_but_can_not_be_served_are_refused(folder):
    """Those of TensorRT-RTX are another format."""
    with pytest.raises(EngineMismatch, match="tensorrt_rtx built these"):
        check_servable(folder)
    publish(folder, replace(BUILD, runtime="tensorrt"), REPOSITORY, ENGINES)
    check_servable(folder)


def test_engines_of_another_graph_are_refused(folder, tmp_path):
    """A model that was exported again needs engines that were built again."""
    models = shutil.copytree(REPOSITORY, tmp_path / "models")
    with (models / "knee_cam" / "1" / "model.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(EngineMismatch, match=r"knee_cam was built from another model\.onnx"):
        check(folder, BUILD, models)


def test_a_damaged_folder_is_refused(folder):
    """A changed engine, a missing one, a manifest that is none."""
    plan = folder / "knee_cam" / "1" / "model.plan"
    plan.write_bytes(b"other")
    with pytest.raises(EngineMismatch, match="changed after"):
        check(folder, BUILD, REPOSITORY)
    plan.unlink()
    with pytest.raises(EngineMismatch, match="missing"):
        check(folder, BUILD, REPOSITORY)
    (folder / MANIFEST).write_text(json.dumps([])[:1])
    with pytest.raises(EngineMismatch, match=r"no readable manifest\.json"):
        check(folder, BUILD, REPOSITORY)
