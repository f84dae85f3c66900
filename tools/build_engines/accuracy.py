"""What half precision changes, with ONNX Runtime on the CPU as the judge of both graphs on one synthetic knee.

The CPU computes single FP16 operations by way of FP32 and rounds after each, a GPU's tensor cores sum in FP32 as well;
so this is an estimate of the order of the error, not the error of any GPU.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from services.common.tensors import KNEE_CAM, KNEE_CLASSIFICATION, KNEE_SEGMENTATION, ModelContract
from services.common.transforms import joint_region
from services.preprocessing.stacking import stack_planes
from tools.evaluate.answers import sources_of
from tools.evaluate.testset import SyntheticStudy

Arrays = dict[str, NDArray[Any]]


def run(model: onnx.ModelProto | Path, contract: ModelContract, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
    """One batch of one in ONNX Runtime."""
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # it starves whoever shares the machine
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    names = [spec.name for spec in contract.outputs]
    return dict(zip(names, session.run(names, {name: array[None] for name, array in inputs.items()}), strict=True))


def inputs_of(study: SyntheticStudy, repository: Path) -> dict[str, Arrays]:
    """Inputs of each model by its name, as the service would make them from the study."""
    sources = sources_of(study)
    volumes, mask = stack_planes(sources.inputs)
    middle: Arrays = {"volume": volumes[0]}
    labels = run(_file(repository, KNEE_SEGMENTATION), KNEE_SEGMENTATION, middle)["labels"][0]
    region = np.stack([joint_region(labels)] * len(volumes))
    whole: Arrays = {"volumes": volumes, "slice_mask": mask, "region": region}
    classified = run(_file(repository, KNEE_CLASSIFICATION), KNEE_CLASSIFICATION, whole)
    label = np.array([int(np.argmax(classified["logits"]))], dtype=np.int64)
    heat: Arrays = {"class_maps": classified["class_maps"][0], "attention": classified["attention"][0], "label": label}
    return {KNEE_SEGMENTATION.name: middle, KNEE_CLASSIFICATION.name: whole, KNEE_CAM.name: heat}


def differences(exact: Arrays, half: Arrays) -> dict[str, str]:
    """By output: the share of equal voxels where one structure is chosen, else the largest absolute difference."""
    result = {}
    for name, array in exact.items():
        if name in _CHOICES:
            result[name] = f"{(array == half[name]).mean():.5f} equal"
        else:
            gap = np.abs(array.astype(np.float64) - half[name].astype(np.float64)).max()
            result[name] = f"{gap:.2g} of {np.abs(array.astype(np.float64)).max():.3g}"
    return result


_CHOICES = ("labels", "runner_up")
# the most that a prepared graph may change: share of unequal voxels of choices, else the largest absolute difference
MOST = {"labels": 0.01, "runner_up": 0.01, "certainty": 8.0, "confidence": 0.02, "logits": 0.2, "attention": 0.1}
MOST |= {"class_maps": 8.0, "saliency": 4.0}


def too_different(exact: Arrays, built: Arrays) -> list[str]:
    """The outputs that changed by more than ``MOST``, or are not finite."""
    # not a number is no less than anything
    return [name for name, array in exact.items() if not change(name, array, built[name]) <= MOST[name]]


def change(output: str, exact: NDArray[Any], built: NDArray[Any]) -> float:
    """How much an output differs, in the terms of ``MOST``; not a number where an answer is none."""
    one, other = exact.astype(np.float64), built.astype(np.float64)
    return float((one != other).mean() if output in _CHOICES else np.abs(one - other).max())


def _file(repository: Path, contract: ModelContract) -> Path:
    return repository / contract.name / "1" / "model.onnx"
