"""``python -m tools.simulate_autoscaling --trace`` simulates a year of hospitals; ``--live`` scales real Tritons.

Both read how to scale from the chart, as helm renders it, and decide as Kubernetes' autoscaler does. ``--trace`` writes
``report.json``, ``report.md`` and ``trace.png``, ``--live`` writes ``live.json`` and ``live.png``; all to the folder of
``--out``.
"""

import argparse
import sys
from pathlib import Path

from tools.simulate_autoscaling.chart import ChartUnreadable


def main() -> int:
    """Entry point; 1 where a goal is missed."""
    options = _options()
    try:
        return _trace(options) if options.trace else _live(options)
    except ChartUnreadable as error:
        print(error, file=sys.stderr)
        return 2


def _trace(options: argparse.Namespace) -> int:
    from tools.simulate_autoscaling.trace import simulate  # noqa: PLC0415 - the two ways need other packages

    simulate(options.days, options.out, options.jobs)
    print((options.out / "report.md").read_text())
    print(f"{options.out}/report.json, report.md, trace.png")
    return 0


def _live(options: argparse.Namespace) -> int:
    from tools.simulate_autoscaling.live.run import run  # noqa: PLC0415 - the two ways need other packages

    return run(options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.simulate_autoscaling", description=__doc__)
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--trace", action="store_true", help="simulate")
    way.add_argument("--live", action="store_true", help="scale real servers, for some minutes")
    parser.add_argument("--days", type=int, default=364, help="days to simulate; a year unless given")
    parser.add_argument("--jobs", type=int, default=1, help="processes that simulate; each takes one core")
    parser.add_argument("--out", type=Path, default=Path("build/autoscaling"), help="folder for the results")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
