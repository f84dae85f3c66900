"""The harness itself is tested: with a safeguard broken on purpose, the oracle must see it."""

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.faults.campaign import Size, run
from tests.faults.sabotaged import SABOTAGES
from tests.faults.strikes import KINDS

# what makes most trouble in little time
_STRIKES = {
    "kill forwarder",
    "kill worker",
    "kill orthanc",
    "kill preprocessing",
    "kill triton",
    "terminate preprocessing",
    "cut analysis",
    "cut archive",
    "refuse analysis",
}


def check(folder: Path, console: Console) -> dict[str, bool]:
    """Break each safeguard in turn; whether the oracle saw it, by name."""
    kinds = tuple(kind for kind in KINDS if kind.name in _STRIKES)
    caught: dict[str, bool] = {}
    table = Table("safeguard", "caught", "by")
    for name in SABOTAGES:
        size = Size(24, 10, seed=7, compare=24, pause_seconds=1.0, settle_seconds=60, kinds=kinds, sabotage=name)
        verdict = run(size, folder / name.replace(" ", "-"), console).verdict
        caught[name] = not verdict.clean
        table.add_row(name, "[green]yes" if caught[name] else "[red]no", _named(verdict))
        console.print(f"{name}: {'caught' if caught[name] else 'MISSED'} {_named(verdict)}")
    console.print(table)
    (folder / "safeguards.json").write_text(json.dumps(caught, indent=1))
    return caught


def _named(verdict) -> str:
    return ", ".join(f"{key} {value}" for key, value in vars(verdict).items() if value and key != "compared")
