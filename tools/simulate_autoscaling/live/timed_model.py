"""Triton's python backend in place of a network: it takes as long as one on a GPU would, and no processor.

Several real servers share a small machine in the closed loop, which is about queues, counters and drains. Outputs are
zeros of the contract's types and shapes.
"""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """One instance; ``seconds`` in the configuration is what one member of a batch takes."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Read the outputs and the time."""
        config = json.loads(args["model_config"])
        self._seconds = float(config["parameters"]["seconds"]["string_value"])
        self._outputs = [
            (each["name"], [int(size) for size in each["dims"]], pb_utils.triton_string_to_numpy(each["data_type"]))
            for each in config["output"]
        ]

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Let the time pass, then answer all."""
        time.sleep(self._seconds * len(requests))
        return [pb_utils.InferenceResponse([self._zeros(*each) for each in self._outputs]) for _ in requests]

    def _zeros(self, name: str, shape: list[int], data_type: Any) -> Any:
        return pb_utils.Tensor(name, np.zeros([1, *shape], data_type))
