"""Why these series and not the others: one row a series, for the report, the command line and anything that asks."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from services.common.errors import RefusalCode
from services.preprocessing.laterality import Side
from services.preprocessing.selection import Candidate, Selection

RESULT = "RESULT"


@dataclass(frozen=True)
class SeriesRow:
    """One series, or one chosen stack of a series that serves several planes.

    ``slot`` is the plane it answers; where it answers none, ``rejected`` is the code that says why. ``stacks`` counts
    the echoes, orientations or time points the series was split into.
    """

    series_instance_uid: str
    series_number: int | None
    plane: str | None
    weighting: str
    fat_suppressed: bool
    fluid_sensitive: bool
    repetition_time_ms: float | None
    echo_time_ms: float | None
    slices: int
    stacks: int
    slot: str | None
    score: float | None
    rejected: str | None


@dataclass(frozen=True)
class Explanation:
    """What the service would read of a study; ``outcome`` is ``RESULT`` or the code of the refusal.

    ``left_out`` counts the files that could not be parsed, by code: nobody knows which series they belong to.
    """

    series: tuple[SeriesRow, ...]
    side: Side
    outcome: str
    left_out: Mapping[RefusalCode, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Plain data; holds nothing of the patient."""
        return {
            "series": [asdict(row) for row in self.series],
            "laterality": str(self.side.laterality),
            "laterality_source": self.side.source,
            "laterality_conflict": self.side.conflict,
            "outcome": self.outcome,
            "files_left_out": {str(code): count for code, count in self.left_out.items()},
        }

    def sentences(self) -> Iterator[str]:
        """The same for a report, a line a series."""
        for row in self.series:
            name = "series without number" if row.series_number is None else f"series {row.series_number}"
            fate = f"read as {row.slot}" if row.slot else f"not read: {row.rejected}"
            yield f"{name} ({_contrast(row)}, {row.slices} slices): {fate}"


def explain(selection: Selection, side: Side, refusal: RefusalCode | None = None) -> Explanation:
    """The explanation of a selection; ``refusal`` overrides its outcome where the study was refused for another reason.

    Series come in the order of their number.
    """
    by_series: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in selection.candidates:
        by_series[candidate.series_instance_uid].append(candidate)
    rows = [row for candidates in by_series.values() for row in _rows(candidates, selection)]
    rows.sort(key=lambda row: (row.series_number is None, row.series_number or 0, row.series_instance_uid))
    code = refusal or selection.refusal
    return Explanation(tuple(rows), side, RESULT if code is None else str(code))


def _rows(candidates: Sequence[Candidate], selection: Selection) -> list[SeriesRow]:
    """A row for each chosen stack of one series; where none is, one for the best of them."""
    slots = {id(candidate): str(plane) for plane, candidate in selection.chosen.items()}
    chosen = [each for each in candidates if id(each) in slots]
    shown = chosen or [max(candidates, key=lambda each: (each.rejected is None, each.score, len(each.frames)))]
    return [_row(each, slots.get(id(each)), candidates) for each in shown]


def _row(candidate: Candidate, slot: str | None, siblings: Sequence[Candidate]) -> SeriesRow:
    first, physics = candidate.frames[0], candidate.physics
    number = first.number("SeriesNumber")
    code = candidate.rejected or (None if slot else RefusalCode.OUTRANKED)
    alone = all(each.rejected == candidate.rejected and len(each.frames) == 1 for each in siblings)
    return SeriesRow(
        series_instance_uid=candidate.series_instance_uid,
        series_number=None if number is None else int(number),
        plane=None if candidate.plane is None else str(candidate.plane),
        weighting=str(physics.weighting),
        fat_suppressed=physics.fat_suppressed,
        fluid_sensitive=physics.fluid_sensitive,
        repetition_time_ms=physics.repetition_time,
        echo_time_ms=physics.echo_time,
        slices=len(siblings) if alone else len(candidate.frames),
        stacks=1 if alone else len(siblings),
        slot=slot,
        score=None if candidate.rejected else candidate.score,
        rejected=None if code is None else str(code),
    )


def _contrast(row: SeriesRow) -> str:
    words = [row.plane or "no orientation", row.weighting]
    words += ["fat-suppressed"] if row.fat_suppressed else []
    words += [] if row.echo_time_ms is None else [f"echo time {row.echo_time_ms:g} ms"]
    return ", ".join(words)
