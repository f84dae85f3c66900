"""The mean of two segmentations: ``python -m tools.train.mean <earlier/model.onnx> <later/model.onnx>``.

Where one training went on from the other, the mean of their weights is as good as either on what both learnt and loses
less on images that neither saw (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models"). A hospital that has
trained the published model on its own scanner gives both files, and evaluates the mean beside its own. ``--share`` is
the weight of the later one.
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from services.common.tensors import KNEE_SEGMENTATION
from tools.pin_models import REPOSITORY, pin_models


def main() -> None:
    """Write the mean to the model repository, and pin it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs=2, help="exported files of one network, the earlier first")
    parser.add_argument("--share", type=float, default=0.5, help="of the later one, 0 to 1")
    parser.add_argument("--repository", type=Path, default=REPOSITORY)
    chosen = parser.parse_args()
    earlier, later = (onnx.load(path) for path in chosen.models)
    try:
        made = mean(earlier, later, share=chosen.share)
    except ValueError as error:
        parser.error(str(error))
    onnx.save(made, chosen.repository / KNEE_SEGMENTATION.name / "1" / "model.onnx")
    print(KNEE_SEGMENTATION.name, pin_models(chosen.repository)[KNEE_SEGMENTATION.name])


def mean(earlier: onnx.ModelProto, later: onnx.ModelProto, *, share: float) -> onnx.ModelProto:
    """The graph with a mean of both graphs' constants, each found by its name, the later with weight ``share``.

    Raises ``ValueError`` where the graphs don't have the same constants in the same shapes: one did not learn from the
    other, and nothing between them is a model.
    """
    result, of_later = onnx.ModelProto(), {each.name: each for each in later.graph.initializer}
    result.CopyFrom(earlier)
    if {each.name for each in earlier.graph.initializer} != of_later.keys():
        message = "the two files have different layers; give two exports of one network"
        raise ValueError(message)
    for constant in result.graph.initializer:
        a, b = numpy_helper.to_array(constant), numpy_helper.to_array(of_later[constant.name])
        if a.shape != b.shape or a.dtype != b.dtype:
            message = f"{constant.name} is {a.dtype} {a.shape} in one file, {b.dtype} {b.shape} in the other"
            raise ValueError(message)
        if np.issubdtype(a.dtype, np.floating):
            constant.CopyFrom(numpy_helper.from_array(a + a.dtype.type(share) * (b - a), constant.name))
    return result


if __name__ == "__main__":
    main()
