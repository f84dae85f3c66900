"""Queries are evaluated as Prometheus would, on what the simulation knows."""

import numpy as np
import pytest

from tests.chart.rendering import needs_helm
from tools.simulate_autoscaling.chart import render
from tools.simulate_autoscaling.promql import Unanswerable, Vector, compiled
from tools.simulate_autoscaling.scrapes import SimulatedScrapes

LANES = 2


def scraped(samples: list[dict[str, tuple[float, float]]], rules: dict[str, str] | None = None, begin: float = 0.0):
    """Scrapes every 15 s; each metric is (total, series)."""
    scrapes = SimulatedScrapes(
        15, np.full(LANES, begin), {name: compiled(text) for name, text in (rules or {}).items()}
    )
    for index, moment in enumerate(samples):
        values = {name: Vector(np.full(LANES, total), np.full(LANES, n)) for name, (total, n) in moment.items()}
        scrapes.add(15.0 * index, values)
    return scrapes


def answer(query: str, scrapes) -> float:
    """The total of the first lane; all lanes are alike."""
    total = np.broadcast_to(compiled(query)(scrapes).total, (LANES,))
    assert np.array_equal(total, np.full(LANES, total[0]), equal_nan=True)
    return float(total[0])


COUNTER = [{"c": (5.0 * index, 2.0), "g": (6.0, 2.0), "up": (2.0, 2.0), "none": (0.0, 0.0)} for index in range(9)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sum(rate(c[1m]))", 20 / 60),
        ("sum(increase(c[1m]))", 20),
        ("sum(rate(c[30s])) * 3", 1),
        ("sum(g) / 2 + 1 - 3", 1),
        ("avg(g)", 3),
        ("count(up == 1)", 2),
        ("count(up == 0) or vector(7)", 7),
        ("sum(none) or sum(g)", 6),
        ("sum(none)", np.nan),
        ("sum(g > 2)", 6),
        ("sum(g > 3)", np.nan),
        ("sum(g) and on () sum(c)", 6),
        ("sum(g) and on () sum(none)", np.nan),
        ("clamp_min(sum(g) - 9, 0)", 0),
        ("clamp_max(sum(g), 4)", 4),
        ("sum(rate(none[1m]) / (rate(c[1m]) > 100) or g * 0)", 0),
    ],
)
def test_words(query, expected):
    """Every word that a query of the chart or of a rival uses."""
    assert answer(query, scraped(COUNTER)) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("query", "expected"),
    [("hour()", 6), ("minute()", 31), ("day_of_week()", 2), ("vector(3) and on () hour() >= 7", np.nan)],
)
def test_the_clock(query, expected):
    """A Tuesday at 06:31; Sunday is 0, as in PromQL."""
    begin = 86400 + 6 * 3600 + 31 * 60
    assert answer(query, scraped([{}], begin=begin)) == pytest.approx(expected, nan_ok=True)


def test_rules_are_recorded_in_order_and_add_up():
    """A rule sees what the rule before it has just recorded, and of itself what was before."""
    scrapes = scraped(COUNTER[:5], {"r": "sum(g)", "twice": "sum(r) * 2", "sums": "sum(sum_over_time(r[30s]))"})
    assert answer("sum(twice)", scrapes) == 12
    assert answer("sum(sums)", scrapes) == 12  # two samples


@pytest.mark.parametrize("query", ["sum(unknown)", "sum(sum_over_time(g[1m]))", "topk(1, g)", "stddev(g)", "g ^ 2"])
def test_what_the_simulation_does_not_know_is_refused(query):
    """A wrong number would be worse than none."""
    with pytest.raises(Unanswerable):
        answer(query, scraped(COUNTER))


@needs_helm
@pytest.mark.parametrize(("example", "pool"), [("shared", "a10"), ("hospital", "cpu"), ("network", "t4")])
def test_the_signals_of_the_chart(example, pool):
    """Three pods that are busy half of the time, twelve studies of four seconds in the house."""
    rendered = render(example)
    share = {"shared": 40 / 52, "hospital": 1, "network": 4 / 18}[example]
    concurrency = {"shared": 1, "hospital": 2, "network": 1}[example]
    moments = []
    for index in range(241):
        answered = index * 15 * 0.375  # a second: three pods half busy, four seconds each
        compute = answered * 4 * 2 * concurrency * 1e6  # in batches of two, counted once a request
        moments.append(
            {
                "nv_inference_compute_infer_duration_us": (compute, 3),
                "nv_inference_compute_input_duration_us": (0, 3),
                "nv_inference_compute_output_duration_us": (0, 3),
                "nv_inference_exec_count": (answered / 2, 3),
                "nv_inference_request_success": (answered, 3),
                "nv_inference_pending_request_count": (5, 3),
                "articula_studies_total": (answered, 2),
                "articula_studies_in_work": (12, 2),
                "articula_backlog_studies": (12, 1),
            }
        )
    scrapes = scraped(moments, rendered.recorded(pool))
    assert answer("sum(articula_triton_busy)", scrapes) == pytest.approx(1.5)
    assert answer("sum(articula_study_work_seconds)", scrapes) == pytest.approx(4, rel=0.09)  # the first five minutes
    assert answer("sum(articula_triton_backlog)", scrapes) == pytest.approx(12 * 4 * share, rel=0.09)
    quiet = [{**each, "articula_studies_total": (0, 2)} for each in moments[:30]]
    assert answer("sum(articula_study_work_seconds)", scraped(quiet, rendered.recorded(pool))) == 3
