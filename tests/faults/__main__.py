"""``python -m tests.faults``: break the real system and say what came of it."""

import argparse
import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.faults import namespace, report
from tests.faults.campaign import Size, run
from tests.faults.crash_points import enumerate_crashes
from tests.faults.kinds import skipped_kinds
from tests.faults.safeguards import check

ROUND_STUDIES = 300  # of one site and one seed: small enough to be replayed in minutes


def main() -> int:
    """Run what was asked for; 0 where every invariant holds and every broken safeguard was caught."""
    options = _options()
    namespace.enter()
    namespace.prepare()
    campaign = Campaign(options, Console())
    campaign.run()
    return 0 if campaign.clean else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--studies", type=int, default=ROUND_STUDIES, help="rounds of at most 300, each with its seed")
    parser.add_argument("--faults", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1, help="of the first round; each further round has the next one")
    parser.add_argument("--crash-points", action="store_true", help="kill -9 before and after every durable write, too")
    parser.add_argument("--check", action="store_true", help="break each safeguard and see whether the oracle notices")
    parser.add_argument("--resume", action="store_true", help="keep what an interrupted run has done")
    parser.add_argument("--folder", type=Path, help="where sites keep state and logs; a temporary one otherwise")
    return parser.parse_args()


class Campaign:
    """All parts of one run, each written down when it is over."""

    def __init__(self, options: argparse.Namespace, console: Console) -> None:
        self._options, self._console = options, console
        self._folder = options.folder or Path(tempfile.mkdtemp(prefix="articula-faults-"))
        self._records: list[dict[str, Any]] = []
        self._safeguards: dict[str, bool] | None = None

    @property
    def clean(self) -> bool:
        """Whether everything holds."""
        return all(each["clean"] for each in self._records) and all((self._safeguards or {}).values())

    def run(self) -> None:
        """Every part that was asked for, and the tables."""
        for name, reason in skipped_kinds().items():
            self._console.print(f"[yellow]skipped:[/] {name} ({reason})")
        if self._options.crash_points:
            self._part(f"crash-points-{self._options.seed}", self._crash_points)
        for size in self._sizes():
            name = f"round-{size.seed}-{size.studies}-{size.faults}"
            self._part(name, lambda name, size=size: self._round(name, size))
        if self._options.check:
            self._safeguards = self._check(report.FOLDER / "parts" / "safeguards.json")
        self._write()
        self._console.print(report.table(self._records, f"seed {self._options.seed}"))
        self._console.print_json(data=self._report())

    def _sizes(self) -> list[Size]:
        """The rounds; studies and faults in equal parts."""
        options = self._options
        rounds = -(-options.studies // ROUND_STUDIES)
        parts = [(_part_of(options.studies, rounds, at), _part_of(options.faults, rounds, at)) for at in range(rounds)]
        return [Size(studies, faults, options.seed + index) for index, (studies, faults) in enumerate(parts)]

    def _part(self, name: str, make: Any) -> None:
        path = report.FOLDER / "parts" / f"{name}.json"
        if self._options.resume and path.exists():
            record = json.loads(path.read_text())
        else:
            record = make(name)
            report.write(path, record)
        self._records.append(record)
        self._write()
        verdict = "[green]everything holds"
        if not record["clean"]:
            broken = {key: value for key, value in record["broken"].items() if value} | {
                key: record[key] for key in ("leaks", "refusals", "wasteful", "error", "not_reached") if record.get(key)
            }
            verdict = f"[red]broken:[/] {broken}; logs in {self._folder / name}"
        self._console.print(f"{name}: {len(record['injections'])} faults, {record['seconds']:.0f} s, {verdict}")

    def _check(self, path: Path) -> dict[str, bool]:
        """What an interrupted check has caught counts, where that is wanted."""
        known = json.loads(path.read_text()) if self._options.resume and path.exists() else {}
        return check(self._folder / "safeguards", self._console, known=known, keep=partial(report.write, path))

    def _round(self, name: str, size: Size) -> dict[str, Any]:
        return run(size, self._folder / name, self._console).record()

    def _crash_points(self, name: str) -> dict[str, Any]:
        return enumerate_crashes(self._folder / name, self._options.seed, self._console)

    def _report(self) -> dict[str, Any]:
        return report.report(self._records, seed=self._options.seed, safeguards=self._safeguards)

    def _write(self) -> None:
        report.write(report.FOLDER / "report.json", self._report())
        report.write(report.FOLDER / "details.json", report.details(self._records, skipped_kinds()))


def _part_of(total: int, parts: int, index: int) -> int:
    return total * (index + 1) // parts - total * index // parts


if __name__ == "__main__":
    sys.exit(main())
