"""What each example of values becomes on a cluster, at a glance."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table

from tools.chart.upgrade import Manifest

_GPU = "nvidia.com/"
_PODS = ("StatefulSet", "Deployment", "Job")


def kinds(rendered: Mapping[str, Sequence[Manifest]]) -> Table:
    """How many objects of each kind every example makes."""
    counts = {name: Counter(each["kind"] for each in objects) for name, objects in rendered.items()}
    table = Table("kind", *rendered, title="Objects")
    for kind in sorted(set().union(*counts.values())):
        table.add_row(kind, *(str(counts[name][kind] or "") for name in rendered))
    table.add_row("all", *(str(sum(counts[name].values())) for name in rendered), style="bold")
    return table


def pods(name: str, objects: Sequence[Manifest]) -> Table:
    """What makes pods in one example: how many, what each asks for, and how long it may take to leave."""
    table = Table("kind", "name", "pods", "CPU", "memory", "GPU", "leaves within", title=f"Pods of {name}")
    for each in objects:
        if each["kind"] in _PODS:
            pod = each["spec"]["template"]["spec"]
            requests, gpu = _asked(pod["containers"])
            grace = f"{pod['terminationGracePeriodSeconds']} s" if "terminationGracePeriodSeconds" in pod else ""
            words = (each["kind"], each["metadata"]["name"], _count(each, objects))
            table.add_row(*words, requests["cpu"], requests["memory"], gpu, grace)
    return table


def _asked(containers: Iterable[Manifest]) -> tuple[dict[str, str], str]:
    """Requests of the first container, and the GPUs it gets."""
    resources: dict[str, Any] = next(iter(containers))["resources"]
    gpus = (f"{number} {kind[len(_GPU) :]}" for kind, number in resources["limits"].items() if kind.startswith(_GPU))
    return resources["requests"], " ".join(gpus)


def _count(maker: Manifest, objects: Iterable[Manifest]) -> str:
    """Its number of pods, or the range in which it is scaled."""
    for each in objects:
        spec = each.get("spec", {})
        if spec.get("scaleTargetRef", {}).get("name") == maker["metadata"]["name"]:
            least = spec.get("minReplicas", spec.get("minReplicaCount"))
            return f"{least} to {spec.get('maxReplicas', spec.get('maxReplicaCount'))}"
    return str(maker["spec"].get("replicas", 1))
