"""TensorRT-RTX's importer takes every graph, for every GPU that is named, without a GPU."""

import subprocess
import sys

import onnx
import pytest
from onnx import TensorProto, helper

pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu12 is not installed (extra: gpu)")

from services.common.tensors import MODELS, ModelContract, TensorSpec, TritonType
from tools.build_engines.engines import TARGETS, GraphRefused, build, runtime
from tools.build_engines.graphs import PRECISIONS, prepared
from tools.build_engines.published import read_engines
from tools.evaluate.engine import REPOSITORY


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("contract", MODELS, ids=lambda contract: contract.name)
def test_every_graph_becomes_an_engine_for_every_target(contract, precision):
    """Importer and builder accept it, and the engine names the target."""
    model = prepared(REPOSITORY / contract.name / "1" / "model.onnx", precision)
    for target in TARGETS:
        engine = build(model, contract, target, engine_runtime=runtime())
        assert len(engine) > 1000
        assert f"sm{target.replace('.', '')}".encode() in engine.lower()


def test_a_graph_that_it_can_not_run_is_refused_with_a_reason():
    """INT16 is a type that TensorRT does not know."""
    values = [helper.make_tensor_value_info(name, TensorProto.INT16, ["batch", 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "no", [values[0]], [values[1]])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    onnx.checker.check_model(model)
    contract = ModelContract("no", (TensorSpec("x", TritonType("INT16"), (4,)),), ())
    with pytest.raises(GraphRefused, match="convertDtype"):
        build(model, contract, TARGETS[0], engine_runtime=runtime())


def build_engines(*options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.build_engines", *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_engines_are_built_once_and_copied_to_where_triton_reads_them(tmp_path):
    """The commands of the chart's Job and of its pods: built once, then found, and refused before."""
    options = ("--cache", tmp_path / "cache", "--target", "8.9", "--precision", "fp16")
    refused = build_engines(*options, "--no-build")
    assert (refused.returncode, refused.stderr[:15]) == (1, "ENGINE_MISMATCH")
    ended = build_engines(*options)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "built" in ended.stdout
    ended = build_engines(*options, "--out", tmp_path / "out", "--no-build")
    assert "there already" in " ".join(ended.stdout.split())
    assert set(read_engines(tmp_path / "out", REPOSITORY)) == {contract.name for contract in MODELS}


def test_a_gpu_that_the_runtime_does_not_know_is_refused(tmp_path):
    """One line with a code, and nothing is published."""
    ended = build_engines("--cache", tmp_path, "--target", "1.0")
    assert ended.returncode == 1
    assert ended.stderr.startswith("GRAPH_REFUSED: this runtime builds nothing for compute capability 1.0")
    assert not list(tmp_path.glob("fp16-*"))
