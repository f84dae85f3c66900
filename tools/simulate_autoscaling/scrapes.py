"""What a simulated Prometheus has: samples every fifteen seconds, and nothing in between."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tools.simulate_autoscaling.promql import Query, Unanswerable, Vector
from tools.simulate_autoscaling.replicas import Lanes

_LONGEST = 3600.0


@dataclass(frozen=True)
class _Moment:
    """Samples of one time, and of each recorded metric the sum of its samples so far."""

    time: float
    values: dict[str, Vector] = field(default_factory=dict)
    sums: dict[str, Lanes] = field(default_factory=dict)


@dataclass
class SimulatedScrapes:
    """Samples by metric name; the totals of counters only grow. ``begin`` is each lane's time since Monday."""

    interval: float
    begin: Lanes
    rules: Mapping[str, Query] = field(default_factory=dict)
    _moments: deque[_Moment] = field(init=False)

    def __post_init__(self) -> None:
        zero = np.zeros_like(self.begin)
        start = _Moment(-self.interval)
        for name in self.rules:
            start.values[name], start.sums[name] = Vector(zero, zero), zero
        self._moments = deque([start], maxlen=int(_LONGEST / self.interval) + 1)

    def add(self, now: float, values: Mapping[str, Vector]) -> None:
        """One scrape of everything; then the recording rules, which see it, and of each other what was before."""
        before = self._moments[-1]
        recorded = {name: before.values[name] for name in self.rules}
        moment = _Moment(now, {**values, **recorded}, dict(before.sums))
        self._moments.append(moment)
        for name, rule in self.rules.items():
            total = np.broadcast_to(rule(self).total, self.begin.shape)
            there = ~np.isnan(total)
            moment.values[name] = Vector(total, there.astype(np.float64))
            moment.sums[name] = before.sums[name] + np.where(there, total, 0)

    def now(self) -> tuple[float, Lanes]:
        """Seconds since the simulation began, and since Monday 00:00 by lane."""
        now = self._moments[-1].time
        return now, self.begin + now

    def latest(self, name: str) -> Vector:
        """The last sample; a metric without series is an empty vector."""
        return self._of(name, self._moments[-1])

    def rate(self, name: str, seconds: float) -> Vector:
        """Increase a second; a counter younger than the window counts from its first sample."""
        total, members = self.latest(name)
        first = self._of(name, self._window(name, seconds)).total
        return Vector((total - first) / seconds, members)

    def sum(self, name: str, seconds: float) -> Vector:
        """Sum of a window's samples, of what is recorded."""
        if name not in self.rules:
            message = f"sum_over_time({name})"
            raise Unanswerable(message)
        _, members = self.latest(name)
        first, last = self._window(name, seconds), self._moments[-1]
        return Vector(last.sums[name] - first.sums[name], members)

    def _window(self, name: str, seconds: float) -> _Moment:
        """The last moment before the window, or the first one that has the metric."""
        moment = self._moments[max(-1 - int(seconds / self.interval), -len(self._moments))]
        return moment if name in moment.values else self._moments[1]

    def _of(self, name: str, moment: _Moment) -> Vector:
        if name not in moment.values:
            raise Unanswerable(name)
        total, members = moment.values[name]
        return Vector(np.where(members > 0, total, np.nan), members)
