"""Many cases on a few processes; one that dies, hangs or grows is a finding, and the next takes its place."""

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.context import SpawnProcess

from tests.fuzz.target import Verdict, serve

MAX_SECONDS = 20.0
MAX_BYTES = 3 << 29  # 1.5 GiB
_SPAWN = multiprocessing.get_context("spawn")
_START_SECONDS = 300.0  # a process imports and writes the corpus first


@dataclass
class Tally:
    """What came of the cases so far."""

    executions: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    escapes: dict[int, Verdict] = field(default_factory=dict)
    most_seconds: float = 0.0
    most_bytes: int = 0

    def add(self, number: int, verdict: Verdict) -> None:
        """Count one case."""
        self.executions += 1
        self.most_seconds = max(self.most_seconds, verdict.seconds)
        self.most_bytes = max(self.most_bytes, verdict.peak_bytes)
        beyond = verdict.seconds > MAX_SECONDS or verdict.peak_bytes > MAX_BYTES
        if verdict.escaped or beyond:
            self.escapes[number] = verdict
        else:
            self.outcomes[verdict.outcome] += 1


def run(numbers: range, *, processes: int, on_case: Callable[[], None], go_on: Callable[[], bool]) -> Tally:
    """Judge the cases of these numbers while ``go_on`` says so."""
    tally = Tally()
    with ThreadPoolExecutor(processes) as threads:
        shares = [numbers[first::processes] for first in range(processes)]
        for _ in threads.map(lambda share: _drive(share, tally, on_case, go_on), shares):
            pass
    return tally


def _drive(share: range, tally: Tally, on_case: Callable[[], None], go_on: Callable[[], bool]) -> None:
    for number, verdict in _verdicts(share, go_on):
        tally.add(number, verdict)
        on_case()


def _verdicts(share: range, go_on: Callable[[], bool]) -> Iterator[tuple[int, Verdict]]:
    process: SpawnProcess | None = None
    for number in share:
        if not go_on():
            break
        fresh = process is None
        if process is None:
            ours, theirs = _SPAWN.Pipe()
            process = _SPAWN.Process(target=serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
        ours.send(number)
        try:
            answered = ours.poll(MAX_SECONDS * 3 + (_START_SECONDS if fresh else 0.0))
            verdict = ours.recv() if answered else _lost("no end")
        except (EOFError, OSError):
            answered, verdict = False, _lost("the process died")
        yield number, verdict
        if not answered or verdict.peak_bytes > MAX_BYTES:
            process.kill()
            process = None
    if process is not None:
        process.kill()


def _lost(outcome: str) -> Verdict:
    return Verdict("", outcome, escaped=True, seconds=0.0, peak_bytes=0)
