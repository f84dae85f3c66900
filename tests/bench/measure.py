"""Contenders side by side: each round runs all of them, every round begins with another one."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.bench.contenders import Contender


@dataclass(frozen=True)
class Outcome:
    """Medians over the rounds, and the largest difference of the result from the first contender's, in grey levels."""

    name: str
    cpu_seconds: float
    wall_seconds: float
    difference: int | None


def measure(entrants: Sequence[Contender], rounds: int, *, on_run: Callable[[], None]) -> list[Outcome]:
    """Run everything once unmeasured, then ``rounds`` times in rotated order; CPU seconds are of all threads."""
    cpu: dict[str, list[float]] = {each.name: [] for each in entrants}
    wall: dict[str, list[float]] = {each.name: [] for each in entrants}
    results = {}
    for each in entrants:
        results[each.name] = each.run()
        on_run()
    for first in range(rounds):
        for place in range(len(entrants)):
            each = entrants[(first + place) % len(entrants)]
            began = time.perf_counter(), time.process_time()
            each.run()
            wall[each.name].append(time.perf_counter() - began[0])
            cpu[each.name].append(time.process_time() - began[1])
            on_run()
    reference = results[entrants[0].name]
    return [
        Outcome(
            each.name,
            statistics.median(cpu[each.name]),
            statistics.median(wall[each.name]),
            _difference(results[each.name], reference),
        )
        for each in entrants
    ]


def _difference(
    volumes: Sequence[NDArray[np.uint8]] | None, reference: Sequence[NDArray[np.uint8]] | None
) -> int | None:
    if volumes is None or reference is None:
        return None
    pairs = zip(volumes, reference, strict=True)
    return max(int(np.abs(mine.astype(int) - other).max()) for mine, other in pairs)
