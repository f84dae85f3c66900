"""What is read of a study: by their headers the best series of each plane, then the best whose pixels keep the promise.

A series may look perfect and be cut off in its last slice. Its place then goes to the next one of its plane, and the
explanation gives the code: a missing plane costs more than a second choice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pydicom

from services.common.errors import StudyRefused
from services.common.volume import PLANES, Plane, Volume
from services.preprocessing.laterality import Side, side_of
from services.preprocessing.rules import load_rules
from services.preprocessing.selection import NO_SOURCE, Candidate, Selection, select_series
from services.preprocessing.stacking import assemble, windowed

PIPELINE = "knee"


@dataclass(frozen=True, eq=False)
class Judgement:
    """A selection that holds for the pixels too, the side of the knee, and the windowed volume of each chosen stack."""

    selection: Selection
    side: Side
    volumes: dict[Plane, Volume]


def judge(instances: Sequence[pydicom.Dataset]) -> tuple[Selection, Side]:
    """Which series are read and which knee it is, as far as headers tell."""
    selection = select_series(instances, load_rules(PIPELINE))
    return selection, _side_in(selection)


def decode(selection: Selection) -> Judgement:
    """Read the pixels of the chosen stacks; one that can't be read is rejected by its code and the next one tried."""
    volumes: dict[Plane, Volume] = {}
    chosen: dict[Plane, Candidate] = {}
    rejected: dict[int, Candidate] = {}
    for plane in PLANES:
        for candidate in selection.ranked(plane):
            try:
                volumes[plane] = windowed(assemble(candidate.frames))
            except StudyRefused as refusal:
                rejected[id(candidate)] = replace(candidate, score=0.0, rejected=refusal.code)
                continue
            chosen[plane] = candidate
            break
    final = Selection(tuple(rejected.get(id(each), each) for each in selection.candidates), chosen)
    return Judgement(final, _side_in(final), volumes)


def _side_in(selection: Selection) -> Side:
    frames = [each.frames[0] for each in selection.candidates if each.rejected not in NO_SOURCE]
    return side_of(frames, [each.frames for each in selection.chosen.values()])
