"""The client against a real Triton with the real models: values survive, trouble is typed, a dead backend is seen."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from services.common.errors import ServiceUnavailable, StudyRefused
from services.common.tensors import KNEE_CAM, KNEE_CLASSIFICATION, KNEE_SEGMENTATION, MODELS
from services.common.triton import TritonClient
from tests.fakes.triton_server import FakeTriton, fake_triton
from tools.stack.plan import _free_port
from tools.stack.probes import triton_alive, triton_ready
from tools.stack.triton_server import MODEL_REPOSITORY, VENV, triton_command

needs_triton = pytest.mark.skipif(not (VENV / "bin").exists(), reason="no Triton environment; run make test")


@contextmanager
def real_triton(repository: Path, log: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A tritonserver on free ports; yields its address before it is ready."""
    port = _free_port()
    server = triton_command(repository, grpc_port=port, metrics_port=_free_port())
    with log.open("wb") as output:
        process = subprocess.Popen(server.command, env=server.environment, stdout=output, stderr=output)
    try:
        yield f"127.0.0.1:{port}", process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def until(condition, seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.2)
    return False


@pytest.mark.triton
@needs_triton
def test_values_make_the_round_trip_and_a_dead_backend_is_noticed(tmp_path):
    """Ready means right values; with its backend processes killed Triton still says ready, and our probe says no."""
    with real_triton(MODEL_REPOSITORY, tmp_path / "log") as (target, process):
        assert until(lambda: triton_ready(target)), (tmp_path / "log").read_text()[-3000:]
        with TritonClient(target, timeout_seconds=30) as triton:
            assert set(triton.model_digests()) == {contract.name for contract in MODELS}
            answer = triton.infer(KNEE_SEGMENTATION, {"volume": np.zeros((32, 256, 256), np.uint8)})
            assert answer["labels"].shape == (32, 256, 256)
            assert abs(answer["confidence"].max() - 1) < 1
            for child in psutil.Process(process.pid).children(recursive=True):
                if "stub" in child.name():
                    os.kill(child.pid, signal.SIGKILL)
            assert until(lambda: not triton_alive(target), 20)
            assert triton.ready()
            inputs = {"class_maps": np.zeros((3, 32, 12, 32, 32), np.float16)}
            inputs |= {"attention": np.zeros((3, 32, 12), np.float32), "label": np.zeros(1, np.int64)}
            with pytest.raises(ServiceUnavailable):
                triton.infer(KNEE_CAM, inputs)


@pytest.mark.triton
@needs_triton
def test_a_model_file_with_another_digest_is_not_loaded(tmp_path):
    """Triton ends with a message that names the digest, instead of serving something unknown."""
    repository = tmp_path / "models"
    shutil.copytree(MODEL_REPOSITORY, repository)
    with (repository / "knee_cam" / "1" / "model.onnx").open("ab") as model:
        model.write(b"\0")
    with real_triton(repository, tmp_path / "log") as (_, process):
        assert process.wait(60) != 0
    assert "onnx_sha256 says" in (tmp_path / "log").read_text()


def test_inputs_against_the_contract_never_leave_the_process():
    """A wrong shape or type is our own defect and says what was expected."""
    with TritonClient("127.0.0.1:1", timeout_seconds=1) as triton:
        with pytest.raises(ValueError, match=r"volume must be UINT8 \(32, 256, 256\)"):
            triton.infer(KNEE_SEGMENTATION, {"volume": np.zeros((32, 256, 256), np.float32)})
        with pytest.raises(ValueError, match="volume must be"):
            triton.infer(KNEE_SEGMENTATION, {"volume": np.zeros((1, 256, 256), np.uint8)})


def test_a_server_that_is_not_there_is_unavailable():
    """No connection is trouble of the service, worth another try."""
    with TritonClient("127.0.0.1:1", timeout_seconds=2) as triton:
        assert not triton.ready()
        with pytest.raises(ServiceUnavailable):
            triton.infer(KNEE_SEGMENTATION, {"volume": np.zeros((32, 256, 256), np.uint8)})


class NotANumber(FakeTriton):
    """Answers with NaN."""

    def knee_classification(self, volumes, slice_mask, region):
        """A logit that is no number."""
        answer = super().knee_classification(volumes, slice_mask, region)
        return {**answer, "logits": np.full(12, np.nan)}


@pytest.mark.parametrize("servicer", [NotANumber(), FakeTriton(broken="knee_classification")])
def test_outputs_against_the_contract_are_refused(servicer):
    """NaN and truncated tensors never become a finding."""
    inputs = {"volumes": np.zeros((3, 32, 256, 256), np.uint8), "slice_mask": np.ones((3, 32), np.uint8)}
    inputs["region"] = np.zeros((3, 4), np.float32)
    with (
        fake_triton(servicer) as target,
        TritonClient(target, timeout_seconds=10) as triton,
        pytest.raises(StudyRefused, match="MODEL_OUTPUT_INVALID"),
    ):
        triton.infer(KNEE_CLASSIFICATION, inputs)
