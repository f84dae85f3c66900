"""Triton's python backend for a CPU: OpenVINO reads the ``model.onnx`` beside this file.

All three models share this one file; each ``1/model.py`` is a symbolic link to it, so a stock Triton with OpenVINO in
its Python serves the repository as it is. Tensor names, types and shapes come from ``config.pbtxt`` alone.

Beside the outputs of the file there is ``checksum``, CRC-32 of a member's inputs and outputs. After a machine was
suspended Triton may take a living process of this for dead, give its late answer to the next request, and write that
over what the process still reads; by the checksum whoever asked can tell.

A request is inferred on its own even when Triton hands over several: measured on CPU, a batch costs what its members
cost one by one. Throughput comes from instances of one thread each.
"""

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import triton_python_backend_utils as pb_utils

Arrays = dict[str, Any]

CHECKSUM = "checksum"

_ONE_THREAD = {
    "INFERENCE_NUM_THREADS": 1,
    "NUM_STREAMS": 1,
    "ENABLE_CPU_PINNING": False,  # pinned, the instances of all models would share the first core
}


class TritonPythonModel:
    """One instance of one model, in a process of its own."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the model; raises ``ValueError`` for one that is not the file ``config.pbtxt`` names."""
        config = json.loads(args["model_config"])
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        check_digest(path, expected=parameter(config, "onnx_sha256"))
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._outputs = [tensor["name"] for tensor in config["output"] if tensor["name"] != CHECKSUM]
        self._request = compile_model(path, config).create_infer_request()

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer each request of a batch; one that fails does not take the others with it."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        if request.is_cancelled():
            error = pb_utils.TritonError("cancelled while it waited", pb_utils.TritonError.CANCELLED)
            return pb_utils.InferenceResponse(error=error)
        try:
            inputs = {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs}
            outputs = self._infer(inputs)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's alone
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"inference failed: {error}"))
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in outputs.items()])

    def _infer(self, inputs: Arrays) -> Arrays:
        """Run the members of a request one by one; every array has its batch dimension in front."""
        count = len(inputs[self._inputs[0]])
        members = [self._infer_one({name: array[i : i + 1] for name, array in inputs.items()}) for i in range(count)]
        return {name: np.concatenate([member[name] for member in members]) for name in (*self._outputs, CHECKSUM)}

    def _infer_one(self, inputs: Arrays) -> Arrays:
        # copied, so that what is inferred and what is summed are the same whatever happens to shared memory meanwhile
        copies = {name: array.copy() for name, array in inputs.items()}
        self._request.infer(copies, share_inputs=True)
        # copied, because the next member overwrites the engine's own buffers
        outputs = {name: self._request.get_tensor(name).data.copy() for name in self._outputs}
        return {**outputs, CHECKSUM: checksum([*copies.values(), *outputs.values()])}


def checksum(arrays: Sequence[Any]) -> Any:
    """CRC-32 of the bytes of some arrays, one after the other; shape ``(1, 1)``."""
    total = 0
    for array in arrays:
        total = zlib.crc32(array, total)
    return np.array([[total]], dtype=np.int64)


def parameter(config: Mapping[str, Any], key: str) -> str:
    """A free parameter of ``config.pbtxt``; raises ``ValueError`` where it is missing."""
    try:
        value: str = config["parameters"][key]["string_value"]
    except KeyError:
        message = f"{config['name']}: config.pbtxt has no parameter {key}"
        raise ValueError(message) from None
    return value


def check_digest(path: Path, *, expected: str) -> None:
    """Raise ``ValueError`` unless the file's sha256 is the expected one."""
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    if actual != expected:
        message = (
            f"{path.name} of {path.parents[1].name} is not the model config.pbtxt names: its sha256 is {actual}, "
            f"onnx_sha256 says {expected}. After an export run: python -m tools.pin_models"
        )
        raise ValueError(message)


def compile_model(path: Path, config: Mapping[str, Any]) -> Any:
    """The model for one member at a time and one thread, at the precision asked for where the CPU has it."""
    core = ov.Core()
    model = core.read_model(path)
    model.reshape({tensor["name"]: [1, *(int(size) for size in tensor["dims"])] for tensor in config["input"]})
    precision = parameter(config, "precision")
    if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pb_utils.Logger.log_warn(f"{config['name']}: this CPU has no bf16, computing in f32")
        precision = "f32"
    return core.compile_model(model, "CPU", {**_ONE_THREAD, "INFERENCE_PRECISION_HINT": precision})
