"""Which series of a study the service would read, and why not the others: ``python -m tools.explain <folder>``.

Prints a table, or with ``--json`` the same as JSON. Exit status 0 where a result would be made, 3 where the study would
be refused; nothing is sent anywhere.
"""

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from services.common.errors import ADVICE, RefusalCode, StudyRefused
from services.common.finding import Laterality
from services.preprocessing.explanation import RESULT, Explanation, SeriesRow, explain
from services.preprocessing.judgement import decode, judge
from services.preprocessing.laterality import Side
from services.preprocessing.reading import read_study

REFUSED = 3


def main() -> int:
    """Explain one folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a study's DICOM files, at any depth")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    if not options.folder.is_dir():
        parser.error(f"{options.folder} is not a folder")
    explanation = explain_folder(options.folder)
    if options.json:
        json.dump(explanation.as_json(), sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        show(explanation, Console())
    return 0 if explanation.outcome == RESULT else REFUSED


def explain_folder(folder: Path) -> Explanation:
    """What the service would read of the files in a folder, and its outcome as far as the models don't decide it."""
    try:
        files = read_study(sorted(path for path in folder.rglob("*") if _may_be_image(path)))
    except StudyRefused as refusal:
        return Explanation((), Side(Laterality.UNKNOWN), str(refusal.code))
    selection, side = judge(files.instances)
    if files.refusal is None:
        judgement = decode(selection)
        selection, side = judgement.selection, judgement.side
    return replace(explain(selection, side, files.refusal), left_out=files.left_out)


def _may_be_image(path: Path) -> bool:
    """An index of a medium is DICOM, too, but names files instead of being one."""
    return path.is_file() and os.access(path, os.R_OK) and path.name.upper() != "DICOMDIR"


def show(explanation: Explanation, console: Console) -> None:
    """A table of the series, the side and the outcome."""
    table = Table(
        "series", "plane", "contrast", "TR/TE ms", "slices (stacks)", "score", "read as, or why not", box=SIMPLE
    )
    for row in explanation.series:
        table.add_row(*_cells(row), f"[green]{row.slot}" if row.slot else f"[yellow]{row.rejected}")
    console.print(table)
    for code, count in explanation.left_out.items():
        console.print(f"{count} files could not be read: {code}")
    side = explanation.side
    source = f" (from {side.source})" if side.source else ""
    console.print(f"side: {side.laterality}{source}{f', but {side.conflict}' if side.conflict else ''}")
    if explanation.outcome == RESULT:
        console.print("[green]A result would be made, if the segmentation sees a knee.")
    else:
        console.print(f"[red]Refused: {explanation.outcome}.[/] {ADVICE[RefusalCode(explanation.outcome)]}")


def _cells(row: SeriesRow) -> list[str]:
    def number(value: float | None, digits: int = 4) -> str:
        return "?" if value is None else f"{value:.{digits}g}"

    return [
        "" if row.series_number is None else str(row.series_number),
        row.plane or "?",
        f"{row.weighting}{' FS' if row.fat_suppressed else ''}",
        f"{number(row.repetition_time_ms)}/{number(row.echo_time_ms)}",
        str(row.slices) if row.stacks == 1 else f"{row.slices} ({row.stacks})",
        "" if row.score is None else f"{row.score:.2f}",
    ]


if __name__ == "__main__":
    sys.exit(main())
