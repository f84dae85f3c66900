"""The served graphs in OpenVINO without Triton around them, set up as the model repository's own backend sets them up.

It answers the two calls that the service's inference makes of Triton, so that ``services.preprocessing.inference`` runs
unchanged: same chain, same region of interest, same thresholds.
"""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from google.protobuf import text_format
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2

from services.common.tensors import ModelContract

REPOSITORY = Path("model_repository")
Arrays = dict[str, NDArray[Any]]


class Engine:
    """OpenVINO on the CPU; one request at a time. ``graphs`` replaces single model files by name.

    ``precision`` None takes what each ``config.pbtxt`` serves; bf16 becomes f32 where the CPU has none, as when served.
    ``asked`` and ``last`` hold the last inputs and the last answer of each model by its name.
    """

    def __init__(
        self,
        repository: Path = REPOSITORY,
        *,
        graphs: Mapping[str, Path] | None = None,
        precision: str | None = None,
        threads: int = 1,
    ) -> None:
        self._repository, self._graphs = repository, dict(graphs or {})
        self._precision, self._threads = precision, threads
        self._requests: dict[str, Any] = {}
        self._lock = threading.Lock()
        self.asked: dict[str, Arrays] = {}
        self.last: dict[str, Arrays] = {}

    def parameters(self, contract: ModelContract) -> dict[str, str]:
        """The free parameters of a model's ``config.pbtxt``."""
        text = (self._repository / contract.name / "config.pbtxt").read_text()
        config = text_format.Parse(text, model_config_pb2.ModelConfig())
        return {key: value.string_value for key, value in config.parameters.items()}

    def infer(self, contract: ModelContract, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run one model on one study's arrays, without the batch dimension on either side."""
        with self._lock:
            request = self._request(contract)
            request.infer({name: np.ascontiguousarray(array)[None] for name, array in inputs.items()})
            answer = {spec.name: request.get_tensor(spec.name).data[0].copy() for spec in contract.outputs}
            self.asked[contract.name], self.last[contract.name] = dict(inputs), answer
        return answer

    def path(self, contract: ModelContract) -> Path:
        """The model file that is run."""
        return self._graphs.get(contract.name, self._repository / contract.name / "1" / "model.onnx")

    def _request(self, contract: ModelContract) -> Any:
        if contract.name not in self._requests:
            core = openvino.Core()
            model = core.read_model(self.path(contract))
            model.reshape({spec.name: [1, *spec.shape] for spec in contract.inputs})
            settings = {
                "INFERENCE_NUM_THREADS": self._threads,
                "NUM_STREAMS": 1,
                "ENABLE_CPU_PINNING": False,
                "INFERENCE_PRECISION_HINT": self._hint(contract, core),
            }
            self._requests[contract.name] = core.compile_model(model, "CPU", settings).create_infer_request()
        return self._requests[contract.name]

    def _hint(self, contract: ModelContract, core: Any) -> str:
        precision = self._precision or self.parameters(contract)["precision"]
        return "f32" if precision == "bf16" and "BF16" not in capabilities(core) else precision


def capabilities(core: Any = None) -> list[str]:
    """What this CPU computes in, by OpenVINO's names: FP32, BF16, INT8 and others."""
    answer: list[str] = (core or openvino.Core()).get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return answer
