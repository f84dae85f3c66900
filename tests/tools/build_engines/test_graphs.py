"""What is changed in a graph on its way to TensorRT changes no answer."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from services.common.tensors import KNEE_CAM, KNEE_CLASSIFICATION, KNEE_SEGMENTATION, MODELS
from tools.build_engines.accuracy import differences, run, too_different
from tools.build_engines.graphs import PRECISIONS, prepared, with_last_casts
from tools.evaluate.engine import REPOSITORY


def path_of(name: str) -> Path:
    return REPOSITORY / name / "1" / "model.onnx"


def casting_early() -> onnx.ModelProto:
    """X (2, 8) -> cast to uint8 -> reshape (4, 4)."""
    nodes = [
        helper.make_node("Cast", ["x"], ["small"], to=TensorProto.UINT8),
        helper.make_node("Reshape", ["small", "shape"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "early",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 8])],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, [4, 4])],
        [numpy_helper.from_array(np.array([4, 4]), "shape")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def test_a_cast_to_uint8_moves_behind_the_reshape():
    """The cast becomes the last node; a graph whose cast is last already stays as it is."""
    moved = with_last_casts(casting_early())
    onnx.checker.check_model(moved, full_check=True)
    assert [node.op_type for node in moved.graph.node] == ["Reshape", "Cast"]
    assert moved.graph.node[-1].output[0] == "y"
    again = [node.op_type for node in with_last_casts(moved).graph.node]
    assert again == ["Reshape", "Cast"]


@pytest.mark.parametrize("contract", MODELS, ids=lambda contract: contract.name)
def test_no_uint8_is_left_between_input_and_output(contract):
    """The only casts to uint8 of a prepared graph produce its outputs, in both precisions."""
    for precision in PRECISIONS:
        graph = prepared(path_of(contract.name), precision).graph
        outputs = {each.name for each in graph.output}
        casts = [node for node in graph.node if node.op_type == "Cast"]
        to_uint8 = [node for node in casts if onnx.helper.get_attribute_value(node.attribute[0]) == TensorProto.UINT8]
        assert {node.output[0] for node in to_uint8} <= outputs
        assert {each.name for each in graph.input} == {spec.name for spec in contract.inputs}


def test_half_precision_keeps_the_heat_and_the_logits():
    """FP16 moves a logit by less than a fifth and a saliency voxel by at most a few grey levels."""
    rng = np.random.default_rng(0)
    maps = np.round(rng.normal(size=(3, 32, 12, 32, 32)) * 16).astype(np.float16) / 4
    attention = rng.random((3, 32, 12)).astype(np.float32)
    heat = {"class_maps": maps, "attention": attention / attention.sum((0, 1)), "label": np.array([3])}
    exact, half = (run(prepared(path_of(KNEE_CAM.name), each), KNEE_CAM, heat)["saliency"] for each in PRECISIONS)
    assert np.abs(exact.astype(int) - half.astype(int)).max() <= 3
    volumes = rng.integers(0, 90, (3, 32, 256, 256)).astype(np.uint8)
    volumes[:, :, 90:170, 80:180] += 120
    knee = {"volumes": volumes, "slice_mask": np.ones((3, 32), np.uint8), "region": np.zeros((3, 4), np.float32)}
    exact, half = (
        run(prepared(path_of(KNEE_CLASSIFICATION.name), each), KNEE_CLASSIFICATION, knee)["logits"]
        for each in PRECISIONS
    )
    assert np.isfinite(half).all()
    assert np.abs(exact - half).max() < 0.2


def test_sums_over_whole_slices_do_not_overflow_in_half_precision():
    """65536 pixels of one structure are more than FP16 can count; confidence and labels stay as they were."""
    volume = np.zeros((32, 256, 256), np.uint8)
    volume[8:24, 90:170, 80:180] = 180
    exact, half = (
        run(prepared(path_of(KNEE_SEGMENTATION.name), each), KNEE_SEGMENTATION, {"volume": volume})
        for each in PRECISIONS
    )
    assert np.abs(exact["confidence"] - half["confidence"]).max() < 0.02
    assert (exact["labels"] == half["labels"]).mean() > 0.995
    assert too_different(exact, half) == []


def test_differences_say_what_changed():
    """Labels by their share of equal voxels, numbers by the largest gap."""
    exact = {"labels": np.array([1, 2, 3, 4]), "logits": np.array([1.0, -2.0])}
    half = {"labels": np.array([1, 2, 3, 5]), "logits": np.array([1.0, -1.5])}
    assert differences(exact, half) == {"labels": "0.75000 equal", "logits": "0.5 of 2"}


def test_an_answer_that_changed_too_much_is_named():
    """Small changes pass; a large one, and one that is no number, do not."""
    exact = {"labels": np.arange(1000) % 14, "logits": np.array([1.0, -2.0])}
    assert too_different(exact, {"labels": exact["labels"], "logits": np.array([1.1, -2.0])}) == []
    assert too_different(exact, {"labels": exact["labels"] + 1, "logits": np.array([np.nan, -2.0])}) == [
        "labels",
        "logits",
    ]
