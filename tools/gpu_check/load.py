"""How fast Triton answers: closed loops of one model at some concurrency and batch, and of whole studies.

perf_analyzer measures single models where it is installed. Our own loops are threads of one process, so each row also
says how many CPUs the client kept busy: near one, the client is what is measured.
"""

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tritonclient.grpc as triton_grpc
from tritonclient.utils import InferenceServerException

from services.common.errors import ArticulaError
from services.common.tensors import MODELS, PLANE_COUNT, ModelContract
from services.common.triton import TritonClient
from tools.build_engines.accuracy import Arrays
from tools.gpu_check.knees import Knee

STUDY = "whole study"
_MESSAGE_BYTES = 256 * 1024 * 1024
_CHANNEL = [("grpc.max_send_message_length", _MESSAGE_BYTES), ("grpc.max_receive_message_length", _MESSAGE_BYTES)]
_CALL_SECONDS = 120.0


@dataclass(frozen=True)
class Load:
    """One row of the table. Latencies are of a request, or of a study; ``batch`` is members of a request.

    ``merged`` is the mean number of members that Triton computed at once; None where the meter does not say.
    """

    model: str
    concurrency: int
    batch: int
    requests: int | None
    failures: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    volumes_per_second: float
    merged: float | None
    client_cpus: float | None
    meter: str


@dataclass(frozen=True)
class Callers:
    """How many ask at once, and how many members each of their requests has."""

    concurrency: int
    batch: int


@dataclass(frozen=True)
class Timing:
    """What a closed loop took: seconds of each answered request, of all of it, and CPUs that this process kept busy."""

    requests: list[float]
    failures: int
    elapsed: float
    client_cpus: float


def volumes_in(contract: ModelContract) -> int:
    """Volumes of one member of a request: one plane, or all of a study."""
    return 1 if contract.inputs[0].shape[0] != PLANE_COUNT else PLANE_COUNT


def of_model(target: str, contract: ModelContract, inputs: Arrays, *, callers: Callers, seconds: float) -> Load:
    """Load one model."""
    before = executions(target, (contract,))
    timing = closed_loop(lambda: _caller(target, contract, inputs, callers.batch), callers.concurrency, seconds)
    merged = members_at_once(before, executions(target, (contract,)))
    return _load(contract.name, callers, timing, volumes=callers.batch * volumes_in(contract), merged=merged)


def of_studies(target: str, knee: Knee, *, concurrency: int, seconds: float) -> Load:
    """Load all models as the service does, through its own client."""
    before = executions(target, MODELS)
    with TritonClient(target, timeout_seconds=_CALL_SECONDS) as triton:

        def ask() -> None:
            for contract, inputs in knee.calls:
                triton.infer(contract, inputs)

        timing = closed_loop(lambda: ask, concurrency, seconds)
    merged = members_at_once(before, executions(target, MODELS))
    return _load(STUDY, Callers(concurrency, 1), timing, volumes=PLANE_COUNT, merged=merged)


def executions(target: str, contracts: Sequence[ModelContract]) -> tuple[int, int]:
    """Members inferred and executions so far, by Triton's own count."""
    members = runs = 0
    with triton_grpc.InferenceServerClient(target, channel_args=_CHANNEL) as client:
        for contract in contracts:
            for each in client.get_inference_statistics(contract.name).model_stats:
                members, runs = members + each.inference_count, runs + each.execution_count
    return members, runs


def members_at_once(before: tuple[int, int], after: tuple[int, int]) -> float | None:
    """Members of one execution between two looks; None where there was none."""
    members, runs = (now - then for now, then in zip(after, before, strict=True))
    return members / runs if runs else None


def _caller(target: str, contract: ModelContract, inputs: Arrays, batch: int) -> Callable[[], None]:
    """Something that sends one request; each caller has a connection of its own, as perf_analyzer's have."""
    client = triton_grpc.InferenceServerClient(target, channel_args=_CHANNEL)
    tensors = [_tensor(spec.name, spec.data_type, inputs[spec.name], batch) for spec in contract.inputs]

    def ask() -> None:
        client.infer(contract.name, tensors, client_timeout=_CALL_SECONDS)

    return ask


def _tensor(name: str, data_type: str, array: Any, batch: int) -> triton_grpc.InferInput:
    repeated = np.repeat(np.ascontiguousarray(array)[None], batch, axis=0)
    tensor = triton_grpc.InferInput(name, list(repeated.shape), data_type)
    tensor.set_data_from_numpy(repeated)
    return tensor


def closed_loop(caller: Callable[[], Callable[[], None]], concurrency: int, seconds: float) -> Timing:
    """Run ``concurrency`` callers for a time; each has sent one request before."""
    clocks, took, failures = list[tuple[float, float]](), list[float](), list[str]()
    # read before anybody goes, lest a caller ends sooner than its time after a clock that was read late
    start = threading.Barrier(concurrency + 1, lambda: clocks.append((time.monotonic(), time.process_time())))

    def repeat() -> None:
        ask = caller()
        _timed(ask, [], [])
        start.wait()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            _timed(ask, took, failures)

    threads = [threading.Thread(target=repeat) for _ in range(concurrency)]
    for each in threads:
        each.start()
    start.wait()
    for each in threads:
        each.join()
    ((began, busy),) = clocks
    elapsed = time.monotonic() - began
    return Timing(took, len(failures), elapsed, (time.process_time() - busy) / elapsed)


def _timed(ask: Callable[[], None], took: list[float], failures: list[str]) -> None:
    began = time.monotonic()
    try:
        ask()
    except (InferenceServerException, ArticulaError) as error:
        failures.append(str(error))
        return
    took.append(time.monotonic() - began)


def _load(model: str, callers: Callers, timing: Timing, *, volumes: int, merged: float | None) -> Load:
    took = [1000 * each for each in timing.requests]
    p50, p95, p99 = (float(each) for each in np.percentile(took, (50, 95, 99))) if took else [math.nan] * 3
    return Load(
        model=model,
        concurrency=callers.concurrency,
        batch=callers.batch,
        requests=len(took),
        failures=timing.failures,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        volumes_per_second=len(took) * volumes / timing.elapsed,
        merged=merged,
        client_cpus=timing.client_cpus,
        meter="own loop",
    )
