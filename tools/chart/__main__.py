"""``python -m tools.chart``: renew the tables in the chart's README."""

from tools.chart.reference import CHART, readme

if __name__ == "__main__":
    path = CHART / "README.md"
    path.write_text(readme(path.read_text()))
