"""Every profile serves the same models: same names, types, shapes and batches, other backends."""

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton

from services.common.tensors import MODELS
from services.common.triton import TritonClient
from tests.common.test_triton import needs_triton, real_triton, until
from tests.faults.tiny_models import build_repository
from tools.gpu_check.load import executions
from tools.model_repository.generate import write
from tools.model_repository.profiles import MAX_BATCH, PROFILES, committed, configuration, outputs
from tools.pin_models import REPOSITORY

ENGINES = {contract.name: contract.name.encode() for contract in MODELS}


def written(profile: str, folder: Path) -> dict[str, triton.ModelConfig]:
    write(profile, REPOSITORY, folder, engines=ENGINES if profile == "tensorrt" else None)
    return {
        each.name: text_format.Parse((folder / each.name / "config.pbtxt").read_text(), triton.ModelConfig())
        for each in MODELS
    }


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_keeps_the_contract(profile, tmp_path):
    """Tensors, batching and parameters are those of the contract and of the committed files; the file is there."""
    for contract in MODELS:
        config = written(profile, tmp_path / contract.name)[contract.name]
        given = outputs(contract, PROFILES[profile])
        for values, specs in ((config.input, contract.inputs), (config.output, given)):
            found = [(each.name, triton.DataType.Name(each.data_type), tuple(each.dims)) for each in values]
            assert found == [(spec.name, f"TYPE_{spec.data_type}", spec.shape) for spec in specs]
        assert config.max_batch_size == MAX_BATCH
        assert config.HasField("dynamic_batching")
        assert config.parameters == committed(REPOSITORY, contract).parameters
        assert (tmp_path / contract.name / contract.name / "1" / PROFILES[profile].file).stat().st_size > 0


def test_the_committed_repository_is_the_cpu_profile(tmp_path):
    """What the table says and what is served on a CPU are one thing."""
    for name, config in written("cpu", tmp_path).items():
        contract = next(each for each in MODELS if each.name == name)
        assert config == committed(REPOSITORY, contract)


def test_the_gpu_profiles_run_on_gpus(tmp_path):
    """ONNX Runtime with its TensorRT provider, and TensorRT's own backend."""
    onnx, plans = written("onnx", tmp_path / "onnx"), written("tensorrt", tmp_path / "plans")
    for config in (*onnx.values(), *plans.values()):
        assert config.instance_group[0].kind == triton.ModelInstanceGroup.KIND_GPU
    accelerators = onnx["knee_cam"].optimization.execution_accelerators.gpu_execution_accelerator
    assert [each.name for each in accelerators] == ["tensorrt"]
    assert plans["knee_cam"].backend == "tensorrt"


def test_the_gpu_profiles_are_warm_before_they_are_ready(tmp_path):
    """The largest and the least batch; a processor compiles nothing at its first inference."""
    for profile in ("onnx", "tensorrt"):
        for config in written(profile, tmp_path / profile).values():
            assert [each.batch_size for each in config.model_warmup] == [MAX_BATCH, 1]
            assert set(config.model_warmup[0].inputs) == {each.name for each in config.input}
    assert not written("cpu", tmp_path / "cpu")["knee_cam"].model_warmup


@pytest.mark.triton
@needs_triton
def test_a_real_triton_takes_the_warmup(tmp_path):
    """Before the first request of anybody it has inferred both batches of every model."""
    models = build_repository(tmp_path / "models")
    for contract in MODELS:
        path = models / contract.name / "config.pbtxt"
        warm = configuration(contract, PROFILES["onnx"], {}).model_warmup
        config = text_format.Parse(path.read_text(), triton.ModelConfig())
        config.model_warmup.extend(warm)
        path.write_text(text_format.MessageToString(config))
    with real_triton(models, tmp_path / "log") as (target, _), TritonClient(target, timeout_seconds=30) as client:
        assert until(client.ready)
        assert executions(target, MODELS) == (3 * (MAX_BATCH + 1), 3 * 2)


def test_engines_and_profile_must_fit(tmp_path):
    """TensorRT without engines is refused in one line, and so are engines nobody asked for."""
    command = [sys.executable, "-m", "tools.model_repository", "--profile", "tensorrt", "--out", str(tmp_path / "out")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, "profile tensorrt needs engines\n")
    with pytest.raises(ValueError, match="takes no engines"):
        write("cpu", REPOSITORY, tmp_path / "cpu", engines=ENGINES)
