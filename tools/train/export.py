"""Export the trained networks: ``python -m tools.train.export`` writes ``model_repository/*/1/model.onnx``.

A model that was not trained here (no checkpoint) stays as it is published. Only the batch dimension is dynamic. Each
file's digest and the decision thresholds go into ``config.pbtxt``, from where the server checks them and the service
reads them.
"""

import argparse
import json
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from services.common.finding import LABELS
from services.common.tensors import KNEE_CAM, KNEE_CLASSIFICATION, KNEE_SEGMENTATION, ModelContract
from tools.pin_models import REPOSITORY, pin_models, set_parameter
from tools.train.classification import CHECKPOINT as CLASSIFICATION
from tools.train.classification import SCORES
from tools.train.networks import CamNetwork, ClassificationNetwork, SegmentationNetwork
from tools.train.run import exported
from tools.train.segmentation import CHECKPOINT as SEGMENTATION

OPSET = 18
_TYPES = {"UINT8": torch.uint8, "FP16": torch.float16, "FP32": torch.float32, "INT64": torch.int64}


def main() -> None:
    """Export what was trained, and pin it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repository", type=Path, default=REPOSITORY)
    repository = parser.parse_args().repository
    for made, contract, checkpoint in (
        (SegmentationNetwork, KNEE_SEGMENTATION, SEGMENTATION),
        (ClassificationNetwork, KNEE_CLASSIFICATION, CLASSIFICATION),
    ):
        if checkpoint.exists():
            export(exported(made(), checkpoint), contract, repository / contract.name / "1" / "model.onnx")
        else:
            print(f"{contract.name} stays as it is: there is no {checkpoint}")
    export(CamNetwork(), KNEE_CAM, repository / KNEE_CAM.name / "1" / "model.onnx")
    if CLASSIFICATION.exists() and SCORES.exists():
        scores = json.loads(SCORES.read_text())
        thresholds = ",".join(str(scores[label]["threshold"]) for label in LABELS)
        set_parameter(repository / KNEE_CLASSIFICATION.name / "config.pbtxt", "thresholds", thresholds)
    for name, digest in pin_models(repository).items():
        print(f"{name} {digest}")


def export(network: nn.Module, contract: ModelContract, path: Path) -> None:
    """Write one self-contained ONNX file with the contract's tensor names."""
    wrapped = _Contiguous(network).eval()
    example = tuple(torch.zeros(2, *spec.shape, dtype=_TYPES[spec.data_type]) for spec in contract.inputs)
    batch = torch.export.Dim("batch", min=1, max=64)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        wrapped,
        example,
        path,
        input_names=[spec.name for spec in contract.inputs],
        output_names=[spec.name for spec in contract.outputs],
        dynamic_shapes=(tuple({0: batch} for _ in contract.inputs),),
        opset_version=OPSET,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    model = onnx.load(path)
    _forget_where_it_was_made(model.graph)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _forget_where_it_was_made(graph: onnx.GraphProto) -> None:
    """Drop the exporter's stack traces: they name files of this machine and change the digest of an equal network."""
    for each in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        each.ClearField("metadata_props")
        each.ClearField("doc_string")


class _Contiguous(nn.Module):
    """Takes the inputs as one sequence, so that every contract exports the same way."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> object:
        return self.network(*inputs)


if __name__ == "__main__":
    main()
