"""Whether a service really works, asked the way its users ask."""

import grpc
import httpx
import numpy as np
import psutil

from services.common.errors import ArticulaError
from services.common.pb import analysis_pb2 as pb
from services.common.pb.analysis_pb2_grpc import AnalysisStub
from services.common.tensors import GRID, KNEE_CAM, KNEE_CLASSIFICATION, KNEE_SEGMENTATION, ModelContract
from services.common.triton import TritonClient

_SECONDS = 30.0


def triton_ready(target: str) -> bool:
    """Every model answers a synthetic request; a dead backend process leaves Triton's own probes green."""
    try:
        with TritonClient(target, timeout_seconds=_SECONDS) as triton:
            for contract in (KNEE_SEGMENTATION, KNEE_CLASSIFICATION):
                triton.infer(contract, zeros(contract))
            return _saliency_is_right(triton)
    except ArticulaError:
        return False


def triton_alive(target: str, pid: int) -> bool:
    """No backend process of this server is dead, and the cheapest model still gives the right values.

    Triton neither restarts a dead backend process nor reports it; it stays behind as a zombie child, which tells for
    every model and instance at once. One failed inference may be a passing load, so it gets a second chance.
    """
    return not has_dead_child(pid) and (_answers_rightly(target) or _answers_rightly(target))


def has_dead_child(pid: int) -> bool:
    """Whether a child of the process is a zombie, or the process is gone."""
    try:
        children = psutil.Process(pid).children()
        return any(child.status() == psutil.STATUS_ZOMBIE for child in children)
    except psutil.NoSuchProcess:
        return True


def _answers_rightly(target: str) -> bool:
    try:
        with TritonClient(target, timeout_seconds=_SECONDS) as triton:
            return _saliency_is_right(triton)
    except ArticulaError:
        return False


def analysis_ready(target: str) -> bool:
    """The preprocessing service answers, and so does Triton behind it."""
    with grpc.insecure_channel(target) as channel:
        try:
            AnalysisStub(channel).Describe(pb.DescribeRequest(), timeout=_SECONDS)  # type: ignore[no-untyped-call]
        except grpc.RpcError:
            return False
    return True


def orthanc_ready(url: str, user: str, password: str) -> bool:
    """Orthanc answers its user and the plugin's forwarder runs."""
    try:
        answer = httpx.get(f"{url}/articula/status", auth=(user, password), timeout=_SECONDS, trust_env=False)
        return answer.is_success and bool(answer.json()["forwarder_alive"])
    except (httpx.HTTPError, ValueError):
        return False


def zeros(contract: ModelContract) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    """Inputs of one model by name, without the batch dimension."""
    types = {"UINT8": np.uint8, "FP16": np.float16, "FP32": np.float32, "INT64": np.int64}
    return {spec.name: np.zeros(spec.shape, types[spec.data_type]) for spec in contract.inputs}


def _saliency_is_right(triton: TritonClient) -> bool:
    """One hot cell comes back as heat at its place: values survive the round trip, not only shapes."""
    inputs = zeros(KNEE_CAM)
    inputs["class_maps"][1, 5, 3, 16, 8] = 4.0
    inputs["attention"][1, 5, 3] = 1.0
    inputs["label"][0] = 3
    saliency = triton.infer(KNEE_CAM, inputs)["saliency"]
    plane, index, row, column = np.unravel_index(np.argmax(saliency), (3, *GRID))
    place = (int(plane), int(index), int(row) // 8, int(column) // 8)
    return place == (1, 5, 16, 8) and int(saliency.max()) == 255 and not saliency[0].any()
