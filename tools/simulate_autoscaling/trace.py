"""``--trace``: a year of hospitals at three scales, our policy beside others, with the models as they are and heavier.

The pool is the one of the chart's example for many hospitals. Heavier models are for those who bring their own: five
networks that vote, as nnU-Net's folds do, cost five times as much.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from rich.progress import Progress, TimeRemainingColumn

from tools.simulate_autoscaling import chart, figures, table
from tools.simulate_autoscaling.arrivals import DAY, Counts, arrivals
from tools.simulate_autoscaling.bound import lower_bound_hours
from tools.simulate_autoscaling.chart import Rendered, Scaling
from tools.simulate_autoscaling.outcome import Outcome, outcome
from tools.simulate_autoscaling.policies import rivals
from tools.simulate_autoscaling.workload import Workload, measured
from tools.simulate_autoscaling.year import COUNTED, Callers, Trace, Year, by_day

EXAMPLE, POOL = "shared", "a10"
ONE_POOL = {"triton": {"cpuPool": {"enabled": False}}}
SCALES = (1, 20, 200)
OURS = "articula"
HEAVIER = 5.0
_SEED = 1


@dataclass(frozen=True)
class Case:
    """One policy at one scale."""

    policy: str
    hospitals: int
    workload: Workload
    scaling: Scaling

    @property
    def name(self) -> str:
        """What the progress bar says."""
        return f"{self.policy}, {self.hospitals} hospital{'s' if self.hospitals > 1 else ''}, {self.workload.study:.1f} s"


Results = dict[str, dict[str, Outcome]]


def simulate(days: int, folder: Path, scales: Iterable[int] = SCALES) -> dict[str, Results]:
    """Run everything, write ``report.json``, ``report.md`` and ``trace.png``; outcomes by workload, policy and scale."""
    rendered = chart.render(EXAMPLE, ONE_POOL)
    workloads = {"reference": _workload(1.0), "heavy": _workload(HEAVIER)}
    all_arrivals = {hospitals: arrivals(hospitals, days + 1, _SEED) for hospitals in scales}
    results: dict[str, Results] = {}
    shown: dict[str, tuple[Trace, int]] = {}
    with Progress(*Progress.get_default_columns()[:-1], TimeRemainingColumn()) as progress:
        for label, workload in workloads.items():
            results[label] = {}
            for hospitals, counts in all_arrivals.items():
                for case in _cases(rendered.scaling(f"triton-{POOL}"), counts, hospitals, workload):
                    trace, result = run(rendered, case, counts, progress)
                    results[label].setdefault(case.policy, {})[str(hospitals)] = result
                    shown[case.policy] = trace, hospitals
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(_report(results, workloads, days), indent=2) + "\n")
    (folder / "report.md").write_text(table.markdown(results, workloads))
    figures.draw(results, {policy: trace for policy, (trace, _) in shown.items()}, folder / "trace.png")
    return results


def run(rendered: Rendered, case: Case, counts: Counts, progress: Progress) -> tuple[Trace, Outcome]:
    """One case, with the rules and the preprocessing service of the chart."""
    lanes = by_day(counts)
    task = progress.add_task(case.name, total=len(lanes) * 3)
    environment = rendered.environment("preprocessing")
    workers, places = (int(environment[f"ARTICULA_{name}"]) for name in ("WORKERS", "MAX_STUDIES"))
    callers = Callers(rendered.scaling("preprocessing"), workers, places)
    leaving, rules = rendered.leaving(f"triton-{POOL}"), rendered.recorded(POOL)
    year = Year(case.workload, case.scaling, callers, leaving, rules)
    trace = year.run(lanes, lambda advance: progress.advance(task, advance))
    # a rival that always has more pods is compared with what our minimum would cost, like all others
    least = np.full(len(lanes), float(rendered.scaling(f"triton-{POOL}").least))
    bound = lower_bound_hours(lanes, least, case.workload, COUNTED)
    progress.remove_task(task)
    result = outcome(trace, case.workload, bound)
    progress.console.print(f"{case.name}: p99 {result.p99_s:.0f} s, {result.gpu_hours:,.0f} pod-hours")
    return trace, result


def _workload(heavier: float) -> Workload:
    orthanc = chart.defaults()["orthanc"]
    return measured(orthanc["quietSeconds"], orthanc["sweepSeconds"], heavier)


def _cases(ours: Scaling, counts: Counts, hospitals: int, workload: Workload) -> list[Case]:
    hourly = counts[: len(counts) // 3600 * 3600].reshape(-1, 3600).sum(axis=1)
    busiest = float(np.percentile(hourly, 99.9)) / 3600
    policies = {OURS: ours, **rivals(ours, busiest, workload.study)}
    return [Case(policy, hospitals, workload, scaling) for policy, scaling in policies.items()]


def _report(results: dict[str, Results], workloads: dict[str, Workload], days: int) -> dict[str, object]:
    """``results`` and ``heavy`` have, by policy and scale, what ``Outcome`` has."""
    rounded = {
        label: {
            policy: {scale: {key: round(value, 4) for key, value in asdict(each).items()} for scale, each in by.items()}
            for policy, by in policies.items()
        }
        for label, policies in results.items()
    }
    settings = {label: asdict(workload) for label, workload in workloads.items()}
    return {"days": days, "seed": _SEED, "workloads": settings, "results": rounded["reference"], "heavy": rounded["heavy"]}
