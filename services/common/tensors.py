"""The model contracts: names, types and shapes of every tensor that crosses to Triton.

The same specs are held against ``config.pbtxt``, the ONNX signatures and live Triton metadata by tests. Shapes leave
out the batch dimension, which stands in front of all of them.
"""

from dataclasses import dataclass
from typing import NewType

SLICES, ROWS, COLUMNS = 32, 256, 256
GRID = (SLICES, ROWS, COLUMNS)
PLANE_COUNT = 3
LABEL_COUNT = 12
STRUCTURE_COUNT = 14
CLASS_MAP_ROWS, CLASS_MAP_COLUMNS = 32, 32

TritonType = NewType("TritonType", str)
UINT8, FP16, FP32, INT64 = (TritonType(name) for name in ("UINT8", "FP16", "FP32", "INT64"))


@dataclass(frozen=True)
class TensorSpec:
    """One tensor: Triton's data type name and the shape without the batch dimension."""

    name: str
    data_type: TritonType
    shape: tuple[int, ...]


# CRC-32 of all inputs and then all outputs of one member, in the contract's order, which Triton's Python backend adds
# to its answers: after a machine was suspended it gives requests what belongs to others (docs/decisions/0019)
CHECKSUM = TensorSpec("checksum", INT64, (1,))


@dataclass(frozen=True)
class ModelContract:
    """What goes into a model and what comes out."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


KNEE_SEGMENTATION = ModelContract(
    name="knee_segmentation",
    inputs=(TensorSpec("volume", UINT8, GRID),),
    outputs=(
        TensorSpec("labels", UINT8, GRID),
        # the second most probable structure, and 255 times the first one's share of the two probabilities
        TensorSpec("runner_up", UINT8, GRID),
        TensorSpec("certainty", UINT8, GRID),
        TensorSpec("confidence", FP32, (STRUCTURE_COUNT,)),
    ),
)

KNEE_CLASSIFICATION = ModelContract(
    name="knee_classification",
    inputs=(
        TensorSpec("volumes", UINT8, (PLANE_COUNT, *GRID)),
        TensorSpec("slice_mask", UINT8, (PLANE_COUNT, SLICES)),
        # row_min, column_min, row_max, column_max of the joint in model pixels; all 0: unknown
        TensorSpec("region", FP32, (PLANE_COUNT, 4)),
    ),
    outputs=(
        TensorSpec("logits", FP32, (LABEL_COUNT,)),
        TensorSpec("attention", FP32, (PLANE_COUNT, SLICES, LABEL_COUNT)),
        TensorSpec("class_maps", FP16, (PLANE_COUNT, SLICES, LABEL_COUNT, CLASS_MAP_ROWS, CLASS_MAP_COLUMNS)),
    ),
)

KNEE_CAM = ModelContract(
    name="knee_cam",
    inputs=(
        TensorSpec("class_maps", FP16, (PLANE_COUNT, SLICES, LABEL_COUNT, CLASS_MAP_ROWS, CLASS_MAP_COLUMNS)),
        TensorSpec("attention", FP32, (PLANE_COUNT, SLICES, LABEL_COUNT)),
        TensorSpec("label", INT64, (1,)),
    ),
    outputs=(TensorSpec("saliency", UINT8, (PLANE_COUNT, *GRID)),),
)

MODELS = (KNEE_SEGMENTATION, KNEE_CLASSIFICATION, KNEE_CAM)
