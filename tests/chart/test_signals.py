"""Scaling, rules, alerts and dashboards: one set of queries, and every name in them exists."""

import json
import re
from pathlib import Path

import numpy as np
import promql_parser
import pytest

from services.common.errors import ArticulaError, RefusalCode, ServiceBusy, ServiceUnavailable, StreamInvalid
from tests.chart.rendering import EXAMPLES, ROOT, dashboards, expressions, named, needs_helm, of_kind, refusal, rendered
from tools.simulate_autoscaling.promql import compiled
from tools.simulate_autoscaling.scrapes import SimulatedScrapes

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


MORNINGS = {"timezone": "UTC", "start": "30 6 * * 1-5", "end": "0 19 * * 1-5", "replicas": 3}


def test_an_hpa_has_floors_by_the_clock_of_prometheus():
    """A schedule is a metric of its own, so the autoscaler takes the highest; its rule holds in its hours alone."""
    objects = rendered("hospital", json.dumps({"autoscaling": {"schedules": [MORNINGS]}}))
    metric = named(objects, "HorizontalPodAutoscaler", "articula-triton-cpu")["spec"]["metrics"][-1]["external"]
    assert metric["metric"]["name"] == "articula_triton_floor"
    assert metric["target"] == {"type": "AverageValue", "averageValue": "1"}
    rules = named(objects, "PrometheusRule", "articula")["spec"]["groups"][0]["rules"]
    labels = metric["metric"]["selector"]["matchLabels"].items()
    (rule,) = [each for each in rules if each["record"] == "articula_triton_floor" and labels <= each["labels"].items()]
    query = compiled(rule["expr"])
    monday, saturday = 0, 5 * 86400
    for moment, pods in (
        (monday + 389 * 60, 0),
        (monday + 390 * 60, 3),
        (monday + 1140 * 60, 0),
        (saturday + 43200, 0),
    ):
        scrapes = SimulatedScrapes(15, np.array([float(moment)]))
        scrapes.add(0.0, {})
        assert query(scrapes).total == pods, moment


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"timezone": "Europe/Berlin"}, "Prometheus keeps the time, in UTC"),
        ({"start": "30 6 1 * 1-5"}, "a time on some days of the week"),
        ({"end": "0 19 * * 1-6"}, "a time on some days of the week"),
    ],
)
def test_a_schedule_that_an_hpa_can_not_keep_is_refused(change, words):
    """Better no chart than a floor at the wrong hour."""
    assert words in refusal("hospital", autoscaling={"schedules": [{**MORNINGS, **change}]})


def test_a_service_of_many_hospitals_can_not_sleep():
    """Preprocessing is ready with Triton alone, so without a forwarder of its own nobody would ever be counted."""
    pool = {"name": "a10", "product": "A10", "computeCapability": "8.6", "profile": "onnx", "min": 0, "max": 4}
    triton = {"cpuPool": {"enabled": False}, "gpuPools": [{**pool, "resource": "nvidia.com/gpu"}]}
    assert "would never wake one" in refusal("shared", triton=triton, autoscaling={"warmSpares": 0})
    assert "backlog_studies" in str(of_kind(rendered("network"), "ScaledObject"))


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
