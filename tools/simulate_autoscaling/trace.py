"""``--trace``: a year of hospitals at three scales, our policy beside others, with the models as they are and heavier.

The pool is the one of the chart's example for many hospitals. Heavier models are for those who bring their own: five
networks that vote, as nnU-Net's folds do, cost five times as much.
"""

import json
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.progress import MofNCompleteColumn, Progress

from tools.simulate_autoscaling import chart, figures, table
from tools.simulate_autoscaling.arrivals import Counts, arrivals
from tools.simulate_autoscaling.bound import lower_bound_hours
from tools.simulate_autoscaling.figures import Tuesday
from tools.simulate_autoscaling.outcome import Outcome, outcome
from tools.simulate_autoscaling.policies import rivals
from tools.simulate_autoscaling.workload import Workload, measured
from tools.simulate_autoscaling.year import Callers, Year, by_day

EXAMPLE, POOL = "shared", "a10"
ONE_POOL = {"triton": {"cpuPool": {"enabled": False}}}
SCALES = (1, 20, 200)
OURS = "articula"
POLICIES = (OURS, "nvidia", "supersonic", "cpu", "static")
WORKLOADS = {"reference": 1.0, "heavy": 5.0}  # times the cost of our own models
_SEED = 1


@dataclass(frozen=True)
class Case:
    """One policy at one scale, with models of one weight."""

    label: str
    policy: str
    hospitals: int
    days: int


Results = dict[str, dict[str, dict[str, Outcome]]]  # by workload, policy and scale


def simulate(days: int, folder: Path, jobs: int, scales: Sequence[int] = SCALES) -> Results:
    """Run everything in so many processes; write ``report.json``, ``report.md`` and ``trace.png``."""
    cases = [Case(label, policy, n, days) for n in reversed(scales) for label in WORKLOADS for policy in POLICIES]
    results: Results = {label: {policy: {} for policy in POLICIES} for label in WORKLOADS}
    tuesdays: dict[str, Tuesday] = {}
    # spawned, not forked: a fork beside threads of gRPC may never come to itself
    spawn = multiprocessing.get_context("spawn")
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with ProcessPoolExecutor(jobs, mp_context=spawn) as pool, Progress(*columns) as progress:
        task = progress.add_task("policies and scales", total=len(cases))
        for case, (result, tuesday) in zip(cases, pool.map(run, cases), strict=True):
            results[case.label][case.policy][str(case.hospitals)] = result
            progress.advance(task)
            if (case.label, case.hospitals) == ("heavy", max(scales)):
                tuesdays[case.policy] = tuesday
    for each in (policies[policy] for policies in results.values() for policy in POLICIES):
        each.update({scale: each.pop(scale) for scale in map(str, scales)})
    folder.mkdir(parents=True, exist_ok=True)
    workloads = {label: workload(label) for label in WORKLOADS}
    (folder / "report.json").write_text(json.dumps(_report(results, workloads, days), indent=2) + "\n")
    (folder / "report.md").write_text(table.markdown(results, workloads))
    figures.draw(results["heavy"], tuesdays, folder / "trace.png")
    return results


def run(case: Case) -> tuple[Outcome, Tuesday]:
    """One case, with the rules and the preprocessing service of the chart."""
    load = workload(case.label)
    rendered = chart.render(EXAMPLE, {**ONE_POOL, "autoscaling": {"studyComputeSeconds": f"{load.study:.1f}"}})
    counts = arrivals(case.hospitals, case.days + 1, _SEED)
    lanes, ours = by_day(counts), rendered.scaling(f"triton-{POOL}")
    scaling = {OURS: ours, **rivals(ours, _busiest(counts), load.study)}[case.policy]
    environment = rendered.environment("preprocessing")
    workers, places = (int(environment[f"ARTICULA_{name}"]) for name in ("WORKERS", "MAX_STUDIES"))
    callers = Callers(rendered.scaling("preprocessing"), workers, places)
    leaving = rendered.leaving(f"triton-{POOL}")
    trace = Year(load, scaling, callers, leaving, rendered.recorded(POOL)).run(lanes)
    # what always has more pods is compared with the bound of our minimum, like all others
    bound = lower_bound_hours(lanes, ours.least, load)
    return outcome(trace, load, bound), Tuesday.of(trace)


def workload(label: str) -> Workload:
    """The times of a study, by the chart's own values."""
    orthanc = chart.defaults()["orthanc"]
    return measured(orthanc["seriesQuietSeconds"], orthanc["sweepSeconds"], WORKLOADS[label])


def _busiest(counts: Counts) -> float:
    """Studies a second in the busiest hour that is no outage's aftermath."""
    hourly = counts[: len(counts) // 3600 * 3600].reshape(-1, 3600).sum(axis=1)
    return float(np.percentile(hourly, 99.9)) / 3600


def _report(results: Results, workloads: dict[str, Workload], days: int) -> dict[str, object]:
    """``results`` and ``heavy`` have, by policy and scale, what ``Outcome`` has."""
    rounded = {
        label: {
            policy: {scale: {key: round(value, 4) for key, value in asdict(each).items()} for scale, each in by.items()}
            for policy, by in policies.items()
        }
        for label, policies in results.items()
    }
    settings = {label: asdict(workload) for label, workload in workloads.items()}
    return {
        "days": days,
        "seed": _SEED,
        "workloads": settings,
        "results": rounded["reference"],
        "heavy": rounded["heavy"],
    }
