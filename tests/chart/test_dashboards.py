"""The dashboards are what Grafana loads: unique numbers, places on its grid, legends of labels that are there."""

import re

import pytest

from tests.chart.rendering import EXAMPLES, dashboards, needs_helm, rendered

pytestmark = needs_helm
BOARDS = [name for name in EXAMPLES if name != "laptop"]  # nobody looks at a laptop's
COLUMNS, LONGEST_UID = 24, 40  # of Grafana


@pytest.mark.parametrize("example", BOARDS)
def test_dashboards_are_ones_that_grafana_loads(example):
    """A uid that is too long is refused, two panels of one number hide each other."""
    boards = dashboards(rendered(example))
    assert boards
    for board in boards:
        assert len(board["uid"]) <= LONGEST_UID
        assert board["title"]
        assert {each["name"] for each in board["templating"]["list"]} == {"source"}
        numbers = [panel["id"] for panel in board["panels"]]
        assert len(set(numbers)) == len(numbers)
        for panel in board["panels"]:
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= COLUMNS
            assert place["h"] > 0


@pytest.mark.parametrize("example", BOARDS)
def test_a_legend_names_labels_that_the_query_keeps(example):
    """``{{model}}`` over a sum that dropped the model would be an empty legend."""
    for board in dashboards(rendered(example)):
        for panel in board["panels"]:
            for target in panel["targets"]:
                kept = {
                    label for each in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in re.split(r", *", each)
                }
                assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= kept, panel["title"]
