"""What each step saw, kept as it goes, so that a check that breaks still leaves a report."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console

from tools.cluster_check.cluster import CheckFailed

console = Console()


@dataclass
class Step:
    """One step; ``seen`` are its measurements."""

    name: str
    passed: bool = False
    seconds: float = 0.0
    problem: str = ""
    seen: dict[str, object] = field(default_factory=dict)


@dataclass
class Report:
    """All steps in order, written after each."""

    folder: Path
    steps: list[Step] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every step passed."""
        return bool(self.steps) and all(step.passed for step in self.steps)

    @contextmanager
    def step(self, name: str) -> Iterator[dict[str, object]]:
        """Run the body as a step; a ``CheckFailed`` is written down and goes on up."""
        step = Step(name)
        self.steps.append(step)
        started = time.monotonic()
        try:
            yield step.seen
            step.passed = True
        except CheckFailed as error:
            step.problem = str(error)
            raise
        finally:
            step.seconds = round(time.monotonic() - started, 1)
            self.write()
            console.print(f"{'ok    ' if step.passed else 'FAILED'} {step.name} ({step.seconds} s) {step.problem}")

    def write(self) -> None:
        """``report.json`` for machines, ``report.md`` for people."""
        self.folder.mkdir(parents=True, exist_ok=True)
        steps = [asdict(step) for step in self.steps]
        (self.folder / "report.json").write_text(json.dumps({"passed": self.passed, "steps": steps}, indent=2) + "\n")
        table = ["| step | outcome | seconds | seen |", "| --- | --- | --- | --- |", *map(_row, self.steps)]
        (self.folder / "report.md").write_text("# Cluster check\n\n" + "\n".join(table) + "\n")


def _row(step: Step) -> str:
    return f"| {step.name} | {'ok' if step.passed else 'failed'} | {step.seconds} | {_said(step)} |"


def _said(step: Step) -> str:
    seen = ", ".join(f"{key} {value}" for key, value in step.seen.items())
    return step.problem.replace("|", "/").replace("\n", " ") or seen
