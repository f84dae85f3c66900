"""A Triton without networks: a real gRPC server speaking the KServe v2 protocol, for tests that need speed."""

import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from services.common.finding import LABELS
from services.common.tensors import CHECKSUM, CLASS_MAP_COLUMNS, CLASS_MAP_ROWS, GRID, MODELS

_TYPES = {"UINT8": np.uint8, "FP16": np.float16, "FP32": np.float32, "INT64": np.int64}


@dataclass
class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Bright voxels are femur; ``positive`` labels are found in the middle of slice 10 of the first plane present."""

    positive: tuple[str, ...] = ("ACL",)
    requests: list[str] = field(default_factory=list)
    priorities: list[int] = field(default_factory=list)  # of each request, as its parameters say
    seconds_left: list[float] = field(default_factory=list)  # until each request's deadline
    fibula_at_column: int | None = None  # where the segmentation sees a fibula beside a tibia, in coronal volumes
    sums: bool = True  # inputs and outputs, as the Python backend does; no other backend can
    mixed_up: bool = False  # its answers belong to other requests
    broken: str = ""  # model whose outputs are cut short
    delay_seconds: float = 0.0
    confidence: float = 1.0  # of every structure

    def ModelReady(self, request, context):  # noqa: N802, ARG002
        """Always."""
        return service_pb2.ModelReadyResponse(ready=True)

    def ModelConfig(self, request, context):  # noqa: N802, ARG002
        """The parameters the service reads."""
        answer = service_pb2.ModelConfigResponse()
        answer.config.name = request.name
        if self.sums and not self.broken:
            answer.config.output.add(name=CHECKSUM.name)
        answer.config.parameters["onnx_sha256"].string_value = "a" * 64
        answer.config.parameters["thresholds"].string_value = ",".join(["0.5"] * len(LABELS))
        answer.config.parameters["bone_confidence"].string_value = "0.75"
        return answer

    def ModelInfer(self, request, context):  # noqa: N802
        """Compute the contract's outputs by rule."""
        self.requests.append(request.model_name)
        self.priorities.append(request.parameters["priority"].uint64_param)
        self.seconds_left.append(context.time_remaining())
        time.sleep(self.delay_seconds)
        contract = next(each for each in MODELS if each.name == request.model_name)
        inputs = {
            tensor.name: np.frombuffer(raw, _TYPES[tensor.datatype]).reshape(tensor.shape)[0]
            for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True)
        }
        outputs = getattr(self, contract.name)(**inputs)
        answer = service_pb2.ModelInferResponse(model_name=contract.name)
        for spec in contract.outputs:
            answer.outputs.add(name=spec.name, datatype=spec.data_type, shape=[1, *spec.shape])
            raw = np.ascontiguousarray(outputs[spec.name], _TYPES[spec.data_type]).tobytes()
            answer.raw_output_contents.append(b"" if self.broken == contract.name else raw)
        if self.sums and not self.broken:
            total = zlib.crc32(b"".join((*request.raw_input_contents, *answer.raw_output_contents)))
            answer.outputs.add(name=CHECKSUM.name, datatype=CHECKSUM.data_type, shape=[1, *CHECKSUM.shape])
            answer.raw_output_contents.append(np.int64(total ^ self.mixed_up).tobytes())
        return answer

    def knee_segmentation(self, volume):
        """Femur where the window is bright."""
        return certain((volume > 128).astype(np.uint8), confidence=self.confidence)

    def knee_classification(self, volumes, slice_mask, region):  # noqa: ARG002
        """Attention on one slice; a map that is hot in its middle for positive labels."""
        plane = int(np.argmax(slice_mask.any(axis=1)))
        used = np.flatnonzero(slice_mask[plane])
        attention = np.zeros((3, 32, 12), np.float32)
        attention[plane, used[len(used) // 2]] = 1.0
        hot = np.array([4.0 if label in self.positive else -4.0 for label in LABELS])
        maps = np.broadcast_to(hot[None, None, :, None, None], (3, 32, 12, CLASS_MAP_ROWS, CLASS_MAP_COLUMNS))
        return {"logits": hot, "attention": attention, "class_maps": maps}

    def knee_cam(self, class_maps, attention, label):  # noqa: ARG002
        """Heat in the middle of the attended slices."""
        saliency = np.zeros((3, *GRID), np.uint8)
        weight = attention[:, :, int(label[0])]
        saliency[:, :, 96:160, 96:160] = (255 * (weight > 0))[:, :, None, None]
        return {"saliency": saliency}


def certain(labels: np.ndarray, *, confidence: float = 1.0) -> dict[str, np.ndarray]:
    """A segmentation's answer without any doubt about a voxel, and as sure of its structures as told."""
    return {
        "labels": labels.astype(np.uint8),
        "runner_up": np.zeros(labels.shape, np.uint8),
        "certainty": np.full(labels.shape, 255, np.uint8),
        "confidence": np.full(14, confidence),
    }


@contextmanager
def fake_triton(servicer: FakeTriton, *, credentials: grpc.ServerCredentials | None = None) -> Iterator[str]:
    """Serve the fake; yields its address."""
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(8), options=options)
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    address = "127.0.0.1:0"
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()
