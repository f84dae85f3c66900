"""``python -m tests.fuzz``: damaged studies without end, and what the intake makes of them."""

import argparse
import itertools
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.fuzz.campaign import MAX_BYTES, MAX_SECONDS, Tally, run
from tests.fuzz.target import case

FINDINGS = Path("build/fuzz")


def main() -> None:
    """Run, print the table, and exit with 1 where anything escaped."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--executions", type=int, default=10**9, help="stop after so many")
    parser.add_argument("--minutes", type=float, default=60.0, help="stop earlier after this time")
    parser.add_argument("--first", type=int, default=0, help="number of the first case, to replay it")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    console = Console()
    begin, seconds, done = time.monotonic(), 60 * arguments.minutes, itertools.count(1)
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("damaged studies", total=seconds)

        def show() -> None:
            progress.update(task, completed=time.monotonic() - begin, description=f"{next(done):,} damaged studies")

        tally = run(
            range(arguments.first, arguments.first + arguments.executions),
            processes=arguments.processes,
            on_case=show,
            go_on=lambda: time.monotonic() - begin < seconds,
        )
    console.print(_table(tally))
    _save(tally, console)
    sys.exit(1 if tally.escapes else 0)


def _table(tally: Tally) -> Table:
    table = Table("", "", title="Damaged studies")
    table.add_row("executions", f"{tally.executions:,}")
    for outcome, count in tally.outcomes.most_common():
        table.add_row(f"  {outcome}", f"{count:,}")
    table.add_row("escapes", f"{len(tally.escapes):,}")
    table.add_row("most memory of a process", f"{tally.most_bytes >> 20} MiB (bound {MAX_BYTES >> 20})")
    table.add_row("longest case", f"{tally.most_seconds:.2f} CPU s (bound {MAX_SECONDS:g})")
    return table


def _save(tally: Tally, console: Console) -> None:
    for number, verdict in sorted(tally.escapes.items()):
        seed, files = case(number)
        place = FINDINGS / str(number)
        place.mkdir(parents=True, exist_ok=True)
        for index, data in enumerate(files):
            (place / f"{index}.dcm").write_bytes(data)
        console.print(f"case {number} ({seed.name}): {verdict.outcome}; files in {place}")


if __name__ == "__main__":
    main()
