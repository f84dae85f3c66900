"""Whether Triton answers as the ONNX files do in ONNX Runtime on the CPU, on knees that look like knees."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.common.tensors import MODELS, ModelContract
from services.common.triton import TritonClient
from tools.build_engines.accuracy import MOST, change
from tools.gpu_check.knees import Knee

_SECONDS = 120.0  # of a single call


@dataclass(frozen=True)
class Parity:
    """The largest change of one output over all knees, and the most that is allowed (``accuracy.MOST``)."""

    model: str
    output: str
    change: float
    most: float

    @property
    def passed(self) -> bool:
        """A change that is no number does not pass."""
        return self.change <= self.most


def parity(target: str, knees: Sequence[Knee]) -> list[Parity]:
    """Every output of every model; raises ``ArticulaError`` where Triton does not answer."""
    with TritonClient(target, timeout_seconds=_SECONDS) as triton:
        return [row for contract in MODELS for row in _of_model(triton, contract, knees)]


def _of_model(triton: TritonClient, contract: ModelContract, knees: Sequence[Knee]) -> list[Parity]:
    answers = [triton.infer(contract, knee.inputs[contract.name]) for knee in knees]
    rows = []
    for spec in contract.outputs:
        exact = (knee.answers[contract.name][spec.name] for knee in knees)
        changes = [change(spec.name, one, answer[spec.name]) for one, answer in zip(exact, answers, strict=True)]
        rows.append(Parity(contract.name, spec.name, float(np.max(changes)), MOST[spec.name]))
    return rows
