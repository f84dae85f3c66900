"""One campaign: senders send, faults strike, everything heals, the oracle judges."""

import json
import random
import statistics
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from tests.faults.oracle import Oracle, Verdict
from tests.faults.sender import SenderLog, make_study, send
from tests.faults.site import Site, running_site
from tests.faults.strikes import KINDS, Kind

SENDERS = 3
SETTLE_SECONDS = 300.0  # after the last fault; DESIGN's own bound for every study


@dataclass(frozen=True)
class Size:
    """How much of everything; the same seed strikes the same faults in the same order."""

    studies: int
    faults: int
    seed: int
    compare: int = 100
    pause_seconds: float = 2.0
    settle_seconds: float = SETTLE_SECONDS
    kinds: tuple[Kind, ...] = KINDS
    sabotage: str = ""


@dataclass
class Campaign:
    """What was done and what came of it."""

    size: Size
    strikes: list[str] = field(default_factory=list)
    recovery_seconds: dict[str, list[float]] = field(default_factory=dict)
    settle_seconds: float = 0.0
    verdict: Verdict = field(default_factory=Verdict)

    def report(self) -> dict[str, object]:
        """Plain numbers."""
        recoveries = sorted(value for values in self.recovery_seconds.values() for value in values)
        verdict = self.verdict
        return {
            "studies": self.size.studies,
            "faults": len(self.strikes),
            "kinds": dict(Counter(self.strikes)),
            "lost": len(verdict.lost),
            "doubled": len(verdict.doubled),
            "partial": len(verdict.partial),
            "wrong_patient": len(verdict.wrong_patient),
            "wrong_outcome": len(verdict.wrong_outcome),
            "leaked": len(verdict.leaks),
            "byte_differences": len(verdict.different_bytes),
            "bytes_compared": verdict.compared,
            "recovery_p50_s": round(_quantile(recoveries, 0.5), 2),
            "recovery_p95_s": round(_quantile(recoveries, 0.95), 2),
            "settle_s": round(self.settle_seconds, 1),
            "seed": self.size.seed,
        }

    def write(self, path: Path) -> None:
        """The report as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.report(), indent=1) + "\n")

    def table(self) -> Table:
        """A row for each kind of fault, and the sums."""
        table = Table("fault", "injections", "recovery p50 s", "p95 s", title=f"seed {self.size.seed}")
        for name, count in sorted(Counter(self.strikes).items()):
            seconds = sorted(self.recovery_seconds.get(name, []))
            table.add_row(name, str(count), f"{_quantile(seconds, 0.5):.1f}", f"{_quantile(seconds, 0.95):.1f}")
        return table


def run(size: Size, folder: Path, console: Console) -> Campaign:
    """Run a campaign in a fresh folder."""
    campaign = Campaign(size)
    with running_site(folder, size.seed, size.sabotage) as site, Progress(console=console, transient=True) as progress:
        log = SenderLog()
        bar = progress.add_task("faults", total=size.faults)
        deadline = time.monotonic() + 60 + 30 * size.faults + 5 * size.studies
        senders = _start_senders(site, log, size, deadline)
        for kind in drawn(size):
            time.sleep(random.Random(f"{size.seed}/{len(campaign.strikes)}").uniform(0, size.pause_seconds))
            _strike(site, kind, campaign)
            progress.advance(bar)
        for sender in senders:
            sender.join()
        site.heal()
        studies = [make_study(size.seed, number) for number in range(size.studies)]
        campaign.settle_seconds = _settle(site, studies, size.settle_seconds, progress)
        campaign.verdict = Oracle(site).judge(studies, compare=size.compare)
    return campaign


def _start_senders(site: Site, log: SenderLog, size: Size, deadline: float) -> list[threading.Thread]:
    numbers = iter(range(size.studies))
    senders = [
        threading.Thread(target=send, args=(site, log, size.seed, numbers, deadline), daemon=True)
        for _ in range(SENDERS)
    ]
    for sender in senders:
        sender.start()
    return senders


def drawn(size: Size) -> list[Kind]:
    """Every kind at least once where there are faults enough, the rest by weight; in seeded order."""
    rng = random.Random(size.seed)
    once = list(size.kinds)
    rng.shuffle(once)
    more = rng.choices(size.kinds, [kind.weight for kind in size.kinds], k=max(size.faults - len(once), 0))
    drawn = [*once, *more][: size.faults]
    rng.shuffle(drawn)
    return drawn


def _strike(site: Site, kind: Kind, campaign: Campaign) -> None:
    rng = random.Random(f"{campaign.size.seed}/{len(campaign.strikes)}/{kind.name}")
    kind.strike(site, rng)
    campaign.strikes.append(kind.name)
    seconds = site.wait_until_it_works(180)
    campaign.recovery_seconds.setdefault(kind.name, []).append(seconds)


def _settle(site: Site, studies, bound: float, progress: Progress) -> float:
    """Wait until every study has ended, or the bound is over; seconds it took."""
    oracle, started = Oracle(site), time.monotonic()
    bar = progress.add_task("studies", total=len(studies))
    waiting = list(studies)
    while waiting and time.monotonic() - started < bound:
        waiting = oracle.unfinished(waiting)
        progress.update(bar, completed=len(studies) - len(waiting))
        time.sleep(0.5)
    return time.monotonic() - started


def _quantile(values: list[float], share: float) -> float:
    if not values:
        return 0.0
    return (
        values[0] if len(values) == 1 else statistics.quantiles(values, n=100, method="inclusive")[int(share * 100) - 1]
    )
