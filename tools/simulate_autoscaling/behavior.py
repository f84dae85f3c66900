"""How fast a Deployment may grow and shrink: ``spec.behavior`` of a HorizontalPodAutoscaler.

Two rules act one after the other, as in Kubernetes' ``horizontal.go``: the stabilisation windows choose among the
recent recommendations, then the policies bound the change of the last seconds.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tools.simulate_autoscaling.replicas import Lanes


@dataclass(frozen=True)
class Policy:
    """At most ``value`` pods, or per cent of the pods, in ``period_seconds``."""

    kind: str
    value: float
    period_seconds: float


@dataclass(frozen=True)
class Rules:
    """One direction; ``select`` is Max (the policy that allows most), Min or Disabled."""

    window_seconds: float
    policies: tuple[Policy, ...]
    select: str = "Max"


@dataclass(frozen=True)
class Behavior:
    """Both directions; what Kubernetes takes where nothing is said."""

    up: Rules = Rules(0, (Policy("Pods", 4, 15), Policy("Percent", 100, 15)))
    down: Rules = Rules(300, (Policy("Percent", 100, 15),))


def read_behavior(spec: dict[str, Any]) -> Behavior:
    """From the object's own words; what is left out has Kubernetes' default."""

    def rules(given: dict[str, Any] | None, default: Rules) -> Rules:
        if given is None:
            return default
        policies = tuple(
            Policy(each["type"], each["value"], each["periodSeconds"]) for each in given.get("policies", ())
        )
        window = given.get("stabilizationWindowSeconds", default.window_seconds)
        return Rules(window, policies or default.policies, given.get("selectPolicy", "Max"))

    return Behavior(rules(spec.get("scaleUp"), Behavior.up), rules(spec.get("scaleDown"), Behavior.down))


@dataclass
class History:
    """Values by time, as far back as ``keep_seconds``."""

    keep_seconds: float
    _entries: deque[tuple[float, Lanes]] = field(default_factory=deque)

    def add(self, now: float, values: Lanes) -> None:
        """Remember; what is too old is forgotten."""
        while self._entries and self._entries[0][0] <= now - self.keep_seconds:
            self._entries.popleft()
        self._entries.append((now, values))

    def since(self, start: float) -> list[Lanes]:
        """Everything younger than ``start``."""
        return [values for time, values in self._entries if time > start]


def stabilized(desired: Lanes, current: Lanes, recommendations: History, now: float, behavior: Behavior) -> Lanes:
    """The current count, moved as little as all recommendations of both windows demand; NaN is no recommendation."""
    lowest = np.fmin.reduce([desired, *recommendations.since(now - behavior.up.window_seconds)])
    highest = np.fmax.reduce([desired, *recommendations.since(now - behavior.down.window_seconds)])
    return np.minimum(np.maximum(current, lowest), highest)


@dataclass
class Changes:
    """What was added and removed lately."""

    added: History
    removed: History

    @classmethod
    def remembered_for(cls, behavior: Behavior) -> "Changes":
        """As long as the longest policy of either direction looks back."""
        longest = max(policy.period_seconds for rules in (behavior.up, behavior.down) for policy in rules.policies)
        return cls(History(longest), History(longest))

    def net(self, since: float) -> Lanes:
        """Pods added less pods removed."""
        removed = sum(self.removed.since(since), np.zeros(1))
        return sum(self.added.since(since), -removed)


def bounded(desired: Lanes, current: Lanes, changes: Changes, now: float, behavior: Behavior) -> Lanes:
    """What the policies allow of a change, counted from where their period began."""
    ceiling = np.maximum(_limit(behavior.up, current, changes, now), current)
    floor = np.minimum(_limit(behavior.down, current, changes, now, sign=-1), current)
    return np.clip(desired, floor, ceiling)


def _limit(rules: Rules, current: Lanes, changes: Changes, now: float, sign: int = 1) -> Lanes:
    if rules.select == "Disabled":
        return current
    limits = []
    for policy in rules.policies:
        start = current - changes.net(now - policy.period_seconds)
        if policy.kind == "Pods":
            limits.append(start + sign * policy.value)
        else:
            share = start * (1 + sign * policy.value / 100)
            limits.append(np.ceil(share - 1e-9) if sign > 0 else np.trunc(share))
    furthest: Callable[..., Lanes] = np.max if (rules.select == "Max") == (sign > 0) else np.min
    return furthest(limits, axis=0)
