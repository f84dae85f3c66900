"""Values that a release took are taken by the next, and its objects can be upgraded in place.

``releases/<version>`` keeps each release's example values, and ``fixed.json`` what Kubernetes lets nobody change in the
objects they made: written with ``python -m tools.chart --release``, before a release and never after it.
"""

import json
from pathlib import Path

import pytest
import yaml

from tests.chart.rendering import CHART, NAMESPACE, needs_helm
from tools.chart.upgrade import fixed_parts, rendered

RELEASES = Path(__file__).parent / "releases"
KEPT = sorted(RELEASES.glob("*/*.yaml"))
pytestmark = needs_helm


@pytest.mark.parametrize("values", KEPT, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_values_of_a_release_still_render_and_change_nothing_that_is_fixed(values):
    """No object that cannot be changed is; none that holds data is gone."""
    then = json.loads((values.parent / "fixed.json").read_text())[values.stem]
    now = fixed_parts(rendered(CHART, values, namespace=NAMESPACE))
    assert {name: now.get(name) for name in then} == then


def test_every_example_of_this_version_is_kept():
    """So that the next version is held against it."""
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    for path in (CHART / "examples").glob("*.yaml"):
        assert (RELEASES / version / path.name).exists()


def test_what_is_fixed_is_what_kubernetes_refuses_to_change():
    """Selectors, the volume claims and Service of a StatefulSet, headless or not; a replica count is not."""
    objects = [
        {
            "kind": "StatefulSet",
            "metadata": {"name": "a"},
            "spec": {"replicas": 1, "selector": {"x": 1}, "serviceName": "s", "volumeClaimTemplates": [1]},
        },
        {"kind": "Service", "metadata": {"name": "b"}, "spec": {"clusterIP": "None", "ports": []}},
        {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {}},
    ]
    assert fixed_parts(objects) == {
        "StatefulSet/a": {"selector": {"x": 1}, "serviceName": "s", "volumeClaimTemplates": [1]},
        "Service/b": {"clusterIP": "None"},
    }
