"""The three models applied to one knee: segment each plane, settle its side, classify, explain what was found."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.common.errors import RefusalCode, StudyRefused
from services.common.finding import LABELS, Finding, Laterality, Location, Structure
from services.common.tensors import KNEE_CAM, KNEE_CLASSIFICATION, KNEE_SEGMENTATION, PLANE_COUNT
from services.common.transforms import ModelGrid, joint_region, to_model_grid, to_source_grid
from services.common.triton import TritonClient
from services.common.volume import PLANES, Plane
from services.preprocessing.agreement import agreed
from services.preprocessing.geometry import affine_of
from services.preprocessing.laterality import segmented_side
from services.preprocessing.motion import motions
from services.preprocessing.segmented import Segmented
from services.preprocessing.stacking import Sources, as_side, stack_planes

FloatArray = NDArray[np.float32]
_ENOUGH_VOXELS = 500  # of a bone on the model's grid; fewer are noise


@dataclass(frozen=True, eq=False)
class Reading:
    """What the models say, on the source series' own grids.

    ``labels`` and ``saliency`` are uint8 ``(slice, row, column)`` of the source series; ``saliency`` is by finding
    label, on the plane of that finding's location; ``sources`` are laid out for the side that was settled; ``unlike``
    are planes whose bones could not be laid on those of the others.
    """

    sources: Sources
    findings: tuple[Finding, ...]
    labels: dict[Plane, NDArray[np.uint8]]
    unlike: tuple[Plane, ...]
    confidence: dict[Plane, FloatArray]
    saliency: dict[str, NDArray[np.uint8]]


def read_knee(triton: TritonClient, sources: Sources, *, settle_side: bool) -> Reading:
    """Run the models on the planes at hand.

    Where nobody says which knee it is and ``settle_side`` allows it, the segmentation does: the fibula lies outside.
    Raises ``ServiceUnavailable``, or ``StudyRefused`` with ``MODEL_OUTPUT_INVALID`` or ``NO_KNEE_SEEN``.
    """
    segmented = segment(triton, sources)
    _require_knee(triton, segmented)
    if sources.laterality is Laterality.UNKNOWN and settle_side:
        sources, segmented = _settled(triton, sources, segmented)
    classified = _classify(triton, sources, segmented)
    findings = _findings(classified, _thresholds(triton), sources)
    fitting = motions(segmented)
    return Reading(
        sources=sources,
        findings=findings,
        labels=agreed(segmented, fitting),
        unlike=tuple(plane for plane in segmented if plane not in fitting),
        confidence={plane: each.confidence for plane, each in segmented.items()},
        saliency=_explain(triton, classified, findings, sources),
    )


def segment(triton: TritonClient, sources: Sources) -> dict[Plane, Segmented]:
    """Every slice of every plane; requests travel at once so that Triton's instances share them."""
    grids = {plane: each.grid.passes() for plane, each in sources.inputs.items()}

    def infer(place: tuple[Plane, ModelGrid]) -> Mapping[str, NDArray[Any]]:
        plane, grid = place
        each = sources.inputs[plane]
        volume = each.volume if len(grids[plane]) == 1 else to_model_grid(each.source, grid)
        return triton.infer(KNEE_SEGMENTATION, {"volume": volume})

    with ThreadPoolExecutor(PLANE_COUNT) as threads:
        answers = threads.map(infer, [(plane, grid) for plane in grids for grid in grids[plane]])
        return {
            plane: Segmented.of(
                sources.inputs[plane].grid, affine_of(sources.slices[plane]), [next(answers) for _ in passes]
            )
            for plane, passes in grids.items()
        }


def _require_knee(triton: TritonClient, segmented: Mapping[Plane, Segmented]) -> None:
    """A head has regions that pass for bones, but the segmentation is never sure of them, in no plane.

    How sure is enough belongs to the model, so it travels in its Triton configuration.
    """
    least = float(triton.parameters(KNEE_SEGMENTATION).get("bone_confidence", 0))
    if max(float(each.confidence[[Structure.FEMUR, Structure.TIBIA]].mean()) for each in segmented.values()) < least:
        raise StudyRefused(RefusalCode.NO_KNEE_SEEN)


def _settled(
    triton: TritonClient, sources: Sources, segmented: dict[Plane, Segmented]
) -> tuple[Sources, dict[Plane, Segmented]]:
    """The sources as the side that the fibula speaks for; a left one only where it says so on its own grid, too."""
    side = _side(segmented)
    if side is not Laterality.LEFT:
        return replace(sources, laterality=side), segmented
    left = as_side(sources, side)
    again = segment(triton, left)
    return (left, again) if _side(again) is side else (sources, segmented)


def _side(segmented: dict[Plane, Segmented]) -> Laterality:
    sides = {side for each in segmented.values() if (side := segmented_side(_centres_mm(each)))}
    return sides.pop() if len(sides) == 1 else Laterality.UNKNOWN


def _centres_mm(segmented: Segmented) -> dict[str, NDArray[np.float64]]:
    """Centres of tibia and fibula in LPS, where enough of them is seen."""
    centres = {}
    for name, structure in (("tibia", Structure.TIBIA), ("fibula", Structure.FIBULA)):
        voxels = np.nonzero(segmented.labels == structure)
        if len(voxels[0]) >= _ENOUGH_VOXELS:
            centres[name] = (segmented.to_patient @ [*(axis.mean() for axis in voxels), 1.0])[:3]
    return centres


def _classify(
    triton: TritonClient, sources: Sources, segmented: dict[Plane, Segmented]
) -> dict[str, NDArray[np.generic]]:
    volumes, slice_mask = stack_planes(sources.inputs)
    region = np.zeros((PLANE_COUNT, 4), dtype=np.float32)
    for plane, each in segmented.items():
        region[PLANES.index(plane)] = joint_region(each.labels)
    return triton.infer(KNEE_CLASSIFICATION, {"volumes": volumes, "slice_mask": slice_mask, "region": region})


def _thresholds(triton: TritonClient) -> list[float]:
    """One threshold a label; they belong to the model, so they travel in its Triton configuration."""
    return [float(value) for value in triton.parameters(KNEE_CLASSIFICATION)["thresholds"].split(",")]


def _findings(
    classified: dict[str, NDArray[np.generic]], thresholds: list[float], sources: Sources
) -> tuple[Finding, ...]:
    probabilities = 1.0 / (1.0 + np.exp(-classified["logits"].astype(np.float64)))
    seen = stack_planes(sources.inputs)[1].astype(bool)
    places = deciding_slices(classified["class_maps"], classified["attention"], seen)
    return tuple(
        Finding(label, float(probabilities[index]), thresholds[index], _location(places[index], sources))
        for index, label in enumerate(LABELS)
    )


def deciding_slices(
    class_maps: NDArray[np.generic], attention: NDArray[np.generic], seen: NDArray[np.bool_]
) -> list[tuple[int, int]]:
    """Plane and slice that speak for each label most: where its heat map is hottest.

    ``class_maps`` (3,32,12,32,32), ``attention`` (3,32,12), ``seen`` (3,32). As in the heat map, only the positive part
    of a class map counts: an empty slice has a negative mean, and of two negative shares the larger one is that of the
    slice that was looked at least. Where nothing is positive, the slice with the most attention is taken.
    """
    heat = attention * np.maximum(class_maps, 0).mean(axis=(3, 4), dtype=np.float32)
    places = []
    for index in range(attention.shape[2]):
        chosen = heat if (heat[:, :, index] * seen).any() else attention
        place = np.argmax(np.where(seen, chosen[:, :, index], -np.inf))
        places.append((int(place // seen.shape[1]), int(place % seen.shape[1])))
    return places


def _location(place: tuple[int, int], sources: Sources) -> Location:
    slot, model_slice = place
    plane = PLANES[slot]
    index = sources.inputs[plane].grid.source_slice(model_slice)
    frame = sources.slices[plane][index]
    return Location(plane, index, frame.sop_instance_uid, frame.frame_number)


def _explain(
    triton: TritonClient,
    classified: dict[str, NDArray[np.generic]],
    findings: tuple[Finding, ...],
    sources: Sources,
) -> dict[str, NDArray[np.uint8]]:
    """Saliency of every positive finding, or of the most probable label where none is positive."""
    shown = [finding for finding in findings if finding.positive] or [max(findings, key=lambda each: each.probability)]
    maps = {"class_maps": classified["class_maps"], "attention": classified["attention"]}
    saliency = {}
    for finding in shown:
        label = np.array([LABELS.index(finding.label)], dtype=np.int64)
        answer = triton.infer(KNEE_CAM, {**maps, "label": label})["saliency"]
        plane = finding.location.plane
        saliency[finding.label] = to_source_grid(answer[PLANES.index(plane)], sources.inputs[plane].grid)
    return saliency
