"""The chart as helm renders it, and questions about the objects."""

import functools
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "articula"
HELM = ROOT / "build" / "helm" / "helm"
EXAMPLES = tuple(sorted(path.stem for path in (CHART / "examples").glob("*.yaml")))
NAMESPACE = "knees"
needs_helm = pytest.mark.skipif(not HELM.exists(), reason="tools/install/helm.sh found no npm or another processor")

Manifest = dict[str, Any]


def helm(*arguments: str, values: str = "") -> subprocess.CompletedProcess[str]:
    """Run helm with one more file of values on standard input."""
    return subprocess.run(
        [HELM, *arguments, "--values", "-"], input=values or "{}", capture_output=True, text=True, check=False
    )


@functools.cache
def rendered(example: str, changes: str = "{}") -> tuple[Manifest, ...]:
    """All objects of an example; ``changes`` are more values, as JSON."""
    path = str(CHART / "examples" / f"{example}.yaml")
    answer = helm("template", "articula", str(CHART), "--namespace", NAMESPACE, "--values", path, values=changes)
    assert answer.returncode == 0, answer.stderr
    return tuple(each for each in yaml.load_all(answer.stdout, yaml.CSafeLoader) if each)


def refusal(example: str, **changes: object) -> str:
    """What helm says about values that it must refuse."""
    path = str(CHART / "examples" / f"{example}.yaml")
    answer = helm("template", "articula", str(CHART), "--values", path, values=json.dumps(changes))
    assert answer.returncode != 0, "helm took them"
    return answer.stderr


def of_kind(objects: tuple[Manifest, ...], *kinds: str) -> list[Manifest]:
    """The objects of some kinds."""
    return [each for each in objects if each["kind"] in kinds]


def named(objects: tuple[Manifest, ...], kind: str, name: str) -> Manifest:
    """One object; raises ``StopIteration`` where there is none."""
    return next(each for each in of_kind(objects, kind) if each["metadata"]["name"] == name)


def pods(objects: tuple[Manifest, ...]) -> list[tuple[str, Manifest]]:
    """Name and template of everything that makes pods."""
    makers = of_kind(objects, "Deployment", "StatefulSet", "Job", "DaemonSet", "CronJob", "Pod")
    return [(each["metadata"]["name"], each["spec"]["template"]) for each in makers]


def containers(template: Manifest) -> list[Manifest]:
    """All containers of a pod, those of its start among them."""
    return [*template["spec"].get("initContainers", ()), *template["spec"]["containers"]]


def environment(container: Manifest) -> dict[str, str]:
    """Names and plain values; empty for what a Secret gives."""
    return {each["name"]: each.get("value", "") for each in container.get("env", ())}


def expressions(objects: tuple[Manifest, ...]) -> Iterator[str]:
    """All PromQL in rules, autoscalers and dashboards."""
    for rules in of_kind(objects, "PrometheusRule"):
        yield from (rule["expr"] for group in rules["spec"]["groups"] for rule in group["rules"])
    for scaled in of_kind(objects, "ScaledObject"):
        yield from (each["metadata"]["query"] for each in scaled["spec"]["triggers"] if each["type"] == "prometheus")
    for board in dashboards(objects):
        yield from (target["expr"] for panel in board["panels"] for target in panel["targets"])


def dashboards(objects: tuple[Manifest, ...]) -> list[Manifest]:
    """The Grafana dashboards in ConfigMaps."""
    maps = [each for each in of_kind(objects, "ConfigMap") if "-dashboard-" in each["metadata"]["name"]]
    return [json.loads(text) for each in maps for text in each["data"].values()]
