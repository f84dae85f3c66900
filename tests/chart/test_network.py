"""Who reaches which port: exactly the arrows of the architecture."""

import json

import pytest

from tests.chart.rendering import EXAMPLES, Manifest, needs_helm, of_kind, pods, rendered

pytestmark = needs_helm
COMPONENT = "app.kubernetes.io/component"


def _component(labels: dict[str, str]) -> str:
    return labels[COMPONENT]


def _peer(peer: Manifest) -> str:
    if "ipBlock" in peer:
        return peer["ipBlock"]["cidr"]
    if "namespaceSelector" in peer:
        return peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    return _component(peer["podSelector"]["matchLabels"])


def _arrows(rules: list[Manifest], direction: str) -> set[tuple[str, int]]:
    found = set()
    for rule in rules:
        assert rule.get(direction), "no peers would mean everybody"
        assert rule.get("ports"), "no ports would mean all"
        found |= {(_peer(peer), port["port"]) for peer in rule[direction] for port in rule["ports"]}
    return found


def _policies(example: str, **changes: object) -> dict[str, tuple[set[tuple[str, int]], set[tuple[str, int]]]]:
    policies = of_kind(rendered(example, json.dumps(changes)), "NetworkPolicy")
    for each in policies:
        assert each["spec"]["policyTypes"] == ["Ingress", "Egress"]
    return {
        _component(each["spec"]["podSelector"]["matchLabels"]): (
            _arrows(each["spec"]["ingress"] or [], "from"),
            _arrows(each["spec"]["egress"], "to"),
        )
        for each in policies
    }


DNS = {("kube-system", 53)}


def test_a_hospital_has_the_arrows_of_the_architecture_and_no_other():
    """Scanner and ingress to Orthanc, Orthanc to preprocessing, preprocessing to Triton, Prometheus to metrics."""
    assert _policies("hospital") == {
        "orthanc": (
            {("ingress", 8042), ("10.20.0.0/16", 4242), ("monitoring", 9101)},
            DNS | {("preprocessing", 50051), ("databases", 5432)},
        ),
        "preprocessing": ({("orthanc", 50051), ("monitoring", 9100)}, DNS | {("triton", 8001)}),
        "triton": ({("preprocessing", 8001), ("monitoring", 8002)}, set()),
    }


def test_a_shared_service_lets_the_hospitals_in_and_fetches_models():
    """Nobody else; and nothing but the object store is reached from Triton."""
    assert _policies("shared") == {
        "preprocessing": (
            {("203.0.113.0/24", 50051), ("198.51.100.0/24", 50051), ("monitoring", 9100)},
            DNS | {("triton", 8001)},
        ),
        "triton": ({("preprocessing", 8001), ("monitoring", 8002)}, DNS | {("192.0.2.0/24", 443)}),
    }


@pytest.mark.parametrize(
    ("endpoint", "port"), [("", 443), ("http://store.internal", 80), ("http://store.internal:9000", 9000)]
)
def test_the_object_store_is_reached_at_its_own_port(endpoint, port):
    """A policy for 443 would cut off a store that answers elsewhere."""
    assert ("192.0.2.0/24", port) in _policies("shared", models={"s3": {"endpoint": endpoint}})["triton"][1]


def test_dns_is_where_the_cluster_has_it():
    """A cache on each node, or pods of another namespace and port."""
    dns = {"peers": [{"ipBlock": {"cidr": "169.254.20.10/32"}}], "ports": [53, 5353]}
    outgoing = _policies("hospital", networkPolicies={"dns": dns})["preprocessing"][1]
    assert outgoing == {("169.254.20.10/32", 53), ("169.254.20.10/32", 5353), ("triton", 8001)}


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_pod_is_under_a_policy_and_every_open_port_is_one_that_it_listens_on(example):
    """A port nobody declared can't be open, and a pod without a policy would be open to all."""
    policies = _policies(example)
    listening: dict[str, set[int]] = {}
    for _, template in pods(rendered(example)):
        component = _component(template["metadata"]["labels"])
        ports = {each["containerPort"] for each in template["spec"]["containers"][0].get("ports", ())}
        listening.setdefault(component, set()).update(ports)
    assert listening.keys() == policies.keys()
    for component, (incoming, _) in policies.items():
        assert {port for _, port in incoming} <= listening[component]
