"""What must not change between two releases: the parts of objects that Kubernetes refuses to change in place."""

import json
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

HELM = Path(__file__).resolve().parents[2] / "build" / "helm" / "helm"
# immutable once made; a Service that becomes headless, or stops being it, has to be made anew as well
FIXED = {
    "Deployment": ("selector",),
    "StatefulSet": ("selector", "serviceName", "volumeClaimTemplates", "podManagementPolicy"),
    "Service": ("clusterIP",),
    "PersistentVolumeClaim": ("accessModes", "storageClassName", "volumeName"),
}
Manifest = Mapping[str, Any]


def rendered(chart: Path, values: Path, *, namespace: str) -> list[Manifest]:
    """The objects that helm makes of values; raises ``CalledProcessError`` where it refuses them."""
    command = [str(HELM), "template", "articula", str(chart), "--namespace", namespace, "--values", str(values)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [each for each in yaml.load_all(text, yaml.CSafeLoader) if each]


def fixed_parts(objects: Iterable[Manifest]) -> dict[str, dict[str, Any]]:
    """By kind and name, the parts that no upgrade may change."""
    return {
        f"{each['kind']}/{each['metadata']['name']}": {
            part: each["spec"][part] for part in FIXED[each["kind"]] if part in each["spec"]
        }
        for each in objects
        if each["kind"] in FIXED
    }


def keep(chart: Path, folder: Path, *, namespace: str) -> None:
    """Write a release's example values and the fixed parts of their objects into its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    fixed = {}
    for values in sorted((chart / "examples").glob("*.yaml")):
        shutil.copyfile(values, folder / values.name)
        fixed[values.stem] = fixed_parts(rendered(chart, values, namespace=namespace))
    (folder / "fixed.json").write_text(json.dumps(fixed, indent=1, sort_keys=True) + "\n")
