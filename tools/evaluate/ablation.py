"""What each choice of the service is worth: the same studies read in other ways.

region       the classifier without the region of interest that the segmentation gives
planes       each plane's structures without asking the other planes, and asked about a knee that moved between series
fp32 input   windowed volumes that were never rounded to uint8, through graphs whose input type is FP32
bf16, int8   the engine's other precisions; int8 is quantised from synthetic knees outside the test set
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from services.common.finding import LABELS
from services.common.tensors import GRID, KNEE_CLASSIFICATION, KNEE_SEGMENTATION, PLANE_COUNT, ModelContract
from services.common.transforms import (
    WINDOW_PERCENTILES,
    ModelGrid,
    joint_region,
    resampled_slices,
    to_source_grid,
)
from services.common.triton import TritonClient
from services.common.volume import PLANES, Plane
from services.preprocessing.agreement import agreed
from services.preprocessing.geometry import affine_of
from services.preprocessing.inference import segment
from services.preprocessing.motion import motions, rigid
from services.preprocessing.segmented import Segmented
from services.preprocessing.stacking import Sources, assemble, stack_planes
from tools.evaluate import testset
from tools.evaluate.answers import sources_of
from tools.evaluate.engine import Engine, capabilities
from tools.evaluate.overlap import STRUCTURES
from tools.evaluate.testset import SyntheticStudy

Load = Callable[[int], SyntheticStudy]

BASELINE = "served way"
CALIBRATION_SEEDS = (testset.FIRST_SEED - 20, testset.FIRST_SEED - 19)


@dataclass(frozen=True)
class Variant:
    """One way of reading; ``engine`` None cannot be measured here, for the reason in ``note``."""

    name: str
    engine: Engine | None
    note: str
    region: bool = True
    floating: bool = False
    asked: bool = True
    moved_mm: float = 0.0


def variants(folder: Path, repository: Path, load: Load) -> list[Variant]:
    """All ways, the served one first. Builds the FP32-input and int8 graphs once, under ``folder``.

    ``load`` gives the study of a seed; calibration takes two that no set holds.
    """
    f32 = Engine(repository, precision="f32")
    both = (KNEE_SEGMENTATION, KNEE_CLASSIFICATION)
    floating = {each.name: with_float_input(f32.path(each), each, folder) for each in both}
    bf16 = Engine(repository, precision="bf16") if "BF16" in capabilities() else None
    int8 = {each.name: quantised(f32, each, folder, load) for each in both}
    return [
        Variant(BASELINE, f32, "uint8 input, fp32 engine, region of interest from the segmentation"),
        Variant("no region", f32, "the classifier sees whole slices", region=False),
        Variant("planes alone", f32, "no plane is asked about another's structures", asked=False),
        Variant(
            "moved knee", f32, "up to 3 mm along and 3.4 degrees about each axis, before each series", moved_mm=3.0
        ),
        Variant("fp32 input", Engine(repository, graphs=floating, precision="f32"), "no rounding", floating=True),
        Variant("bf16", bf16, "engine in bf16" if bf16 else "not measured: this CPU has no bf16"),
        Variant("int8", Engine(repository, graphs=int8, precision="f32"), "convolutions quantised after training"),
    ]


def measure(variant: Variant, study: SyntheticStudy, sources: Sources) -> dict[str, Any]:
    """Logits by label, and overlap counts ``[both, found, true]`` by structure over all planes.

    Without the region of interest there is nothing to segment, so there are no counts.
    """
    if variant.engine is None:
        return {}
    volumes, mask = stack_planes(sources.inputs)
    if variant.floating:
        volumes = np.stack([_unrounded(sources, plane, sources.inputs[plane].grid) for plane in PLANES])
    region = np.zeros((PLANE_COUNT, 4), dtype=np.float32)
    counts = np.zeros((len(STRUCTURES), 3))
    if variant.region:
        segmented = _segmented(variant.engine, sources, floating=variant.floating)
        segmented = {plane: _moved(each, plane, variant.moved_mm, study.seed) for plane, each in segmented.items()}
        region = np.stack([joint_region(each.labels) for each in segmented.values()])
        for plane, found in agreed(segmented, motions(segmented) if variant.asked else {}).items():
            inside = to_source_grid(np.ones_like(segmented[plane].labels), segmented[plane].grid) > 0
            counts += _counts(found, np.where(inside, study.labels[plane], 0))
    inputs: dict[str, NDArray[Any]] = {"volumes": volumes, "slice_mask": mask, "region": region}
    logits = variant.engine.infer(KNEE_CLASSIFICATION, inputs)["logits"]
    return {
        "logits": {label: float(logits[i]) for i, label in enumerate(LABELS)},
        "counts": {structure.name: counts[i].tolist() for i, structure in enumerate(STRUCTURES)},
        "truth": {label: label in study.findings for label in LABELS},
    }


def _counts(found: NDArray[np.uint8], true: NDArray[np.uint8]) -> NDArray[np.float64]:
    same = np.bincount(found[found == true], minlength=len(STRUCTURES) + 1)
    a, b = (np.bincount(each.ravel(), minlength=len(STRUCTURES) + 1) for each in (found, true))
    return np.stack([same[1:], a[1:], b[1:]], axis=1).astype(np.float64)


def _segmented(engine: Engine, sources: Sources, *, floating: bool) -> dict[Plane, Segmented]:
    """Every plane as the service segments it, or the same from volumes that were not rounded."""
    if not floating:
        return segment(cast("TritonClient", engine), sources)
    found = {}
    for plane, each in sources.inputs.items():
        volumes = [_unrounded(sources, plane, grid) for grid in each.grid.passes()]
        answers = [engine.infer(KNEE_SEGMENTATION, {"volume": volume}) for volume in volumes]
        found[plane] = Segmented.of(each.grid, affine_of(sources.slices[plane]), answers)
    return found


def _moved(each: Segmented, plane: Plane, most_mm: float, seed: int) -> Segmented:
    """A plane as if the knee had moved before it, by that much along each axis and, at 50 mm, by turning about it."""
    rng = np.random.default_rng([seed, PLANES.index(plane)])
    step = rng.uniform(-1, 1, 6) * np.repeat((most_mm, most_mm / 50), 3)
    centre = (each.to_patient @ (*(np.array(each.labels.shape) / 2), 1))[:3]
    return replace(each, to_patient=rigid(step, centre) @ each.to_patient)


def _unrounded(sources: Sources, plane: Plane, grid: ModelGrid) -> NDArray[np.float32]:
    """A plane on a grid ``(32, 256, 256)``, in 0..255 that were rounded nowhere."""
    volume = np.zeros(GRID, dtype=np.float32)
    voxels = assemble(sources.slices[plane]).voxels.astype(np.float32)
    low, high = np.percentile(voxels[:, ::4, ::4], WINDOW_PERCENTILES)
    windowed = np.clip((voxels - low) * (255 / (high - low)), 0, 255).astype(np.float32)
    for index, pixels in resampled_slices(windowed, grid):
        volume[index] = pixels
    return volume


def with_float_input(path: Path, contract: ModelContract, folder: Path) -> Path:
    """The graph with its uint8 volume input declared FP32; what cast it inside now casts nothing."""
    target = _place(path, contract, folder, "float")
    if not target.exists():
        model = onnx.load(path)
        volume = next(each for each in model.graph.input if each.name == contract.inputs[0].name)
        volume.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
        del model.graph.value_info[:]
        part = target.with_suffix(".part")
        onnx.save(model, part)
        part.rename(target)
    return target


def quantised(engine: Engine, contract: ModelContract, folder: Path, load: Load) -> Path:
    """The graph with int8 convolutions, calibrated on two synthetic knees that are in no other set."""
    target = _place(engine.path(contract), contract, folder, "int8")
    if not target.exists():
        part = target.with_suffix(".part")
        quantise(engine.path(contract), part, _calibration_inputs(engine, contract, load))
        part.rename(target)
    return target


def _place(path: Path, contract: ModelContract, folder: Path, kind: str) -> Path:
    """Where a graph that is made from another lies; the name says from which."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{contract.name}-{kind}-{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}.onnx"


def quantise(path: Path, target: Path, inputs: list[dict[str, NDArray[Any]]]) -> None:
    """Write the graph with int8 convolutions whose ranges are those that the inputs reach."""
    prepared = target.with_suffix(".prepared.onnx")
    quant_pre_process(path, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        target,
        _Calibration(inputs),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv"],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    prepared.unlink()


class _Calibration(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """Inputs of one model, one at a time, as onnxruntime's quantiser asks for them."""

    def __init__(self, inputs: list[dict[str, NDArray[Any]]]) -> None:
        self._inputs = iter(inputs)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self._inputs, None)


def _calibration_inputs(engine: Engine, contract: ModelContract, load: Load) -> list[dict[str, NDArray[Any]]]:
    inputs: list[dict[str, NDArray[Any]]] = []
    for seed in CALIBRATION_SEEDS:
        sources = sources_of(load(seed))
        volumes, mask = stack_planes(sources.inputs)
        if contract is KNEE_SEGMENTATION:
            inputs += [{"volume": volume[None]} for volume in volumes]
        else:
            labels = [engine.infer(KNEE_SEGMENTATION, {"volume": volume})["labels"] for volume in volumes]
            region = np.stack([joint_region(each) for each in labels])
            inputs.append({"volumes": volumes[None], "slice_mask": mask[None], "region": region[None]})
    return inputs


def save(path: Path, measured: dict[str, Any]) -> None:
    """Write whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(measured))
    part.rename(path)
