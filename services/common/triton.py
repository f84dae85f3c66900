"""Triton as the pipeline sees it: a contract and arrays in, arrays out, and two kinds of trouble.

Measured on Triton 2.51: the default channel sends every request to one pod, a draining pod answers NOT_FOUND, and gRPC
gives up retrying requests larger than its retry buffer without a word. The channel arguments below cure all three.
"""

import functools
import itertools
import json
import math
import time
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import tritonclient.grpc as triton_grpc
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

from services.common.errors import RefusalCode, ServiceUnavailable, StudyRefused
from services.common.metrics import TRITON_BATCH, TRITON_REJECTIONS, TRITON_SECONDS, TRITON_WAITING
from services.common.tensors import CHECKSUM, MODELS, ModelContract, TensorSpec
from services.common.tls import client_credentials

_MESSAGE_BYTES = 128 * 1024 * 1024
_RETRY_BUFFER_BYTES = 64 * 1024 * 1024
_RETRIES = {
    "methodConfig": [
        {
            "name": [{"service": "inference.GRPCInferenceService"}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE", "NOT_FOUND"],
            },
        }
    ]
}
_CHANNEL_ARGUMENTS = [
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.service_config", json.dumps(_RETRIES)),
    ("grpc.per_rpc_retry_buffer_size", _RETRY_BUFFER_BYTES),
    ("grpc.max_send_message_length", _MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
]

_BATCH = 1  # members of a request: a study's volumes travel as requests of their own, Triton's batcher merges them
_REASONS = {
    "StatusCode.UNAVAILABLE": "unavailable",
    "StatusCode.NOT_FOUND": "model_not_found",
    "StatusCode.DEADLINE_EXCEEDED": "deadline",
    "StatusCode.CANCELLED": "cancelled",
    "StatusCode.RESOURCE_EXHAUSTED": "too_large",
    "StatusCode.INVALID_ARGUMENT": "invalid",
    "StatusCode.INTERNAL": "backend",
}
# How often more than gRPC does. A server that ends has no such model any more, or gives up what it was computing. And
# gRPC never repeats a call whose answer has begun to arrive: it is cut off when a connection ends of age, now and then
_REPEATS = {"model_not_found": 3, "cancelled": 3, "unavailable": 1}
_SERVERS_ASKED = 8  # whether they add checksums, of all behind the name: a request to each is cheap, and rarely needed
REASONS = ("queue_full", "no_time", "mixed_up", *_REASONS.values(), "other")

Array = NDArray[Any]


class TritonClient:
    """A connection to one or many Triton servers behind one name; a context manager. Safe to use from threads."""

    def __init__(self, target: str, *, timeout_seconds: float, tls_folder: Path | None = None) -> None:
        credentials = client_credentials(tls_folder) if tls_folder else None
        self._client = triton_grpc.InferenceServerClient(target, creds=credentials, channel_args=_CHANNEL_ARGUMENTS)
        self._timeout_seconds = timeout_seconds
        self._parameters: dict[str, dict[str, str]] = {}
        self._without_checksum: set[str] = set()
        self.deadline = math.inf  # of the study in work, on the monotonic clock; no call may outlast it
        self.priority = 0  # of the study in work, 1 first; 0: the model's default. A model without levels ignores it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def ready(self) -> bool:
        """Whether every model of the contract says it is ready; a dead backend process still says so."""
        try:
            return all(
                self._client.is_model_ready(contract.name, client_timeout=self._timeout_seconds) for contract in MODELS
            )
        except InferenceServerException:
            return False

    def parameters(self, contract: ModelContract) -> dict[str, str]:
        """The free parameters of a model's configuration; read once a connection."""
        if contract.name not in self._parameters:
            config = self._config(contract)
            self._parameters[contract.name] = {key: value.string_value for key, value in config.parameters.items()}
        return self._parameters[contract.name]

    def _config(self, contract: ModelContract) -> Any:
        """A model's configuration, each time from the next server."""
        try:
            return self._client.get_model_config(contract.name, client_timeout=self._timeout_seconds).config
        except InferenceServerException as error:
            raise _unavailable(error) from error

    def model_parameters(self) -> dict[str, dict[str, str]]:
        """The free parameters by model name: digest of the ONNX file, precision, thresholds."""
        return {contract.name: self.parameters(contract) for contract in MODELS}

    def infer(self, contract: ModelContract, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run one model on one study's arrays, without the batch dimension on either side.

        Raises ``ValueError`` for inputs against the contract, ``ServiceUnavailable`` where Triton can't answer now or
        answers another request, and ``StudyRefused`` with ``MODEL_OUTPUT_INVALID`` for an answer against the contract.
        """
        tensors = [_tensor(spec, inputs[spec.name]) for spec in contract.inputs]
        TRITON_BATCH.labels(contract.name).observe(_BATCH)
        with TRITON_WAITING.track_inprogress(), TRITON_SECONDS.labels(contract.name).time():
            answer = self._answer(contract, tensors)
        if not _is_own(answer, contract, inputs) and not (_has_no_checksum(answer) and self._may_lack_it(contract)):
            TRITON_REJECTIONS.labels("mixed_up").inc()
            message = "Triton gave the answer to another request; its liveness probe sees to a restart"
            raise ServiceUnavailable(message)
        return {spec.name: _checked(spec, answer) for spec in contract.outputs}

    def _may_lack_it(self, contract: ModelContract) -> bool:
        """Whether a server behind this name adds no checksums, as on a GPU, where backends run inside Triton."""
        for _ in range(_SERVERS_ASKED):
            if contract.name in self._without_checksum:
                break
            if CHECKSUM.name not in {each.name for each in self._config(contract).output}:
                self._without_checksum.add(contract.name)
        return contract.name in self._without_checksum

    def _answer(self, contract: ModelContract, tensors: list[triton_grpc.InferInput]) -> triton_grpc.InferResult:
        """Ask, and ask again where that helps; a draining server's turn comes often."""
        for asked in itertools.count():
            seconds = self._seconds()
            try:
                return self._client.infer(contract.name, tensors, client_timeout=seconds, priority=self.priority)
            except InferenceServerException as error:
                reason = _reason(error)
                if asked < _REPEATS.get(reason, 0):
                    continue
                TRITON_REJECTIONS.labels(reason).inc()
                raise _unavailable(error) from error
        raise AssertionError  # the loop returns or raises

    def _seconds(self) -> float:
        """Time for the next call; raises ``ServiceUnavailable`` where the study has none left."""
        seconds = min(self._timeout_seconds, self.deadline - time.monotonic())
        if seconds <= 0:
            TRITON_REJECTIONS.labels("no_time").inc()
            message = "no time is left for this study"
            raise ServiceUnavailable(message)
        return seconds


def _tensor(spec: TensorSpec, array: Array) -> triton_grpc.InferInput:
    if array.shape != spec.shape or array.dtype != triton_to_np_dtype(spec.data_type):
        message = f"{spec.name} must be {spec.data_type} {spec.shape}, is {array.dtype} {array.shape}"
        raise ValueError(message)
    tensor = triton_grpc.InferInput(spec.name, [_BATCH, *spec.shape], spec.data_type)
    tensor.set_data_from_numpy(np.ascontiguousarray(array)[None])
    return tensor


def _has_no_checksum(answer: triton_grpc.InferResult) -> bool:
    return CHECKSUM.name not in {each.name for each in answer.get_response().outputs}


def _is_own(answer: triton_grpc.InferResult, contract: ModelContract, inputs: Mapping[str, Array]) -> bool:
    """Whether the checksum is that of our inputs and of these outputs."""
    try:
        outputs = [answer.as_numpy(spec.name) for spec in contract.outputs]
        told = answer.as_numpy(CHECKSUM.name).ravel().tolist()
        return bool(told == [checksum([*(inputs[spec.name] for spec in contract.inputs), *outputs])])
    except (AttributeError, TypeError, ValueError):  # something is missing, or shorter than its shape
        return False


def checksum(arrays: Iterable[Array]) -> int:
    """CRC-32 of the bytes of some arrays in C order, one after the other."""
    return functools.reduce(lambda sum_, array: zlib.crc32(np.ascontiguousarray(array).data, sum_), arrays, 0)


def _checked(spec: TensorSpec, answer: triton_grpc.InferResult) -> Array:
    try:
        array = answer.as_numpy(spec.name)
    except ValueError as error:  # fewer bytes than the shape says: a server with the wrong numpy does that
        raise StudyRefused(RefusalCode.MODEL_OUTPUT_INVALID) from error
    if array is None or array.shape != (1, *spec.shape) or array.dtype != triton_to_np_dtype(spec.data_type):
        raise StudyRefused(RefusalCode.MODEL_OUTPUT_INVALID)
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        raise StudyRefused(RefusalCode.MODEL_OUTPUT_INVALID)
    result: Array = array[0]
    return result


def _reason(error: InferenceServerException) -> str:
    """One of ``REASONS``; a full queue has the status of a dead server, and Triton itself counts it nowhere."""
    if "maximum queue size" in str(error.message() or "").lower():
        return "queue_full"
    return _REASONS.get(str(error.status()), "other")


def _unavailable(error: InferenceServerException) -> ServiceUnavailable:
    return ServiceUnavailable(f"Triton: {error.status() or 'no answer'}")
