"""Engines for one kind of GPU: TensorRT's where it is installed, else TensorRT-RTX's, which are built without a GPU.

A build by TensorRT-RTX proves that the importer takes the graph, its types and its shapes. It measures no speed and no
accuracy on a GPU: the kernels are compiled there. Its engines are not those of full TensorRT; Triton's ``tensorrt``
backend needs the latter, and says so when it is given the others.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from services.common.tensors import ModelContract
from tools.build_engines.device import Device, device

TARGETS = ("8.0", "8.6", "8.9")
# "tensorrt_bindings" take the libraries of the system, as in NVIDIA's image of Triton; by what each is called
_MODULES = {"tensorrt": "tensorrt", "tensorrt_bindings": "tensorrt", "tensorrt_rtx_bindings": "tensorrt_rtx"}
BATCHES = (1, 2, 4)  # least, usual and largest batch of the optimisation profile


class GraphRefused(Exception):
    """The importer or the builder does not take the graph, or it answers too differently; the message says why."""

    code = "GRAPH_REFUSED"


class GpuMismatch(Exception):
    """TensorRT builds for the GPU that is here, and it is not the one asked for; the message says which it is."""

    code = "GPU_MISMATCH"


@dataclass(frozen=True)
class Runtime:
    """The package that builds, and what its engines are called in a manifest."""

    name: str
    version: str
    module: Any

    @property
    def for_any_gpu(self) -> bool:
        """Whether it builds for a GPU that is named; else for the one that is here."""
        return hasattr(self.module, "ComputeCapability")


def runtime() -> Runtime:
    """TensorRT where it is installed, else TensorRT-RTX; raises ``ImportError`` where neither is."""
    for module_name, name in _MODULES.items():
        try:
            module = importlib.import_module(module_name)
        except ImportError:
            continue
        return Runtime(name, str(module.__version__), module)
    message = "neither TensorRT nor TensorRT-RTX (tools/install/tensorrt.sh) is installed"
    raise ImportError(message)


def build(
    model: onnx.ModelProto,
    contract: ModelContract,
    target: str,
    *,
    engine_runtime: Runtime,
    timing_cache: Path | None = None,
) -> bytes:
    """The serialised engine for one compute capability, such as "8.9". Raises ``GraphRefused`` and ``GpuMismatch``.

    ``timing_cache`` holds what the builder measured on this GPU and is updated; TensorRT-RTX measures nothing.
    """
    trt = engine_runtime.module
    if not engine_runtime.for_any_gpu:
        must_be_here(target, device())
    builder = trt.Builder(_logger(trt))
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, _logger(trt))
    if not parser.parse(model.SerializeToString()):
        raise GraphRefused("; ".join(str(parser.get_error(i)) for i in range(parser.num_errors)))
    config = builder.create_builder_config()
    if engine_runtime.for_any_gpu:
        config.num_compute_capabilities = 1
        config.set_compute_capability(_capability(trt, target), 0)
    config.add_optimization_profile(_profile(builder, contract))
    measured = _timing_cache(config, timing_cache) if not engine_runtime.for_any_gpu else None
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        message = f"no engine of {contract.name} for {target}"
        raise GraphRefused(message)
    if measured is not None and timing_cache is not None:
        timing_cache.write_bytes(bytes(measured.serialize()))
    return bytes(engine)


def must_be_here(target: str, here: Device | None) -> None:
    """Raise ``GpuMismatch`` unless this machine's GPU is the target: an engine would be filed under a wrong name."""
    if here is None or here.compute_capability != target:
        found = f"{here.name}, {here.compute_capability}" if here else "none"
        message = f"engines for {target} are built on such a GPU; the one here is {found}"
        raise GpuMismatch(message)


def _capability(trt: Any, target: str) -> Any:
    name = f"SM{target.replace('.', '')}"
    if not hasattr(trt.ComputeCapability, name):
        message = f"this runtime builds nothing for compute capability {target}"
        raise GraphRefused(message)
    return getattr(trt.ComputeCapability, name)


def _profile(builder: Any, contract: ModelContract) -> Any:
    profile = builder.create_optimization_profile()
    for spec in contract.inputs:
        profile.set_shape(spec.name, *((batch, *spec.shape) for batch in BATCHES))
    return profile


def _timing_cache(config: Any, path: Path | None) -> Any:
    if path is None:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    cache = config.create_timing_cache(path.read_bytes() if path.exists() else b"")
    config.set_timing_cache(cache, ignore_mismatch=False)
    return cache


def _logger(trt: Any) -> Any:
    """TensorRT keeps the first logger it is given for the whole process."""
    if not _LOGGERS:
        _LOGGERS.append(trt.Logger(trt.Logger.ERROR))
    return _LOGGERS[0]


_LOGGERS: list[Any] = []
