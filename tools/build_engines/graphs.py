"""The two changes that a graph needs on its way to TensorRT: casts to uint8 at the very end, and half precision.

TensorRT takes UINT8 as a network's input and output but nowhere between, so a cast to UINT8 must be the last node of
its branch. In half precision the sums over whole slices would pass 65504, the largest FP16 number, so reductions and
what follows them stay in FP32.
"""

from pathlib import Path

import onnx
from onnx import TensorProto, helper
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

PRECISIONS = ("fp32", "fp16")
# sums over 65536 pixels overflow FP16, also while reshaped; the pooling behind the class maps has to stay exact
IN_FP32 = ("Reshape", "ReduceSum", "ReduceMean", "ReduceMax", "Div", "Clip", "Exp", "Round", "Reciprocal", "Softmax")
_ONLY_MOVES_DATA = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Flatten"})


def prepared(path: Path, precision: str) -> onnx.ModelProto:
    """The graph of a file as the builder gets it: ``fp32``, or ``fp16`` with inputs and outputs of unchanged type."""
    model = with_last_casts(onnx.load(path))
    if precision == "fp16":
        blocked = [*DEFAULT_OP_BLOCK_LIST, *IN_FP32]
        half = OnnxModel(convert_float_to_float16(model, keep_io_types=True, op_block_list=blocked))
        without_detours(half.model)
        half.topological_sort()  # the casts are appended at the end
        model = half.model
    onnx.checker.check_model(model)
    return model


def without_detours(model: onnx.ModelProto) -> None:
    """Between two nodes that stay in FP32 the converter casts to FP16 and back; go straight on instead, in place."""
    casts = {node.output[0]: node for node in model.graph.node if node.op_type == "Cast"}
    for back in casts.values():
        there = casts.get(back.input[0])
        if there is not None and (_target(there), _target(back)) == (TensorProto.FLOAT16, TensorProto.FLOAT):
            back.input[0] = there.input[0]


def _target(cast: onnx.NodeProto) -> int:
    return int(next(helper.get_attribute_value(each) for each in cast.attribute if each.name == "to"))


def with_last_casts(model: onnx.ModelProto) -> onnx.ModelProto:
    """Move each cast to uint8 behind the reshapes that follow it; the numbers stay the same."""
    graph = model.graph
    names = {each.name for each in graph.output}
    for output in [each for each in graph.output if each.type.tensor_type.elem_type == TensorProto.UINT8]:
        producer = {name: node for node in graph.node for name in node.output}
        path: list[onnx.NodeProto] = []
        node = producer.get(output.name)
        while node is not None and node.op_type in _ONLY_MOVES_DATA:
            path.append(node)
            node = producer.get(node.input[0])
        if node is None or node.op_type != "Cast" or not path or node.output[0] in names:
            continue
        path[-1].input[0] = node.input[0]
        before = f"{output.name}_before_cast"
        path[0].output[0] = before
        cast = helper.make_node("Cast", [before], [output.name], name=f"{output.name}_cast", to=TensorProto.UINT8)
        graph.node.remove(node)
        graph.node.append(cast)
    del graph.value_info[:]
    return model
