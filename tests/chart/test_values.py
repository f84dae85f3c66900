"""The schema of the values is the documentation: complete, strict, and every value does something."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import yaml

from tests.chart.rendering import CHART, helm, needs_helm
from tools.chart.reference import readme, values

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
# everything switched on, so that no value is idle
EVERYTHING = {
    "preprocessing": {"exposure": {"enabled": True, "sourceRanges": ["192.0.2.0/24"]}},
    "orthanc": {
        "postgresql": {"enabled": True, "host": "db", "existingSecret": "db", "peers": [{"podSelector": {}}]},
        "dicomService": {"type": "LoadBalancer"},
    },
    "triton": {"cpuPool": {"enabled": True}},
}
OTHER = {
    "cidr": "198.51.100.0/24",
    "quantity": "7Gi",
    "decimal": "0.25",
    "name": "other",
    "peers": [{"ipBlock": {"cidr": "198.51.100.7/32"}}],
    "strings": {"other": "other"},
    "tolerations": [{"key": "other", "operator": "Exists"}],
    "resources": {"requests": {"cpu": "3", "memory": "3Gi"}, "limits": {"memory": "9Gi"}},
    "image": {"repository": "other/image", "tag": "7.7.7", "digest": "sha256:" + "7" * 64},
    "grace": 3000,
    "strategy": "replace",
}
S3 = {"uri": "s3://x", "image": {"repository": "x", "tag": "1.0"}, "peers": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}
# what only counts with other values, and what it needs
NEEDS: dict[str, dict[str, Any]] = {
    "tls.mode": {"tls": {"secrets": {"orthanc": "x", "preprocessing": "x", "triton": "x"}}},
    "tls.issuer.kind": {"tls": {"issuer": {"name": "x"}}},
    "tls.secrets": {"tls": {"mode": "secrets", "secrets": {"orthanc": "x", "preprocessing": "x", "triton": "x"}}},
    "autoscaling.mode": {"triton": {"gpuPools": []}, "autoscaling": {"schedules": []}},
    "monitoring.enabled": {"triton": {"gpuPools": []}, "autoscaling": {"mode": "none", "schedules": []}},
    "models.source": {"models": {"s3": S3}},
    "models.image": {"models": {"source": "image", "image": {"repository": "x"}}},
    "models.path": {"models": {"source": "image", "image": {"repository": "x"}}},
    "models.s3": {"models": {"source": "s3", "s3": S3}},
    "models.size": {"models": {"source": "image", "image": {"repository": "x"}}},
    "preprocessing.spoolSize": {"preprocessing": {"resources": {"limits": {"ephemeral-storage": "40Gi"}}}},
}
SPECIAL: dict[str, Any] = {
    "tls.mode": "secrets",
    "fullnameOverride": "other",
    "imagePullSecrets": [{"name": "other"}],
    "existingSecret": "other",
    "priorityClasses": [{"name": "other", "value": 7, "description": "other"}],
    "orthanc.scanners": ["198.51.100.0/24"],
    "orthanc.aet": "OTHER",
    "preprocessing.exposure.sourceRanges": ["198.51.100.0/24"],
    "preprocessing.inferSeconds": 50,
    "triton.cpuPool.enabled": False,
    "triton.cpuPool.strategy": "replace",
    "triton.gpuPools": [],
    "tls.extraDnsNames": ["articula.example"],
    "models.s3.uri": "s3://other",
    "models.path": "/other",
    "preprocessing.spoolSize": "30Gi",
    "networkPolicies.dns.ports": [5353],
    "models.s3.endpoint": "http://store:9000",
    "autoscaling.prometheus": "http://other:9090",
    "autoscaling.inFlightTarget": "7",
    "autoscaling.schedules": [],
    "monitoring.runbooks": "other.md",
}


def _definition(path: str) -> dict[str, Any]:
    node = SCHEMA
    for word in path.split("."):
        node = node["properties"][word]
    return node


def _other(path: str, default: Any) -> Any:
    """Another value that the schema allows."""
    node = _definition(path)
    reference = node.get("$ref", "").rpartition("/")[2]
    if path in SPECIAL:
        return SPECIAL[path]
    if reference in OTHER:
        return OTHER[reference]
    if "enum" in node:
        return next(each for each in reversed(node["enum"]) if each != default)
    if isinstance(default, bool):
        return not default
    return default + 1 if isinstance(default, int | float) else "other"


def _nested(path: str, value: Any) -> dict[str, Any]:
    for word in reversed(path.split(".")):
        value = {word: value}
    return value


def _merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    both = dict(first)
    for key, value in second.items():
        both[key] = _merged(both[key], value) if isinstance(value, dict) and isinstance(both.get(key), dict) else value
    return both


def _render(changes: dict[str, Any]) -> str:
    example = str(CHART / "examples" / "network.yaml")
    answer = helm("template", "articula", str(CHART), "--values", example, values=json.dumps(changes))
    if answer.returncode:
        raise ValueError(answer.stderr)
    return answer.stdout


@needs_helm
def test_every_value_changes_what_is_rendered():
    """A value that does nothing is a promise that is not kept."""
    network = yaml.safe_load((CHART / "examples" / "network.yaml").read_text())

    bases: dict[str, str] = {}

    def fault(path: str) -> str:
        base = _merged(EVERYTHING, next((NEEDS[key] for key in NEEDS if path.startswith(key)), {}))
        now: Any = _merged(_merged(DEFAULTS, network), base)
        for word in path.split("."):
            now = now[word]
        key = json.dumps(base)
        try:
            if key not in bases:
                bases[key] = _render(base)
            same = _render(_merged(base, _nested(path, _other(path, now)))) == bases[key]
        except ValueError as error:
            return f"{path}: {error}"
        return f"{path} does nothing" if same else ""

    paths = [each.name for each in values(SCHEMA, DEFAULTS) if each.name != "global"]
    with ThreadPoolExecutor(4) as pool:
        faults = [found for found in pool.map(fault, paths) if found]
    assert not faults, "\n".join(faults)


def test_schema_and_defaults_have_the_same_values():
    """Each is described, each has a default, and objects take no others."""

    def check(node: dict[str, Any], defaults: dict[str, Any], path: str) -> None:
        assert node["additionalProperties"] is False, path
        assert node["properties"].keys() - {"global"} == defaults.keys(), path
        for name, each in node["properties"].items():
            if "properties" in each:
                check(each, defaults[name], f"{path}.{name}")

    check(SCHEMA, DEFAULTS, "")
    assert all(each.description for each in values(SCHEMA, DEFAULTS))


def test_the_readme_has_the_tables_of_the_schema():
    """Made by ``python -m tools.chart``."""
    text = (CHART / "README.md").read_text()
    assert readme(text) == text
