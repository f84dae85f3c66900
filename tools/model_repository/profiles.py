"""What differs between the ways to serve the models; everything else comes from the contract and the committed files.

Names, types, shapes: ``services/common/tensors.py``. Thresholds and digests: the committed ``config.pbtxt``. So a
profile can't disagree with the others about what a model is, only about what runs it.
"""

from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton

from services.common.tensors import CHECKSUM, ModelContract, TensorSpec

MAX_BATCH = 4  # of every profile; engines are built for it
_WORKSPACE_BYTES = 1 << 30


@dataclass(frozen=True)
class Profile:
    """One way to serve: a backend, the file it reads, and where its instances run."""

    name: str
    backend: str
    file: str
    kind: "triton.ModelInstanceGroup.Kind"
    instances: int
    accelerator: str = ""  # execution provider of the ONNX Runtime backend
    warm: bool = False  # infer before the model is ready: the first inference on a GPU compiles, up to minutes long


PROFILES = {
    each.name: each
    for each in (
        # one thread each: on few cores two such instances beat one with two threads
        Profile("cpu", "python", "model.onnx", triton.ModelInstanceGroup.KIND_CPU, 2),
        Profile("onnx", "onnxruntime", "model.onnx", triton.ModelInstanceGroup.KIND_GPU, 1, "tensorrt", warm=True),
        # a second instance copies the next batch to the GPU while the first computes
        Profile("tensorrt", "tensorrt", "model.plan", triton.ModelInstanceGroup.KIND_GPU, 2, warm=True),
    )
}


def committed(repository: Path, contract: ModelContract) -> triton.ModelConfig:
    """The configuration in the repository of this checkout; raises ``OSError`` or ``text_format.ParseError``."""
    text = (repository / contract.name / "config.pbtxt").read_text()
    return text_format.Parse(text, triton.ModelConfig())


def configuration(contract: ModelContract, profile: Profile, parameters: dict[str, str]) -> triton.ModelConfig:
    """The whole ``config.pbtxt`` of one model in one profile.

    Priorities need a second instance: with one, the batcher of Triton 2.51 idles up to half a second a batch for them.
    """
    config = triton.ModelConfig(name=contract.name, backend=profile.backend, max_batch_size=MAX_BATCH)
    for spec in contract.inputs:
        config.input.add(name=spec.name, data_type=_type(spec), dims=spec.shape)
    for spec in outputs(contract, profile):
        config.output.add(name=spec.name, data_type=_type(spec), dims=spec.shape)
    config.dynamic_batching.SetInParent()
    if profile.instances > 1:
        config.dynamic_batching.priority_levels, config.dynamic_batching.default_priority_level = 3, 2
    config.instance_group.add(kind=profile.kind, count=profile.instances)
    for key, value in parameters.items():
        config.parameters[key].string_value = value
    if profile.warm:
        _add_warmup(config, contract)
    if profile.accelerator:
        config.optimization.execution_accelerators.gpu_execution_accelerator.add(
            name=profile.accelerator,
            parameters={"precision_mode": "FP16", "max_workspace_size_bytes": str(_WORKSPACE_BYTES)},
        )
    return config


def outputs(contract: ModelContract, profile: Profile) -> tuple[TensorSpec, ...]:
    """What comes out of a model in a profile: the Python backend adds a checksum."""
    return (*contract.outputs, CHECKSUM) if profile.backend == "python" else contract.outputs


def _add_warmup(config: triton.ModelConfig, contract: ModelContract) -> None:
    """One inference of the largest batch and one of the least, so that no study meets a size that is not compiled."""
    for batch in (MAX_BATCH, 1):
        sample = config.model_warmup.add(name=f"batch of {batch}", batch_size=batch)
        for spec in contract.inputs:
            tensor = sample.inputs[spec.name]
            tensor.data_type, tensor.zero_data = _type(spec), True
            tensor.dims.extend(spec.shape)


def _type(spec: TensorSpec) -> int:
    return triton.DataType.Value(f"TYPE_{spec.data_type}")
