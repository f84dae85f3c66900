"""How the chart scales a pool, read from what helm renders: an HPA with its recording rules, or a ScaledObject."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tools.simulate_autoscaling.behavior import Behavior, read_behavior
from tools.stack.triton_server import ROOT

CHART = ROOT / "charts" / "articula"
HELM = ROOT / "build" / "helm" / "helm"
RELEASE, NAMESPACE = "articula", "knees"

Manifest = dict[str, Any]


class ChartUnreadable(Exception):
    """helm refused the values, or there is no such pool; the text says which."""


@dataclass(frozen=True)
class Signal:
    """A query and what one pod may have of it; ``kind`` is the type of the metric's target."""

    name: str
    query: str
    target: float
    kind: str = "AverageValue"


@dataclass(frozen=True)
class Floor:
    """Pods that run between two moments of some days, minutes since midnight; Monday is 0."""

    days: frozenset[int]
    begin: int
    end: int
    pods: int


@dataclass(frozen=True)
class Scaling:
    """Everything that decides on the size of one Deployment. ``least`` 0 sleeps after ``cooldown`` idle seconds."""

    least: int
    most: int
    behavior: Behavior
    signals: tuple[Signal, ...]
    floors: tuple[Floor, ...] = ()
    cooldown: float = 300.0


@dataclass(frozen=True)
class Leaving:
    """How a pod leaves: a pause in which callers hear of it, then a signal, and after ``grace`` the end."""

    pause: float
    grace: float


@dataclass(frozen=True)
class Rendered:
    """All objects of one release."""

    objects: tuple[Manifest, ...]

    def named(self, kind: str, name: str) -> Manifest | None:
        """One object, or None."""
        found = (each for each in self.objects if each["kind"] == kind and each["metadata"]["name"] == name)
        return next(found, None)

    def scaling(self, component: str) -> Scaling:
        """Of ``triton-<pool>`` or ``preprocessing``; raises ``ChartUnreadable`` where nothing scales it."""
        name = f"{RELEASE}-{component}"
        if scaled := self.named("ScaledObject", name):
            return _of_keda(scaled["spec"])
        if autoscaler := self.named("HorizontalPodAutoscaler", name):
            return self._of_hpa(autoscaler["spec"])
        message = f"nothing in the chart scales {name}: set autoscaling.mode"
        raise ChartUnreadable(message)

    def leaving(self, component: str) -> Leaving:
        """Of the first container of a Deployment, which is the server."""
        pod = self._pod(component)
        pause = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        return Leaving(pause, pod["terminationGracePeriodSeconds"])

    def environment(self, component: str) -> dict[str, str]:
        """Of that container."""
        return {each["name"]: each.get("value", "") for each in self._pod(component)["containers"][0].get("env", ())}

    def arguments(self, component: str) -> list[str]:
        """Of that container."""
        arguments: list[str] = self._pod(component)["containers"][0].get("args", [])
        return arguments

    def _pod(self, component: str) -> Manifest:
        deployment = self.named("Deployment", f"{RELEASE}-{component}")
        if deployment is None:
            message = f"the chart has no Deployment {RELEASE}-{component}"
            raise ChartUnreadable(message)
        pod: Manifest = deployment["spec"]["template"]["spec"]
        return pod

    def _of_hpa(self, spec: Manifest) -> Scaling:
        signals = tuple(self._recorded(metric["external"]) for metric in spec["metrics"])
        return Scaling(spec["minReplicas"], spec["maxReplicas"], read_behavior(spec["behavior"]), signals)

    def recorded(self, pool: str) -> dict[str, str]:
        """What Prometheus records of one pool and of no pool: expressions by name, in the order of their evaluation."""
        rules = [rule for rule in self._rules() if rule.get("labels", {}).get("pool", pool) == pool]
        return {rule["record"]: rule["expr"] for rule in rules if "record" in rule}

    def _rules(self) -> list[Manifest]:
        groups = [
            group for each in self.objects if each["kind"] == "PrometheusRule" for group in each["spec"]["groups"]
        ]
        return [rule for group in groups for rule in group["rules"]]

    def _recorded(self, external: Manifest) -> Signal:
        """The rule that records what the adapter serves."""
        name, labels = external["metric"]["name"], external["metric"]["selector"]["matchLabels"]
        for rule in self._rules():
            if rule.get("record") == name and labels.items() <= rule["labels"].items():
                return Signal(name, rule["expr"], float(external["target"]["averageValue"]))
        message = f"no rule records {name} for {labels}"
        raise ChartUnreadable(message)


def render(example: str, changes: Manifest | None = None) -> Rendered:
    """The chart with the values of an example and some more; raises ``ChartUnreadable`` with helm's words."""
    values = CHART / "examples" / f"{example}.yaml"
    command: list[str | Path] = [
        HELM,
        "template",
        RELEASE,
        CHART,
        "--namespace",
        NAMESPACE,
        "--values",
        values,
        "--values",
        "-",
    ]
    answer = subprocess.run(command, input=json.dumps(changes or {}), capture_output=True, text=True, check=False)
    if answer.returncode:
        raise ChartUnreadable(answer.stderr.strip())
    return Rendered(tuple(each for each in yaml.safe_load_all(answer.stdout) if each))


def defaults() -> Manifest:
    """The chart's own values."""
    values: Manifest = yaml.safe_load((CHART / "values.yaml").read_text())
    return values


def _of_keda(spec: Manifest) -> Scaling:
    behavior = read_behavior(spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"])
    asked = [each for each in spec["triggers"] if each["type"] == "prometheus"]
    signals = tuple(
        Signal(each["name"], each["metadata"]["query"], float(each["metadata"]["threshold"]), each["metricType"])
        for each in asked
    )
    floors = tuple(floor(each["metadata"]) for each in spec["triggers"] if each["type"] == "cron")
    return Scaling(
        spec["minReplicaCount"], spec["maxReplicaCount"], behavior, signals, floors, float(spec["cooldownPeriod"])
    )


def floor(trigger: Manifest) -> Floor:
    """From KEDA's cron trigger; raises ``ChartUnreadable`` for a schedule that is more than days and a time."""
    begin, end = (str(trigger[key]).split() for key in ("start", "end"))
    if begin[2:] != end[2:] or begin[2:4] != ["*", "*"]:
        message = f"the simulation reads schedules of some days of the week, not {trigger['start']!r}"
        raise ChartUnreadable(message)
    minutes = [int(words[1]) * 60 + int(words[0]) for words in (begin, end)]
    return Floor(_days(begin[4]), minutes[0], minutes[1], int(trigger["desiredReplicas"]))


def _days(word: str) -> frozenset[int]:
    """Cron's days of the week, where Sunday is 0, as days since Monday."""
    if word == "*":
        return frozenset(range(7))
    days: set[int] = set()
    for part in word.split(","):
        first, _, last = part.partition("-")
        days |= {(day - 1) % 7 for day in range(int(first), int(last or first) + 1)}
    return frozenset(days)
