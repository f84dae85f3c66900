"""A short evaluation from phantom to report, with the committed models."""

import json
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from rich.progress import Progress

pytest.importorskip("matplotlib", reason="the report's plots need matplotlib (extra: tools)")

from services.common.finding import LABELS, mrnet_probabilities
from services.common.tensors import KNEE_CLASSIFICATION
from tools.evaluate import ablation, report, testset
from tools.evaluate.engine import REPOSITORY, Engine
from tools.evaluate.run import Options, evaluate, read_studies


def test_two_studies_make_a_whole_report_and_a_second_run_reads_nothing_again(tmp_path):
    """The page holds its pictures, the JSON every promised number, and the kept answers serve the next run."""
    options = Options(studies=2, ablation=0, jobs=2, folder=tmp_path / "build", matrix=64, failures=1, real=tmp_path)
    evaluate(options, publish=tmp_path / "docs")
    page = (tmp_path / "build" / "report.html").read_text()
    assert page.count("data:image/png;base64,") >= 6
    assert "<table>" in page
    assert "Research use only" in page
    numbers = json.loads((tmp_path / "build" / "report.json").read_text())
    assert set(numbers["auc"]) == set(LABELS)
    assert {"macro_auc", "mrnet_auc", "ece", "dice", "surface_mm", "cam", "ablation", "real"} <= set(numbers)
    assert set(numbers["mrnet_auc"]) == set(mrnet_probabilities(dict.fromkeys(LABELS, 0.0)))
    assert max(numbers["exactness"].values()) < 1e-4
    assert set(numbers["exactness"]) == {"OpenVINO", "ONNX Runtime"}
    shown = re.findall(r"\]\((\w+\.png)\)", (tmp_path / "docs" / "report.md").read_text())
    assert len(shown) >= 6
    assert all((tmp_path / "docs" / name).exists() for name in shown)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "build").rglob("7*")}
    assert len(kept) == 4
    with Progress(disable=True) as progress:
        again = read_studies(Engine(options.repository), options, progress)
    assert [each.seed for each in again] == list(testset.seeds(2))
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_a_graph_with_float_input_answers_the_same_to_whole_numbers(tmp_path):
    """Only the type of the input changes: uint8 values as float32 give the same logits."""
    engine = Engine(threads=2)
    target = ablation.with_float_input(engine.path(KNEE_CLASSIFICATION), KNEE_CLASSIFICATION, tmp_path)
    floating = Engine(graphs={KNEE_CLASSIFICATION.name: target}, threads=2)
    volumes = np.random.default_rng(0).integers(0, 255, KNEE_CLASSIFICATION.inputs[0].shape).astype(np.uint8)
    inputs = {"slice_mask": np.ones((3, 32), np.uint8), "region": np.zeros((3, 4), np.float32)}
    whole = engine.infer(KNEE_CLASSIFICATION, inputs | {"volumes": volumes})["logits"]
    same = floating.infer(KNEE_CLASSIFICATION, inputs | {"volumes": volumes.astype(np.float32)})["logits"]
    assert np.abs(whole - same).max() < 1e-4


def test_quantised_convolutions_answer_nearly_the_same(tmp_path):
    """The graph that comes out holds int8 weights and stays within a few per cent."""
    rng = np.random.default_rng(0)
    weight = numpy_helper.from_array(rng.normal(size=(4, 3, 3, 3)).astype(np.float32), "w")
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    shape = [1, 3, 16, 16]
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 16, 16])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    source, target = tmp_path / "one.onnx", tmp_path / "int8.onnx"
    onnx.save(model, source)
    inputs = [{"x": rng.random(shape).astype(np.float32)} for _ in range(3)]
    ablation.quantise(source, target, inputs)
    assert any(each.data_type == TensorProto.INT8 for each in onnx.load(target).graph.initializer)
    exact, quantised = (
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, inputs[0])[0]
        for path in (source, target)
    )
    # the median, because sums of 8-bit products saturate in places in ONNX Runtime on CPUs without VNNI
    assert np.median(np.abs(exact - quantised)) < 0.02 * np.abs(exact).mean()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["int8.onnx", "one.onnx"]


def test_the_engine_reads_what_the_repository_serves():
    """Parameters are those of ``config.pbtxt``; a missing bf16 becomes f32 instead of an error."""
    engine = Engine(Path(REPOSITORY), precision="bf16")
    assert len(engine.parameters(KNEE_CLASSIFICATION)["thresholds"].split(",")) == len(LABELS)
    assert engine.path(KNEE_CLASSIFICATION).exists()


def test_numbers_in_the_report_are_short_and_gaps_are_dashes():
    """Three decimals, exponents where those show nothing, a dash for what is unknown."""
    assert [report.number(value) for value in (0.5, 1e-7, float("nan"), None)] == ["0.500", "1.0e-07", "-", "-"]
    assert [report.signed(value) for value in (0.01, -0.002, None)] == ["+0.0100", "-0.0020", "-"]
    assert [report.between(pair) for pair in ([0.1, 0.2], [0.1, float("nan")])] == ["0.100-0.200", "-"]
