"""The HorizontalPodAutoscaler: from what the metrics ask for to the size of a Deployment."""

from dataclasses import dataclass, field

import numpy as np

from tools.simulate_autoscaling.behavior import Behavior, Changes, History, bounded, stabilized
from tools.simulate_autoscaling.replicas import Lanes

SYNC_SECONDS = 15.0  # how often Kubernetes looks, unless told otherwise


@dataclass
class Autoscaler:
    """One HPA, in many lanes at once; remembers its recommendations and changes."""

    least: int
    most: int
    behavior: Behavior
    _changes: Changes = field(init=False, repr=False)
    _recommendations: History = field(init=False, repr=False)
    _asked: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        self._changes = Changes.remembered_for(self.behavior)
        windows = self.behavior.up.window_seconds, self.behavior.down.window_seconds
        self._recommendations = History(max(*windows, 1.0))

    def sync(self, now: float, wishes: list[Lanes], current: Lanes) -> Lanes:
        """The new size; ``wishes`` has what each metric asks for, NaN where it is missing.

        The largest wish counts. While one is missing nothing shrinks, and while all are nothing changes.
        """
        if not self._asked:
            self._recommendations.add(now, current.copy())
            self._asked = True
        wanted = np.fmax.reduce(wishes)
        blind = np.isnan(wanted) | (np.any(np.isnan(wishes), axis=0) & (wanted < current))
        outside = (current > self.most) | (current < self.least)
        idle = (current == 0) & (self.least > 0)  # switched off by hand, or asleep by KEDA's will
        wanted = np.where(blind | outside | idle, np.nan, wanted)
        allowed = self._allowed(now, wanted, current)
        size = np.where(np.isnan(wanted), current, allowed)
        size = np.where(outside & ~idle, np.clip(current, self.least, self.most), size)
        self._changes.added.add(now, np.maximum(size - current, 0))
        self._changes.removed.add(now, np.maximum(current - size, 0))
        return size

    def _allowed(self, now: float, wanted: Lanes, current: Lanes) -> Lanes:
        calm = stabilized(wanted, current, self._recommendations, now, self.behavior)
        self._recommendations.add(now, wanted)
        return np.clip(bounded(calm, current, self._changes, now, self.behavior), self.least, self.most)
