"""``python -m tools.chart``: renew the tables in the chart's README, and say what the example values become.

``--release`` keeps the examples and what may never change in their objects, for the upgrade tests of later releases.
"""

import argparse
import sys

import yaml
from rich.console import Console

from tools.chart import summary
from tools.chart.reference import CHART, readme
from tools.chart.upgrade import HELM, keep, rendered

RELEASES = CHART.parents[1] / "tests" / "chart" / "releases"
NAMESPACE = "knees"


def main() -> None:
    """Write the README; then whatever helm is needed for, where it is installed."""
    parser = argparse.ArgumentParser(prog="python -m tools.chart", description=__doc__)
    parser.add_argument("--release", action="store_true", help="keep the examples of the chart's version")
    options = parser.parse_args()
    path = CHART / "README.md"
    path.write_text(readme(path.read_text()))
    if not HELM.exists():
        return
    if options.release:
        version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
        keep(CHART, RELEASES / version, namespace=NAMESPACE)
    examples = {
        each.stem: rendered(CHART, each, namespace=NAMESPACE) for each in sorted((CHART / "examples").glob("*.yaml"))
    }
    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(summary.kinds(examples))
    for name, objects in examples.items():
        console.print(summary.pods(name, objects))


if __name__ == "__main__":
    main()
