"""What a run found, as JSON for programs and as Markdown for people."""

import dataclasses
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.build_engines.device import Device
from tools.gpu_check.drain import Drain
from tools.gpu_check.load import Load
from tools.gpu_check.parity import Parity


@dataclass(frozen=True)
class Engine:
    """One engine of the set that was built, or found in the cache."""

    model: str
    precision: str
    size_bytes: int


@dataclass(frozen=True)
class Report:
    """One run. ``memory_bytes`` is what the GPU held under load, as Triton says it; None where it says nothing."""

    profile: str
    device: Device | None
    runtime: str
    engines: Sequence[Engine]
    parity: Sequence[Parity]
    load: Sequence[Load]
    memory_bytes: int | None
    drain: Drain

    @property
    def problems(self) -> list[str]:
        """What must not be; empty for a run that passed."""
        changed = [f"{each.model}.{each.output} differs from ONNX Runtime" for each in self.parity if not each.passed]
        failed = [f"{each.model}: {each.failures} requests failed under load" for each in self.load if each.failures]
        return [*changed, *failed, *self.drain.problems]


def write(report: Report, folder: Path) -> None:
    """``report.json`` and ``report.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = {**dataclasses.asdict(report), "problems": report.problems, "passed": not report.problems}
    (folder / "report.json").write_text(json.dumps(_finite(whole), indent=2) + "\n")
    (folder / "report.md").write_text("\n".join(_markdown(report)) + "\n")


def _finite(value: Any) -> Any:
    """JSON knows no number that is none."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _markdown(report: Report) -> Iterable[str]:
    gpu = report.device
    where = f"{gpu.name}, compute capability {gpu.compute_capability}, CUDA {gpu.cuda}" if gpu else "no GPU"
    yield from ("# GPU check", "", f"Profile `{report.profile}` on {where}; {report.runtime}.", "")
    yield "**Passed.**" if not report.problems else "**Failed:** " + "; ".join(report.problems) + "."
    if report.engines:
        yield from ("", "## Engines", "", *_table("model precision MiB", map(_engine, report.engines)))
    yield from (
        "",
        "## Answers against ONNX Runtime",
        "",
        *_table("model output change most", map(_parity, report.parity)),
    )
    yield from ("", "## Load", "", *_load(report))
    yield from ("", "## Drain under load", "", *_drain(report.drain))


def _engine(each: Engine) -> tuple[object, ...]:
    return each.model, each.precision, f"{each.size_bytes / 2**20:.1f}"


def _parity(each: Parity) -> tuple[object, ...]:
    return each.model, each.output, f"{each.change:.3g}", each.most


def _load(report: Report) -> Iterable[str]:
    head = "model concurrency batch p50_ms p95_ms p99_ms volumes/s merged failures client_CPUs meter"
    yield from _table(head, map(_row, report.load))
    if report.memory_bytes is not None:
        yield from ("", f"GPU memory under load: {report.memory_bytes / 2**30:.2f} GiB.")


def _row(each: Load) -> tuple[object, ...]:
    numbers = (each.p50_ms, each.p95_ms, each.p99_ms, each.volumes_per_second, each.merged)
    said = ("" if number is None else f"{number:.1f}" for number in numbers)
    cpus = "" if each.client_cpus is None else f"{each.client_cpus:.2f}"
    return each.model, each.concurrency, each.batch, *said, each.failures, cpus, each.meter


def _drain(each: Drain) -> Iterable[str]:
    yield f"{each.studies} studies over three servers, one killed and one told to leave: {len(each.failures)} failed."
    ended = "was still there" if each.left_with is None else f"ended with status {each.left_with}"
    yield f"The one told to leave {ended} after {each.left_after_seconds:.1f} s."
    yield from (f"- {failure}" for failure in each.failures[:10])


def _table(head: str, rows: Iterable[tuple[object, ...]]) -> Iterable[str]:
    names = head.split()
    yield f"| {' | '.join(names)} |"
    yield "|---" * len(names) + "|"
    yield from (f"| {' | '.join(str(each) for each in row)} |" for row in rows)
