"""A model repository with the contracts of the real one and networks that cost nothing."""

import hashlib
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from services.common.tensors import (
    CLASS_MAP_COLUMNS,
    CLASS_MAP_ROWS,
    KNEE_CLASSIFICATION,
    KNEE_SEGMENTATION,
    LABEL_COUNT,
    STRUCTURE_COUNT,
    ModelContract,
)
from tools.pin_models import set_parameter
from tools.stack.triton_server import MODEL_REPOSITORY

_TYPES = {"UINT8": TensorProto.UINT8, "FP16": TensorProto.FLOAT16, "FP32": TensorProto.FLOAT}
_OPSET = 17


def build_repository(folder: Path) -> Path:
    """Copy the repository, put tiny networks in the place of the large ones, one instance a model."""
    shutil.copytree(MODEL_REPOSITORY, folder, symlinks=False)
    _replace(folder, KNEE_SEGMENTATION, _segmentation())
    _replace(folder, KNEE_CLASSIFICATION, _classification())
    for config in folder.glob("*/config.pbtxt"):
        config.write_text(re.sub(r"count: \d+", "count: 1", config.read_text()))
    set_parameter(folder / KNEE_SEGMENTATION.name / "config.pbtxt", "bone_confidence", "0")
    return folder


def _replace(folder: Path, contract: ModelContract, graph: onnx.GraphProto) -> None:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=9)
    data = model.SerializeToString()
    (folder / contract.name / "1" / "model.onnx").write_bytes(data)
    set_parameter(folder / contract.name / "config.pbtxt", "onnx_sha256", hashlib.sha256(data).hexdigest())


def _segmentation() -> onnx.GraphProto:
    """Bright is femur, without a doubt; the confidence is the mean brightness."""
    nodes = [
        helper.make_node("Cast", ["volume"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Greater", ["x", "half"], ["bright"]),
        helper.make_node("Cast", ["bright"], ["labels"], to=TensorProto.UINT8),
        helper.make_node("Mul", ["x", "nothing"], ["none"]),
        helper.make_node("Cast", ["none"], ["runner_up"], to=TensorProto.UINT8),
        helper.make_node("Add", ["none", "sure"], ["full"]),
        helper.make_node("Cast", ["full"], ["certainty"], to=TensorProto.UINT8),
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "last"], ["column"]),
        helper.make_node("Mul", ["column", "ones"], ["confidence"]),
    ]
    constants = {
        "half": np.float32(128),
        "nothing": np.float32(0),
        "sure": np.float32(255),
        "last": np.array([1]),
        "ones": np.full((1, STRUCTURE_COUNT), 1 / 255, "f4"),
    }
    return _graph(KNEE_SEGMENTATION, nodes, constants)


def _classification() -> onnx.GraphProto:
    """The first finding is there, the others are not; how much depends on the pixels, so no two studies are alike."""
    map_ones = np.ones((1, 1, 1, LABEL_COUNT, CLASS_MAP_ROWS, CLASS_MAP_COLUMNS), np.float32)
    offsets = np.array([3.0] + [-6.0] * (LABEL_COUNT - 1), np.float32)[None]
    nodes = [
        helper.make_node("Cast", ["volumes"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["x"], ["slices"], axes=[3, 4], keepdims=0),
        helper.make_node("ReduceMean", ["slices"], ["study"], axes=[1, 2], keepdims=0),
        helper.make_node("Unsqueeze", ["study", "one"], ["column"]),
        helper.make_node("Mul", ["column", "per_label"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offsets"], ["logits"]),
        helper.make_node("Cast", ["slice_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["mask", "both"], ["sum"], keepdims=1),
        helper.make_node("Max", ["sum", "least"], ["used"]),
        helper.make_node("Div", ["mask", "used"], ["share"]),
        helper.make_node("Unsqueeze", ["share", "third"], ["deep"]),
        helper.make_node("Mul", ["deep", "label_ones"], ["attention"]),
        helper.make_node("Unsqueeze", ["slices", "rest"], ["small"]),
        helper.make_node("Mul", ["small", "map_ones"], ["large"]),
        helper.make_node("Cast", ["large"], ["class_maps"], to=TensorProto.FLOAT16),
        helper.make_node("Identity", ["region"], ["unused"]),
    ]
    constants = {
        "one": np.array([1]),
        "least": np.float32(1),
        "both": np.array([1, 2]),
        "third": np.array([3]),
        "rest": np.array([3, 4, 5]),
        "per_label": np.full((1, LABEL_COUNT), 1 / 255, "f4"),
        "offsets": offsets,
        "label_ones": np.ones((1, 1, 1, LABEL_COUNT), np.float32),
        "map_ones": map_ones,
    }
    return _graph(KNEE_CLASSIFICATION, nodes, constants)


def _graph(contract: ModelContract, nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]) -> onnx.GraphProto:
    def described(spec):
        return helper.make_tensor_value_info(spec.name, _TYPES[spec.data_type], ["N", *spec.shape])

    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    inputs, outputs = [described(each) for each in contract.inputs], [described(each) for each in contract.outputs]
    return helper.make_graph(nodes, contract.name, inputs, outputs, initializers)
