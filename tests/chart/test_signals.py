"""Scaling, rules, alerts and dashboards: one set of queries, and every name in them exists."""

import re
from pathlib import Path

import promql_parser
import pytest

from services.common.errors import ArticulaError, RefusalCode, ServiceBusy, ServiceUnavailable, StreamInvalid
from tests.chart.rendering import EXAMPLES, ROOT, dashboards, expressions, named, needs_helm, of_kind, rendered

pytestmark = needs_helm
# from a scrape of Triton 2.51
SCRAPED = {
    "nv_inference_request_success",
    "nv_inference_request_failure",
    "nv_inference_exec_count",
    "nv_inference_pending_request_count",
    "nv_inference_compute_input_duration_us",
    "nv_inference_compute_infer_duration_us",
    "nv_inference_compute_output_duration_us",
}
_NAME = re.compile(r"\b((?:articula|nv)_[a-z_]+)\b(?=\{| \*|\[)")
_SUFFIX = re.compile(r"_(bucket|count|sum)$")


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_query_is_promql(example):
    """A query that Prometheus can't read is an alert that never fires."""
    for expression in expressions(rendered(example)):
        promql_parser.parse(expression)


def test_metrics_exist():
    """Triton's were scraped; ours are in the services, or recorded."""
    names = {name for each in expressions(rendered("network")) for name in _NAME.findall(each)}
    source = "".join(path.read_text() for path in (ROOT / "services").rglob("*.py"))
    rules = named(rendered("network"), "PrometheusRule", "articula")["spec"]["groups"][0]["rules"]
    ours = {rule["record"] for rule in rules}
    assert len(names) > 10
    for name in names:
        if name.startswith("nv_"):
            assert name in SCRAPED, name
        else:
            assert name in ours or _SUFFIX.sub("", name) in ours or f'"{_SUFFIX.sub("", name)}' in source, name


def test_alerts_on_failures_match_codes_that_the_service_counts():
    """A label value that nobody sets would be an alert that never fires."""
    rules = named(rendered("hospital"), "PrometheusRule", "articula")["spec"]["groups"][1]["rules"]
    alert = next(each for each in rules if each["alert"] == "ArticulaErrorBudgetBurnsFast")
    pattern = re.compile(re.search(r'code=~"([^"]+)"', alert["expr"])[1])
    refusals = {code.value for code in RefusalCode if pattern.fullmatch(code.value)}
    assert refusals == {"PROCESSING_ERROR", "PROCESSING_CRASHED", "PROCESSING_TIMEOUT", "MODEL_OUTPUT_INVALID"}
    assert all(pattern.fullmatch(error.code) for error in (ArticulaError, StreamInvalid, ServiceUnavailable))
    assert not pattern.fullmatch(ServiceBusy.code)
    assert f'code!="{ServiceBusy.code}"' in alert["expr"]


def test_an_hpa_asks_for_recorded_signals():
    """The adapter serves what the rules record, found by the labels they set."""
    objects = rendered("hospital")
    rules = named(objects, "PrometheusRule", "articula")["spec"]["groups"][0]["rules"]
    recorded = {(each["record"], each["labels"]["release"], each["labels"].get("pool")) for each in rules}
    autoscalers = of_kind(objects, "HorizontalPodAutoscaler")
    assert {each["metadata"]["name"] for each in autoscalers} == {"articula-preprocessing", "articula-triton-cpu"}
    for each in autoscalers:
        for metric in each["spec"]["metrics"]:
            labels = metric["external"]["metric"]["selector"]["matchLabels"]
            assert (metric["external"]["metric"]["name"], labels["release"], labels["pool"]) in recorded
            assert metric["external"]["target"]["type"] == "AverageValue"


def test_keda_asks_the_same_queries_and_never_takes_silence_for_zero():
    """An empty answer of Prometheus once scaled others to their minimum at the peak."""
    objects = rendered("network")
    rules = named(objects, "PrometheusRule", "articula")["spec"]["groups"][0]["rules"]
    recorded = {each["expr"] for each in rules}
    for each in of_kind(objects, "ScaledObject"):
        assert each["spec"]["fallback"]["behavior"] == "currentReplicasIfHigher"
        for trigger in each["spec"]["triggers"]:
            if trigger["type"] == "prometheus":
                assert trigger["metadata"]["query"] in recorded
                assert trigger["metadata"]["ignoreNullValues"] == "false"
                assert trigger["metricType"] == "AverageValue", "the fallback works for no other"


@pytest.mark.parametrize("example", ["hospital", "network"])
def test_scaled_deployments_leave_their_replicas_to_the_autoscaler(example):
    """A number in the Deployment would be set back by every upgrade."""
    for each in of_kind(rendered(example), "Deployment"):
        assert "replicas" not in each["spec"]


def test_growth_is_quick_and_shrinking_slow():
    """All at once or two pods in half a minute; one a minute after ten quiet ones."""
    behavior = named(rendered("hospital"), "HorizontalPodAutoscaler", "articula-triton-cpu")["spec"]["behavior"]
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert {(each["type"], each["value"]) for each in behavior["scaleUp"]["policies"]} == {
        ("Percent", 100),
        ("Pods", 2),
    }
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 600
    assert behavior["scaleDown"]["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 60}]


def test_each_alert_has_its_section_in_the_runbooks_and_each_section_its_alert():
    """Whoever is woken finds what it means and what to do."""
    text = (ROOT / "docs/runbooks.md").read_text()
    sections = {
        match[1]: match[2] for match in re.finditer(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    }
    alerts = {}
    for example in EXAMPLES:
        for rules in of_kind(rendered(example), "PrometheusRule"):
            alerts |= {
                each["alert"]: each for group in rules["spec"]["groups"] for each in group["rules"] if "alert" in each
            }
    assert alerts.keys() == sections.keys()
    for name, alert in alerts.items():
        path, _, anchor = alert["annotations"]["runbook_url"].partition("#")
        assert Path(ROOT / path).exists()
        assert anchor == name.lower()
        assert alert["labels"]["severity"] in {"page", "ticket"}
        for word in ("**Means.**", "**Look.**", "**Do.**"):
            assert word in sections[name]


def test_dashboards_are_for_grafana():
    """Three, with panels that don't lie upon each other and name a unit."""
    boards = dashboards(rendered("network"))
    assert len({board["uid"] for board in boards}) == 3
    for board in boards:
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
        assert len(set(places)) == len(places)
        for panel in board["panels"]:
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["datasource"] == {"type": "prometheus", "uid": "${source}"}
