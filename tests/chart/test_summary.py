"""The summary of ``make chart`` says what is rendered."""

from io import StringIO

from rich.console import Console

from tests.chart.rendering import needs_helm, of_kind, rendered
from tools.chart import summary

pytestmark = needs_helm


def said(table) -> list[list[str]]:
    """The cells of each line."""
    console = Console(file=StringIO(), width=200)
    console.print(table)
    lines = console.file.getvalue().splitlines()
    return [[cell.strip() for cell in line.strip("│┃").split("│")] for line in lines if line.startswith("│")]


def test_every_kind_is_counted():
    """Each object once, and their sum."""
    objects = rendered("network")
    rows = dict(said(summary.kinds({"network": objects})))
    assert rows["NetworkPolicy"] == str(len(of_kind(objects, "NetworkPolicy")))
    assert rows["all"] == str(len(objects))


def test_pods_are_listed_with_their_range_their_gpu_and_their_time_to_leave():
    """As the autoscaler has it."""
    rows = {row[1]: row for row in said(summary.pods("network", rendered("network")))}
    assert rows["articula-triton-t4"] == ["Deployment", "articula-triton-t4", "0 to 4", "2", "8Gi", "1 gpu", "253 s"]
    assert rows["articula-triton-h100-mig"][5] == "1 mig-1g.10gb"
    assert rows["articula-orthanc"][2] == "1"
