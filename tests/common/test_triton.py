"""The client against a real Triton with the real models: values survive, trouble is typed, a dead backend is seen."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import onnxruntime
import psutil
import pytest
import tritonclient.grpc as triton_grpc

from services.common.errors import ServiceUnavailable, StudyRefused
from services.common.metrics import TRITON_REJECTIONS
from services.common.pb import analysis_pb2 as pb
from services.common.tensors import (
    CHECKSUM,
    KNEE_CAM,
    KNEE_CLASSIFICATION,
    KNEE_SEGMENTATION,
    MODELS,
    ModelContract,
)
from services.common.triton import TritonClient, checksum
from tests.fakes.triton_server import FakeTriton, fake_triton
from tests.faults.proxy import Proxy, ProxyLoop, Trouble
from tests.faults.tiny_models import build_repository
from tools.stack.plan import free_port
from tools.stack.probes import triton_alive, triton_ready
from tools.stack.triton_server import MODEL_REPOSITORY, VENV, triton_command

_TYPES = {"UINT8": np.uint8, "FP16": np.float16, "FP32": np.float32, "INT64": np.int64}

needs_triton = pytest.mark.skipif(not (VENV / "bin").exists(), reason="no Triton environment; run make test")


@contextmanager
def real_triton(repository: Path, log: Path, *, port: int = 0) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A tritonserver on free ports; yields its address before it is ready."""
    port = port or free_port()
    server = triton_command(repository, grpc_port=port, metrics_port=free_port())
    server.prepare()
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
        server.prepare()


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
    """Answers are those of another engine on the same file; Triton stays "ready" with a dead backend, our probe not."""
    with real_triton(MODEL_REPOSITORY, tmp_path / "log") as (target, process):
        assert until(lambda: triton_ready(target)), (tmp_path / "log").read_text()[-3000:]
        with TritonClient(target, timeout_seconds=30) as triton:
            assert set(triton.model_parameters()) == {contract.name for contract in MODELS}
            answers_like_onnxruntime(triton)
            every_member_has_a_checksum(target)
            assert triton_alive(target, process.pid)
            urgent_requests_overtake(target)
            # one of two processes of a model that the liveness probe does not call
            os.kill(backends(process.pid, KNEE_SEGMENTATION)[0], signal.SIGKILL)
            assert until(lambda: not triton_alive(target, process.pid), 10)
            for pid in backends(process.pid, KNEE_CAM):
                os.kill(pid, signal.SIGKILL)
            assert triton.ready()
            with pytest.raises(ServiceUnavailable):
                triton.infer(KNEE_CAM, random_inputs(KNEE_CAM))
            assert shared_memory(target)
    assert not shared_memory(target)


def every_member_has_a_checksum(target: str) -> None:
    """CRC-32 of its own inputs and outputs, whoever asks and however many members a request has."""
    members = [random_inputs(KNEE_CAM), {name: array + 1 for name, array in random_inputs(KNEE_CAM).items()}]
    tensors = []
    for spec in KNEE_CAM.inputs:
        tensor = triton_grpc.InferInput(spec.name, [2, *spec.shape], spec.data_type)
        tensor.set_data_from_numpy(np.stack([each[spec.name] for each in members]))
        tensors.append(tensor)
    with triton_grpc.InferenceServerClient(target) as client:
        answer = client.infer(KNEE_CAM.name, tensors)
    expected = [
        [checksum([*(each[spec.name] for spec in KNEE_CAM.inputs), answer.as_numpy("saliency")[index]])]
        for index, each in enumerate(members)
    ]
    assert answer.as_numpy(CHECKSUM.name).tolist() == expected


def urgent_requests_overtake(target: str) -> None:
    """A STAT request that comes last is not answered last: it goes before the backfill that waits."""
    inputs = {spec.name: np.zeros(spec.shape, _TYPES[spec.data_type]) for spec in KNEE_CAM.inputs}
    answered: list[int] = []

    def ask(priority: int) -> None:
        with TritonClient(target, timeout_seconds=60) as triton:
            triton.priority = priority
            triton.infer(KNEE_CAM, inputs)
            answered.append(priority)

    with ThreadPoolExecutor(25) as threads:
        for _ in range(24):
            threads.submit(ask, pb.PRIORITY_BACKFILL)
        until(lambda: len(answered) >= 2)
        threads.submit(ask, pb.PRIORITY_STAT)
    assert len(answered) == 25
    assert answered.index(pb.PRIORITY_STAT) < 20


def backends(pid: int, contract: ModelContract) -> list[int]:
    """Process ids of a model's living backend processes under a server."""
    children = [each for each in psutil.Process(pid).children() if each.status() != psutil.STATUS_ZOMBIE]
    return [child.pid for child in children if any(contract.name in word for word in child.cmdline())]


def shared_memory(target: str) -> list[Path]:
    """What the server at this address has in shared memory; tensors of patients, so none may stay."""
    return list(Path("/dev/shm").glob(f"articula_{target.rpartition(':')[2]}_*"))  # noqa: S108 - the kernel's place


def random_inputs(contract: ModelContract) -> dict[str, np.ndarray]:
    """Values that no all-zero answer can match."""
    rng = np.random.default_rng(1)
    return {
        spec.name: rng.integers(0, 2 if spec.name == "slice_mask" else 12, spec.shape).astype(_TYPES[spec.data_type])
        for spec in contract.inputs
    }


def answers_like_onnxruntime(triton: TritonClient) -> None:
    """Every output of every model: labels and saliency alike in all but a few voxels, floats close."""
    for contract in MODELS:
        inputs = random_inputs(contract)
        session = onnxruntime.InferenceSession(MODEL_REPOSITORY / contract.name / "1" / "model.onnx")
        names = [spec.name for spec in contract.outputs]
        expected = session.run(names, {name: array[None] for name, array in inputs.items()})
        assert any(np.any(array) for array in expected), "an all-zero answer would prove nothing"
        answer = triton.infer(contract, inputs)
        for name, array in zip(names, expected, strict=True):
            if array.dtype == np.uint8:
                assert np.mean(np.abs(answer[name].astype(int) - array[0].astype(int)) <= 1) > 0.999, name
            else:
                assert np.allclose(answer[name], array[0], rtol=0.02, atol=0.3), name


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


class CutsOnce(Proxy):
    """Heals with its first cut."""

    async def reset(self) -> None:
        """End every connection, for the last time."""
        self.trouble = Trouble()
        await super().reset()


@pytest.mark.triton
@needs_triton
def test_an_answer_that_is_cut_off_is_asked_for_again(tmp_path):
    """A server that ends connections of age cuts one now and then, and gRPC never repeats what has begun to arrive."""
    half = sum(each.nbytes for each in random_inputs(KNEE_SEGMENTATION).values()) * 3 // 2  # and some of the answer
    with real_triton(build_repository(tmp_path / "models"), tmp_path / "log") as (target, _), ProxyLoop() as loop:
        assert until(lambda: triton_ready(target)), (tmp_path / "log").read_text()[-3000:]
        proxy = CutsOnce(("127.0.0.1", int(target.rpartition(":")[2])), random.Random(1))  # noqa: S311
        loop.call(proxy.serve())
        with TritonClient(f"127.0.0.1:{proxy.port}", timeout_seconds=30) as triton:
            triton.infer(KNEE_SEGMENTATION, random_inputs(KNEE_SEGMENTATION))
            loop.call(proxy.suffer(Trouble(cut_after_bytes=half)))
            triton.infer(KNEE_SEGMENTATION, random_inputs(KNEE_SEGMENTATION))
        assert proxy.trouble == Trouble(), "nothing was cut"


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


def test_no_call_outlasts_the_study():
    """The rest of a study's time bounds each call, and none begins without any."""
    with fake_triton(FakeTriton(delay_seconds=5)) as target, TritonClient(target, timeout_seconds=30) as triton:
        triton.deadline = time.monotonic() + 0.5
        started = time.monotonic()
        with pytest.raises(ServiceUnavailable):
            triton.infer(KNEE_SEGMENTATION, VOLUME)
        assert time.monotonic() - started < 3
        with pytest.raises(ServiceUnavailable, match="no time is left"):
            triton.infer(KNEE_SEGMENTATION, VOLUME)


class Forgetful(FakeTriton):
    """Gives answers without the checksum that its configuration promises."""

    def ModelInfer(self, request, context):  # noqa: N802
        """The last output is lost, as where shared memory was written over."""
        answer = super().ModelInfer(request, context)
        del answer.outputs[-1], answer.raw_output_contents[-1]
        return answer


@pytest.mark.parametrize("servicer", [FakeTriton(mixed_up=True), Forgetful()])
def test_an_answer_to_another_request_is_no_answer(servicer):
    """It is another patient's: nothing of it is used, it is counted, and the study may be tried again."""
    before = TRITON_REJECTIONS.labels("mixed_up")._value.get()
    with (
        fake_triton(servicer) as target,
        TritonClient(target, timeout_seconds=10) as triton,
        pytest.raises(ServiceUnavailable, match="answer to another request"),
    ):
        triton.infer(KNEE_SEGMENTATION, VOLUME)
    assert TRITON_REJECTIONS.labels("mixed_up")._value.get() == before + 1


def test_a_server_without_checksums_is_believed():
    """Engines on a GPU run inside Triton, and have no process that could fall behind."""
    with fake_triton(FakeTriton(sums=False)) as target, TritonClient(target, timeout_seconds=10) as triton:
        assert triton.infer(KNEE_SEGMENTATION, VOLUME)["labels"].shape == (32, 256, 256)


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


VOLUME = {"volume": np.zeros((32, 256, 256), np.uint8)}


def both(one: str, other: str) -> str:
    """One name that stands for two servers, as a headless Service's does."""
    return f"ipv4:{one},{other}"


def test_requests_are_spread_over_all_servers():
    """Behind one name every server gets its share; gRPC's default would send all to the first."""
    one, other = FakeTriton(), FakeTriton()
    with (
        fake_triton(one) as first,
        fake_triton(other) as second,
        TritonClient(both(first, second), timeout_seconds=10) as triton,
    ):
        for _ in range(10):
            triton.infer(KNEE_SEGMENTATION, VOLUME)
    assert min(len(one.requests), len(other.requests)) >= 3


class Draining(FakeTriton):
    """A server that was told to stop: its models are gone, its channel is not."""

    def ModelInfer(self, request, context):  # noqa: N802
        """NOT_FOUND, as Triton answers."""
        self.requests.append(request.model_name)
        context.abort(grpc.StatusCode.NOT_FOUND, "has no available versions")


def test_a_draining_server_costs_no_request():
    """What a stopping server turns down is tried on the next one, whatever its size."""
    draining, serving = Draining(), FakeTriton()
    with (
        fake_triton(draining) as first,
        fake_triton(serving) as second,
        TritonClient(both(first, second), timeout_seconds=10) as triton,
    ):
        until(lambda: triton.infer(KNEE_SEGMENTATION, VOLUME) and draining.requests, 10)
        for _ in range(6):
            assert triton.infer(KNEE_SEGMENTATION, VOLUME)["labels"].shape == (32, 256, 256)
    assert draining.requests
