"""``python -m tools.sizing``: studies a day -> processors, pods, GPUs, hours, and cost where prices are given.

The numbers come from ``measured.json`` beside this file; ``--measure 8`` measures them anew on this machine, and
``--gpu-seconds`` adds what a study takes on yours. Without it the GPU columns stay open: nobody guessed.
"""

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

from tools.sizing.demand import Measured, Need, need

FILE = Path(__file__).with_name("measured.json")
VOLUMES = (20, 100, 500, 2000, 10_000, 40_000)
_OPEN = "open"


def main() -> int:
    """Print the table as Markdown."""
    options = _options()
    if options.measure:
        from tools.sizing.measure import measure  # noqa: PLC0415 - it needs the whole stack's packages

        FILE.write_text(json.dumps(asdict(measure(options.measure)), indent=2) + "\n")
    measured = read()
    if options.gpu_seconds:
        measured = replace(measured, gpu=options.gpu_seconds)
    print(table([need(measured, volume) for volume in VOLUMES], options.core_price, options.gpu_price))
    return 0


def read() -> Measured:
    """The numbers measured last."""
    return Measured(**json.loads(FILE.read_text()))


def table(needs: list[Need], core_price: float = 0.0, gpu_price: float = 0.0) -> str:
    """One row a volume; prices are for one core and one GPU an hour, in whatever currency."""
    head = ["studies a day", "busiest hour, a minute", "Orthanc cores", "preprocessing pods", "Triton pods on CPU"]
    head += ["GPUs instead", "core-hours a month"]
    rows = [[*_row(each), *_cost(each, core_price, gpu_price)] for each in needs]
    if core_price:
        head += ["cost a month on CPUs", "cost a month of the GPUs"]
    lines = [head, ["---:"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(each: Need) -> list[str]:
    gpus = _OPEN if each.gpus is None else str(each.gpus)
    counts = [str(each.orthanc_cores), str(each.preprocessing_pods), str(each.triton_cpu_pods), gpus]
    return [f"{each.studies_a_day:,}", f"{each.peak_a_minute:.2f}", *counts, f"{each.core_hours_a_month:,.0f}"]


def _cost(each: Need, core_price: float, gpu_price: float) -> list[str]:
    if not core_price:
        return []
    hours = each.gpu_hours_a_month
    return [f"{each.core_hours_a_month * core_price:,.0f}", _OPEN if hours is None else f"{hours * gpu_price:,.0f}"]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.sizing", description=__doc__)
    parser.add_argument("--measure", type=int, metavar="STUDIES", help="measure on this machine first")
    parser.add_argument("--gpu-seconds", type=float, help="GPU-seconds a study, as measured on your GPU")
    parser.add_argument("--core-price", type=float, default=0.0, help="price of one core an hour")
    parser.add_argument("--gpu-price", type=float, default=0.0, help="price of one GPU an hour")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
