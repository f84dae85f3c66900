"""Synthetic knees as the tensors that the models get, and what the ONNX files say about them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.common.tensors import KNEE_CAM, KNEE_CLASSIFICATION, KNEE_SEGMENTATION, MODELS, ModelContract
from tools.build_engines.accuracy import Arrays, inputs_of, run
from tools.evaluate import testset

_MATRIX = 128  # pixels of the phantom's images; the models' grid is the same for any

Call = tuple[ModelContract, Arrays]


@dataclass(frozen=True)
class Knee:
    """One study: each model's inputs and, by ONNX Runtime on the CPU, the answers; without the batch dimension."""

    inputs: dict[str, Arrays]
    answers: dict[str, Arrays]

    @property
    def calls(self) -> Iterator[Call]:
        """What the service asks of Triton for it: three planes, one classification, one saliency."""
        for volume in self.inputs[KNEE_CLASSIFICATION.name]["volumes"]:
            yield KNEE_SEGMENTATION, {"volume": volume}
        for contract in (KNEE_CLASSIFICATION, KNEE_CAM):
            yield contract, self.inputs[contract.name]


def knees(count: int, repository: Path) -> list[Knee]:
    """The first knees of the test set."""
    return [_knee(seed, repository) for seed in testset.seeds(count)]


def _knee(seed: int, repository: Path) -> Knee:
    inputs = inputs_of(testset.load(seed, matrix=_MATRIX), repository)
    answers = {}
    for contract in MODELS:
        batch = run(repository / contract.name / "1" / "model.onnx", contract, inputs[contract.name])
        answers[contract.name] = {name: array[0] for name, array in batch.items()}
    return Knee(inputs, answers)
