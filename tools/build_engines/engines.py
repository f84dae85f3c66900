"""Engines for GPUs that are not here: TensorRT-RTX builds them on a CPU, for one compute capability each.

A build proves that the importer takes the graph, its types and its shapes. It measures no speed and no accuracy on a
GPU: the kernels are compiled there. TensorRT-RTX's engines are not those of full TensorRT; Triton's ``tensorrt``
backend needs its own, built from the same graphs where its libraries are installed.
"""

from typing import Any

import onnx
import tensorrt_rtx

from services.common.tensors import ModelContract

TARGETS = ("SM80", "SM86", "SM89")
BATCHES = (1, 2, 4)  # least, usual and largest batch of the optimisation profile


class GraphRefused(Exception):
    """The importer or the builder does not take the graph; the message says why."""


def build(model: onnx.ModelProto, contract: ModelContract, target: str) -> bytes:
    """The serialised engine for one compute capability, such as ``SM86``. Raises ``GraphRefused``."""
    builder = tensorrt_rtx.Builder(_logger())
    network = builder.create_network(1 << int(tensorrt_rtx.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = tensorrt_rtx.OnnxParser(network, _logger())
    if not parser.parse(model.SerializeToString()):
        raise GraphRefused("; ".join(str(parser.get_error(i)) for i in range(parser.num_errors)))
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(tensorrt_rtx.ComputeCapability, target), 0)
    profile = builder.create_optimization_profile()
    for spec in contract.inputs:
        profile.set_shape(spec.name, *((batch, *spec.shape) for batch in BATCHES))
    config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        message = f"no engine of {contract.name} for {target}"
        raise GraphRefused(message)
    return bytes(engine)


def _logger() -> Any:
    """TensorRT keeps the first logger it is given for the whole process."""
    if not _LOGGERS:
        _LOGGERS.append(tensorrt_rtx.Logger(tensorrt_rtx.Logger.ERROR))
    return _LOGGERS[0]


_LOGGERS: list[Any] = []
