"""What came of it all: the report of fixed keys, the details beside it, and the table."""

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

FOLDER = Path("build/faults")
Record = Mapping[str, Any]
_ORPHANED, _BYTES = "orphaned", "byte_differences"


def report(records: Sequence[Record], *, seed: int, safeguards: Mapping[str, bool] | None) -> dict[str, Any]:
    """The keys that others read, and no others; ``safeguards_caught`` is None where nobody broke them."""
    recoveries = [each["recovery_seconds"] for each in _injections(records)]
    leaked = sum(len(each["leaks"]) for each in records) + len(_broken(records, _ORPHANED))
    return {
        "studies": sum(each["studies"] for each in records),
        "faults": len(recoveries),
        "kinds": dict(sorted(Counter(each["kind"] for each in _injections(records)).items())),
        "lost": len(_broken(records, "lost")),
        "doubled": len(_broken(records, "doubled")),
        "leaked": leaked,
        "byte_differences": len(_broken(records, _BYTES)),
        "recovery_p50_s": quantile(recoveries, 0.5),
        "recovery_p95_s": quantile(recoveries, 0.95),
        "seed": seed,
        "safeguards_caught": None if safeguards is None else _caught(safeguards),
    }


def details(records: Sequence[Record], skipped: Mapping[str, str]) -> dict[str, Any]:
    """Everything else that was counted, and what could not be struck with on this machine."""
    names = sorted({name for each in records for name in each["broken"]})
    return {
        "broken": {name: len(_broken(records, name)) for name in names},
        "leaks": [leak for each in records for leak in each["leaks"]],
        "archive_refusals": [reason for each in records for reason in each["refusals"]],
        "analyses_in_vain": sum(each["in_vain"] for each in records),
        "studies_compared_byte_by_byte": sum(each["compared"] for each in records),
        "longest_settling_s": max((each["settle_seconds"] for each in records), default=0.0),
        "minutes": round(sum(each["seconds"] for each in records) / 60, 1),
        "rounds": [{"seed": each["seed"], "clean": each["clean"]} for each in records],
        "skipped": dict(skipped),
    }


def table(records: Sequence[Record], title: str) -> Table:
    """A row for each kind of fault; a study that is lost counts for every fault that touched it."""
    columns = ("fault", "injections", "studies touched", "recovery p50 s", "p95 s", "lost", "doubled")
    shown = Table(*columns, title=title)
    for name in sorted({each["kind"] for each in _injections(records)}):
        shown.add_row(name, *_row(records, name))
    shown.add_section()
    shown.add_row("all", *_row(records, None))
    return shown


def _row(records: Sequence[Record], kind: str | None) -> list[str]:
    injections = [each for each in _injections(records) if kind in {None, each["kind"]}]
    touched = _touched(records, kind)
    seconds = [each["recovery_seconds"] for each in injections]
    lost, doubled = (len(touched & _broken(records, name)) for name in ("lost", "doubled"))
    times = (f"{quantile(seconds, 0.5):.1f}", f"{quantile(seconds, 0.95):.1f}")
    return [str(len(injections)), str(len(touched)), *times, str(lost), str(doubled)]


def _touched(records: Sequence[Record], kind: str | None) -> set[tuple[int, int]]:
    return {
        (record["seed"], number)
        for record in records
        for each in record["injections"]
        if kind in {None, each["kind"]}
        for number in each["touched"]
    }


def _broken(records: Sequence[Record], name: str) -> set[tuple[int, int]]:
    return {(each["seed"], number) for each in records for number in each["broken"].get(name, ())}


def _injections(records: Sequence[Record]) -> Iterable[Record]:
    return (each for record in records for each in record["injections"])


def _caught(safeguards: Mapping[str, bool]) -> dict[str, Any]:
    """How many of the broken safeguards were seen, unless the oracle also sees what is not there."""
    broken = {name: seen for name, seen in safeguards.items() if not name.startswith("(")}
    caught = sorted(name for name, seen in broken.items() if seen)
    missed = sorted({name for name, seen in safeguards.items() if not seen})
    return {"count": f"{len(caught)}/{len(broken)}", "caught": caught, "missed": missed}


def quantile(values: Sequence[float], share: float) -> float:
    """A quantile, 0 of nothing."""
    if len(values) < 2:
        return round(values[0], 2) if values else 0.0
    return round(statistics.quantiles(values, n=100, method="inclusive")[int(share * 100) - 1], 2)


def write(path: Path, content: object) -> None:
    """JSON, replaced in one step: whoever is killed while writing leaves the old file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(content, indent=1) + "\n")
    fresh.rename(path)
