"""The outcomes as Markdown, one table a workload."""

from collections.abc import Mapping

from tools.simulate_autoscaling.outcome import Outcome
from tools.simulate_autoscaling.workload import Workload

_HEAD = (
    "| hospitals | policy | p95 s | p99 s | later than a minute | pod-hours | of the lower bound "
    "| changes | reversals |"
)
_LINE = "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"


def markdown(results: Mapping[str, Mapping[str, Mapping[str, Outcome]]], workloads: Mapping[str, Workload]) -> str:
    """All tables."""
    parts = []
    for label, policies in results.items():
        title = f"**{label}**: {workloads[label].study:.1f} pod-seconds a study"
        scales = list(next(iter(policies.values())))
        rows = [_row(scale, policy, policies[policy][scale]) for scale in scales for policy in policies]
        parts.append("\n".join([title, "", _HEAD, _LINE, *rows]))
    return "\n\n".join(parts) + "\n"


def _row(scale: str, policy: str, each: Outcome) -> str:
    share = each.gpu_hours / each.lower_bound_gpu_hours
    cells = [
        scale,
        policy,
        f"{each.p95_s:.0f}",
        f"{each.p99_s:.0f}",
        f"{each.late_share:.2%}",
        f"{each.gpu_hours:,.0f}",
    ]
    cells += [f"{share:.2f}", f"{each.replica_changes:,}", f"{each.reversals:,}"]
    return f"| {' | '.join(cells)} |"
