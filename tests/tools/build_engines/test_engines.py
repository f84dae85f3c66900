"""TensorRT-RTX's importer takes every graph, for every GPU that is named, without a GPU."""

import subprocess
import sys

import onnx
import pytest
from onnx import TensorProto, helper

pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed; run tools/install/tensorrt.sh")

from services.common.tensors import MODELS, ModelContract, TensorSpec, TritonType
from tests.faults.tiny_models import build_repository
from tools.build_engines.engines import TARGETS, GraphRefused, build, runtime
from tools.build_engines.graphs import PRECISIONS, prepared
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


def test_engines_are_built_once_and_refused_where_nobody_may_build(tmp_path):
    """One line with a code where they are missing, or where the runtime does not know the GPU."""
    models = build_repository(tmp_path / "models")
    options = ("--repository", models, "--cache", tmp_path / "cache")
    refused = build_engines(*options, "--target", "8.9", "--no-build")
    assert (refused.returncode, refused.stderr[:15]) == (1, "ENGINE_MISMATCH")
    unknown = build_engines(*options, "--target", "1.0")
    assert unknown.returncode == 1
    assert unknown.stderr.startswith("GRAPH_REFUSED: this runtime builds nothing for compute capability 1.0")
    assert not list((tmp_path / "cache").glob("fp16-*"))
