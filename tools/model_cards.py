"""Write the measured numbers into the model cards: ``python -m tools.model_cards``.

The block between the two markers of a card comes from ``docs/evaluation/report.json``, which ``tools.evaluate`` writes
with ``--publish docs/evaluation``; everything else in a card is written by people. A report about other model files
than those beside the cards is refused, so a card never shows the numbers of another model.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from services.common.finding import LABELS
from services.common.tensors import KNEE_CLASSIFICATION, KNEE_SEGMENTATION
from tools.pin_models import REPOSITORY

REPORT = Path(__file__).parents[1] / "docs/evaluation/report.json"
BEGIN, END = "<!-- numbers: python -m tools.model_cards -->", "<!-- end of numbers -->"
Numbers = Mapping[str, Any]


class ReportOfOtherModels(Exception):
    """The report was made with other files than those that are served."""

    code = "REPORT_OF_OTHER_MODELS"


def write_cards(repository: Path = REPOSITORY, report: Path = REPORT) -> None:
    """Put the numbers of a report into the cards. Raises ``ReportOfOtherModels``, ``ValueError`` without markers."""
    numbers: Numbers = json.loads(report.read_text())
    for name, block in _BLOCKS.items():
        parameters = _parameters(repository / name)
        if numbers["models"].get(name) != parameters["onnx_sha256"]:
            message = f"{ReportOfOtherModels.code}: {report} was made with another {name}: run tools.evaluate --publish"
            raise ReportOfOtherModels(message)
        card = repository / name / "README.md"
        before, begin, rest = card.read_text().partition(BEGIN)
        _, end, after = rest.partition(END)
        if not (begin and end):
            message = f"{card} must have the lines {BEGIN} and {END}"
            raise ValueError(message)
        card.write_text(before + BEGIN + "\n\n" + "\n".join(block(numbers, parameters)) + "\n\n" + END + after)


def findings(numbers: Numbers, parameters: Mapping[str, str]) -> Iterable[str]:
    """Lines about ``knee_classification``."""
    low, high = numbers["macro_auc_ci"]
    yield f"{_about(numbers)} Macro AUC {numbers['macro_auc']:.3f} ({low:.3f}-{high:.3f}); expected calibration error"
    yield f"{numbers['ece']:.3f} as served. Intervals are 95 % bootstrap intervals over studies."
    yield ""
    yield "| label | AUC | 95 % interval | positives | threshold | sensitivity | specificity | right slice |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for label, threshold in zip(LABELS, parameters["thresholds"].split(","), strict=True):
        each, heat = numbers["auc"][label], numbers["cam"].get(label)
        (low, high), hit = each["ci"], f"{heat['slice_hit']:.0%}" if heat else "-"
        area = f"{each['value']:.3f} | {low:.3f}-{high:.3f} | {each['positives']}"
        right = " | ".join(_share(numbers["reported"][label][name]) for name in ("sensitivity", "specificity"))
        yield f"| {label} | {area} | {threshold} | {right} | {hit} |"
    yield ""
    yield "MRNet's three labels, derived: " + ", ".join(
        f"{name} {each['value']:.3f} ({each['ci'][0]:.3f}-{each['ci'][1]:.3f})"
        for name, each in numbers["mrnet_auc"].items()
    )


def structures(numbers: Numbers, _parameters_of_model: Mapping[str, str]) -> Iterable[str]:
    """Lines about ``knee_segmentation``."""
    yield _about(numbers)
    yield ""
    yield "| structure | Dice | 95 % interval | surface distance, mm |"
    yield "| --- | ---: | ---: | ---: |"
    for name, value in numbers["dice"].items():
        ends = numbers.get("dice_ci", {}).get(name)
        interval = f"{ends[0]:.3f}-{ends[1]:.3f}" if ends else "-"
        yield f"| {name.replace('_', ' ')} | {value:.3f} | {interval} | {numbers['surface_mm'][name]:.2f} |"
    if numbers.get("real"):
        yield ""
        yield f"{numbers['real']['series']}, never trained on, against a semi-automatic reference on"
        yield f"{len(numbers['real']['reference_slices'])} slices: " + "; ".join(
            f"{echo} ms " + ", ".join(f"{bone} {value:.3f}" for bone, value in each["dice"].items())
            for echo, each in numbers["real"]["by_echo_ms"].items()
        )


def _share(measured: Numbers) -> str:
    low, high = measured["ci"]
    return f"{measured['value']:.2f} ({low:.2f}-{high:.2f})"


def _about(numbers: Numbers) -> str:
    return f"{numbers['studies']} synthetic studies of the frozen test set {numbers['test_set']}."


def _parameters(folder: Path) -> dict[str, str]:
    config = text_format.Parse((folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    return {key: value.string_value for key, value in config.parameters.items()}


_BLOCKS: dict[str, Callable[[Numbers, Mapping[str, str]], Iterable[str]]] = {
    KNEE_CLASSIFICATION.name: findings,
    KNEE_SEGMENTATION.name: structures,
}


def main() -> int:
    """Write the cards of this checkout."""
    try:
        write_cards()
    except ReportOfOtherModels as refused:
        print(refused, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
