"""Pods of a Deployment by time: some start, some serve, some leave; and the studies they work on. Times in seconds."""

from dataclasses import dataclass, field

import numpy as np

from tools.simulate_autoscaling.replicas import Lanes
from tools.simulate_autoscaling.workload import MOST_IN_A_BATCH, gain


@dataclass
class Pods:
    """A Deployment in many lanes; a pod serves ``start_seconds`` after it was asked for, and costs while it leaves.

    The pods that leave are those that do not serve yet, the youngest first, as a ReplicaSet chooses.
    """

    ready: Lanes
    start_seconds: float
    leave_seconds: float = 0.0
    paid: Lanes = field(init=False)  # pod-seconds so far
    _starting: list[tuple[float, Lanes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.paid = np.zeros_like(self.ready)

    @property
    def asked(self) -> Lanes:
        """Pods that the Deployment has, ready or not."""
        return sum((count for _, count in self._starting), self.ready)

    def step(self, now: float, seconds: float) -> None:
        """So many seconds pass until ``now``."""
        while self._starting and self._starting[0][0] <= now:
            self.ready = self.ready + self._starting.pop(0)[1]
        self.paid += seconds * (self.asked if self._starting else self.ready)

    def resize(self, now: float, size: Lanes) -> None:
        """Start or end pods."""
        change = size - self.asked
        if not change.any():
            return
        surplus = np.maximum(-change, 0)
        for index in reversed(range(len(self._starting))):
            when, count = self._starting[index]
            dropped = np.minimum(count, surplus)
            self._starting[index] = when, count - dropped
            surplus = surplus - dropped
        self.ready = self.ready - surplus
        self.paid += surplus * self.leave_seconds
        if (change > 0).any():
            self._starting.append((now + self.start_seconds, np.maximum(change, 0)))


@dataclass
class Work:
    """Studies in the system, first come first served, and what Triton's counters say of them.

    A pod executes up to ``MOST_IN_A_BATCH`` requests at once; half of what it has waits for the execution before. All
    counters move when a study is answered. ``unit`` is the seconds that a pod needs for one study, alone.
    """

    unit: float
    present: Lanes
    answered: Lanes = field(init=False)
    compute: Lanes = field(init=False)  # seconds, a batch's time counted once a request, as Triton does
    executions: Lanes = field(init=False)
    queued: Lanes = field(init=False)  # seconds waited inside Triton
    _progress: Lanes = field(init=False)
    _waited: Lanes = field(init=False)

    def __post_init__(self) -> None:
        for name in ("answered", "compute", "executions", "queued", "_progress", "_waited"):
            setattr(self, name, np.zeros_like(self.present))

    def step(self, seconds: float, new: Lanes, pods: Lanes, workers: Lanes) -> Lanes:
        """So many seconds pass; ``workers`` bounds the studies inside Triton. Returns how many were answered."""
        self.present = self.present + new
        inside = np.minimum(self.present, workers)
        serving = np.minimum(inside, pods)
        batch = np.minimum(np.maximum(inside / np.maximum(2 * serving, 1), 1), MOST_IN_A_BATCH)
        speed = gain(batch)
        self._progress += serving * speed * (seconds / self.unit)
        done = np.minimum(np.floor(self._progress + 1e-9), inside)
        self._progress -= done
        self.present = self.present - done
        self._progress *= self.present > 0
        self._waited += seconds * np.maximum(inside - serving * batch, 0)
        self._count(done, batch, speed)
        return done

    def _count(self, done: Lanes, batch: Lanes, speed: Lanes) -> None:
        self.answered = self.answered + done
        self.compute = self.compute + done * batch * self.unit / speed
        self.executions = self.executions + done / batch
        finished = done > 0
        self.queued = self.queued + self._waited * finished
        self._waited *= ~finished
