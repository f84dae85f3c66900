"""Which knee it is: from the tags where they agree, else from where the knee lies, else unknown; never a guess."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.common.finding import Laterality
from services.common.frame import Frame
from services.common.volume import FloatArray
from services.preprocessing.geometry import affine_of

# a knee this far from the scanner's middle plane is not the other knee; nearer, the patient may lie off centre
BESIDE_THE_MIDDLE_MM = 40.0
_FIBULA_BESIDE_TIBIA_MM = 12.0  # its head lies 25 mm out; less is a wrong segmentation
_TAGS = ("Laterality", "ImageLaterality")
_DESCRIPTIONS = ("SeriesDescription", "ProtocolName", "StudyDescription", "PerformedProcedureStepDescription")
_SPOKEN = {
    Laterality.RIGHT: re.compile(r"\b(RIGHT|RT|RECHTS|DROITE?|DERECHA|DESTR[AO])\b|\bR[. _-]?KNEE\b|\bKNEE[ _-]R\b"),
    Laterality.LEFT: re.compile(r"\b(LEFT|LT|LINKS|GAUCHE|IZQUIERDA|SINISTR[AO])\b|\bL[. _-]?KNEE\b|\bKNEE[ _-]L\b"),
}


@dataclass(frozen=True)
class Side:
    """The side, where it comes from (``tags``, ``geometry``, ``segmentation`` or nothing) and what contradicts it."""

    laterality: Laterality
    source: str = ""
    conflict: str = ""


def side_of(frames: Sequence[Frame], stacks: Iterable[Sequence[Frame]]) -> Side:
    """The side of a study.

    ``frames`` are one of every MR stack; ``stacks`` those that are read, whose place decides where no tag speaks. Tags
    that disagree, with each other or with a description, leave the side unknown.
    """
    tagged = _tagged(frames)
    described = _described(frames)
    if len(tagged | described) > 1:
        return Side(Laterality.UNKNOWN, conflict="the tags name both sides")
    placed = _placed(stacks)
    if tagged or described:
        (side,) = tagged | described
        conflict = "the place of the knee speaks for the other side" if placed not in {None, side} else ""
        return Side(side, "tags", conflict)
    return Side(placed, "geometry") if placed else Side(Laterality.UNKNOWN)


def segmented_side(centres_mm: Mapping[str, FloatArray]) -> Laterality | None:
    """The side from the centres of ``fibula`` and ``tibia`` in LPS: the fibula lies on the outer side."""
    if not {"fibula", "tibia"} <= centres_mm.keys():
        return None
    outwards = float(centres_mm["fibula"][0] - centres_mm["tibia"][0])
    if abs(outwards) < _FIBULA_BESIDE_TIBIA_MM:
        return None
    return Laterality.LEFT if outwards > 0 else Laterality.RIGHT


def _tagged(frames: Sequence[Frame]) -> set[Laterality]:
    """Sides the tags name; ``B`` and whatever else is not a side count as both."""
    spoken = {value for frame in frames for keyword in _TAGS for value in frame.values(keyword)} - {"U"}
    both = {Laterality.RIGHT, Laterality.LEFT}
    return {Laterality(value) for value in spoken} if spoken <= both else both


def _described(frames: Sequence[Frame]) -> set[Laterality]:
    texts = {value for frame in frames for keyword in _DESCRIPTIONS for value in frame.values(keyword)}
    return {side for side, pattern in _SPOKEN.items() if any(pattern.search(text) for text in texts)}


def _placed(stacks: Iterable[Sequence[Frame]]) -> Laterality | None:
    """The side from the middle of the stacks; patients' right is negative x."""
    x = [float(_centre(slices)[0]) for slices in stacks]
    if not x or min(abs(each) for each in x) < BESIDE_THE_MIDDLE_MM or len(set(np.sign(x))) > 1:
        return None
    return Laterality.LEFT if x[0] > 0 else Laterality.RIGHT


def _centre(slices: Sequence[Frame]) -> FloatArray:
    size = np.array([len(slices), slices[0].number("Rows") or 1, slices[0].number("Columns") or 1])
    return np.asarray(affine_of(slices) @ [*(size - 1) / 2, 1.0], dtype=np.float64)[:3]
