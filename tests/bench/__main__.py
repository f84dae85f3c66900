"""``python -m tests.bench``: what the intake costs beside its peers, on this machine, in one run."""

import argparse
import logging
import os
import tempfile
from pathlib import Path

import cv2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests.bench.contenders import Contender, contenders
from tests.bench.measure import Outcome, measure
from tests.bench.studies import ENCODINGS, write_study

_GOAL_CPU_SECONDS = 0.10
_GOAL_CODEC = 1.3
_GOALS = {"MONAI": 8.0, "SimpleITK": 3.0}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of every contender (default 7)")
    parser.add_argument("--encodings", nargs="*", default=list(ENCODINGS), choices=list(ENCODINGS))
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # MONAI tells of a plugin it misses each time a file is read
    cv2.setNumThreads(1)  # as in a worker of the service
    console = Console()
    memory = Path("/dev/shm")  # noqa: S108 - memory, so that no disk is measured
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        uncompressed = None
        for encoding in arguments.encodings:
            study = write_study(Path(folder) / encoding.replace(" ", "-"), ENCODINGS[encoding])
            entrants = contenders(study, compressed=encoding != "uncompressed")
            outcomes = _measured(console, encoding, entrants, arguments.rounds)
            console.print(_table(encoding, outcomes))
            if encoding == "uncompressed":
                uncompressed = outcomes[0].cpu_seconds
                console.print(_against_peers(outcomes), highlight=False)
            else:
                console.print(_against_codec(outcomes, uncompressed), highlight=False)
    console.print(f"load of the machine over the last minute: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def _measured(console: Console, encoding: str, entrants: list[Contender], rounds: int) -> list[Outcome]:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(encoding, total=len(entrants) * (rounds + 1))
        return measure(entrants, rounds, on_run=lambda: progress.advance(task))


def _table(encoding: str, outcomes: list[Outcome]) -> Table:
    table = Table(title=f"Three series of 30 x 512 x 512, {encoding}: files to model input, medians")
    for name in ("", "CPU s", "wall s", "times ours", "largest difference from ours"):
        table.add_column(name, justify="left" if not name else "right")
    ours = outcomes[0]
    for each in outcomes:
        difference = "-" if each.difference is None else f"{each.difference} grey levels of 255"
        ratio = f"{each.cpu_seconds / ours.cpu_seconds:.2f}"
        table.add_row(each.name, f"{each.cpu_seconds:.3f}", f"{each.wall_seconds:.3f}", ratio, difference)
    return table


def _against_peers(outcomes: list[Outcome]) -> str:
    """Goals met and missed, in words."""
    ours, times = outcomes[0], {each.name: each.cpu_seconds for each in outcomes}
    said = [f"goal: at most {_GOAL_CPU_SECONDS:.2f} CPU s: {_met(ours.cpu_seconds <= _GOAL_CPU_SECONDS)}"]
    for peer, factor in _GOALS.items():
        name, seconds = min(((n, s) for n, s in times.items() if n.startswith(peer)), key=lambda pair: pair[1])
        said.append(f"at least {factor:g} times less than {name}: {_met(seconds / ours.cpu_seconds >= factor)}")
    return "; ".join(said) + "\n"


def _against_codec(outcomes: list[Outcome], uncompressed: float | None) -> str:
    """Both readings of "within 1.3 times the bare codec": the whole way, and what compression adds to it."""
    ours, codec = outcomes[0].cpu_seconds, outcomes[1].cpu_seconds
    readings = {"from files to model input": ours}
    if uncompressed is not None:
        readings["what compression adds to the uncompressed way"] = ours - uncompressed
    said = (f"{name}: {each / codec:.2f}, {_met(each / codec <= _GOAL_CODEC)}" for name, each in readings.items())
    return f"goal: at most {_GOAL_CODEC} times the bare codec; " + "; ".join(said) + "\n"


def _met(reached: bool) -> str:  # noqa: FBT001 - the answer is the argument
    return "met" if reached else "missed"


if __name__ == "__main__":
    main()
