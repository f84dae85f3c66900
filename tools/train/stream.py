"""Batches without end, drawn by the process that trains or by workers beside it.

Two CPU cores draw windows in a tenth of the time that a step takes. A GPU takes two thousand windows a second, which
is the work of a dozen cores: ``--workers 12``.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from tools.train import together

Batch = TypeVar("Batch", bound=tuple[Tensor, ...])
# (paths, a generator of this process, one that is alike in all processes) -> a batch; those that average their
# gradients wait for each other after each step, so what decides how long a step takes must be drawn alike
Drawer = Callable[[Sequence[Path], np.random.Generator, np.random.Generator], Batch]
EVERY = 100  # batches after which studies that were made meanwhile are taken in


@dataclass(frozen=True)
class Clock:
    """The time that a run may take; workers read the same clock as their run."""

    minutes: float
    begin: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> float:
        """The share of the time that is over; 1 or more ends the run."""
        return (time.monotonic() - self.begin) / 60 / self.minutes


class _Stream(IterableDataset[Batch]):
    def __init__(self, draw: Drawer[Batch], source: Callable[[], Sequence[Path]], seed: int) -> None:
        self._draw, self._source, self._seed = draw, source, seed

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        number = worker.id if worker else 0
        own = np.random.default_rng([self._seed, together.rank(), number])
        alike = np.random.default_rng([self._seed, number])
        while True:
            paths = self._source()
            for _ in range(EVERY):
                yield self._draw(paths, own, alike)


def stream(
    draw: Drawer[Batch], source: Callable[[], Sequence[Path]], *, seed: int, workers: int, device: str
) -> Iterator[Batch]:
    """Batches of ``draw``, a named tuple of tensors, on the device; without ``workers`` drawn here, when asked for."""
    drawn = DataLoader(
        _Stream(draw, source, seed), batch_size=None, num_workers=workers, pin_memory=device.startswith("cuda")
    )
    for batch in drawn:
        yield type(batch)(*(each.to(device, non_blocking=True) for each in batch))
