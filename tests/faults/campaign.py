"""One round: senders send, faults strike, everything heals, the oracle judges."""

import contextlib
import datetime as dt
import json
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.faults.deliveries import Delivery, SentStudy, make_study
from tests.faults.kinds import Kind, usable_kinds
from tests.faults.oracle import Oracle, Verdict
from tests.faults.sender import Pace, Sender
from tests.faults.site import Site, running_site

SENDERS = 3
SETTLE_SECONDS = 300.0  # after the last fault; the bound for every study
_RECOVERY_SECONDS = 180.0
_BACKLOG, _CATCH_UP_SECONDS = 30, 120.0
_AFTERMATH_SECONDS = 2.0  # a deleted study must stay away


@dataclass(frozen=True)
class Size:
    """How much of everything; the same seed strikes the same faults in the same order, at the same studies."""

    studies: int
    faults: int
    seed: int
    pause_seconds: float = 0.6
    settle_seconds: float = SETTLE_SECONDS
    kinds: tuple[Kind, ...] = field(default_factory=usable_kinds)
    sabotage: str = ""


@dataclass(frozen=True)
class Injection:
    """One fault that struck: when (monotonic), how long until everything worked, which studies were open meanwhile."""

    kind: str
    started: float
    seconds: float
    recovery_seconds: float
    touched: tuple[int, ...]
    archive: bool


@dataclass
class Round:
    """What was done and what came of it."""

    size: Size
    injections: list[Injection] = field(default_factory=list)
    settle_seconds: float = 0.0
    seconds: float = 0.0
    verdict: Verdict = field(default_factory=Verdict)
    error: str = ""  # what kept the round from its end

    def record(self) -> dict[str, Any]:
        """Plain data, for a file."""
        return {
            "seed": self.size.seed,
            "studies": self.size.studies,
            "injections": [asdict(each) for each in self.injections],
            "settle_seconds": round(self.settle_seconds, 1),
            "seconds": round(self.seconds, 1),
            **{key: value for key, value in asdict(self.verdict).items() if key != "broken"},
            "broken": self.verdict.broken,
            "error": self.error,
            "clean": self.verdict.clean and not self.error,
        }


def progress_bars(console: Console) -> Progress:
    """Bars that say how far a long run is; they vanish at its end."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True)


def run(size: Size, folder: Path, console: Console) -> Round:
    """Run one round in a fresh folder; a system that does not come back ends it, and is its error."""
    done, started = Round(size), time.monotonic()
    studies = [make_study(size.seed, number) for number in range(size.studies)]
    with running_site(folder, size.seed, sabotage=size.sabotage) as site, progress_bars(console) as progress:
        oracle = Oracle(site)
        try:
            _strike_all(Watch(site, oracle, studies), done, progress)
            done.settle_seconds = _settle(oracle, studies, size.settle_seconds, progress)
            time.sleep(_AFTERMATH_SECONDS)
            done.verdict = oracle.judge(studies, wasted=_wasted(studies, done.injections))
        except (TimeoutError, httpx.HTTPError) as error:
            done.error = f"{type(error).__name__}: {error}"
        done.verdict.refusals = _refusals(site.log.refusals, done.injections)
    done.seconds = time.monotonic() - started
    return done


def _strike_all(watch: "Watch", done: Round, progress: Progress) -> None:
    """All faults of a round while its studies are sent; everything is healed at the end."""
    size, pace = done.size, Pace()
    senders = _start_senders(watch.site, size, pace)
    bar = progress.add_task(f"seed {size.seed}: faults", total=size.faults)
    for index, kind in enumerate(drawn(size)):
        watch.let_catch_up()
        pace.allow(-(-size.studies * (index + 1) // size.faults))
        time.sleep(random.Random(f"{size.seed}/{index}").uniform(0, size.pause_seconds))
        done.injections.append(watch.strike(kind, random.Random(f"{size.seed}/{index}/{kind.name}")))
        progress.advance(bar)
    pace.allow(size.studies)
    for sender in senders:
        sender.join()
    watch.site.heal()


def _start_senders(site: Site, size: Size, pace: Pace) -> list[threading.Thread]:
    numbers, taking = iter(range(size.studies)), threading.Lock()
    deadline = time.monotonic() + 60 + 30 * size.faults + 5 * size.studies

    def taken():
        while True:
            with taking:
                number = next(numbers, None)
            if number is None:
                return
            yield number

    def send() -> None:
        Sender(site.state, site.log, deadline=deadline).send_all(size.seed, taken(), pace)

    senders = [threading.Thread(target=send, daemon=True) for _ in range(SENDERS)]
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


class Watch:
    """Which studies are open: being sent, or sent and without an end."""

    def __init__(self, site: Site, oracle: Oracle, studies: Sequence[SentStudy]) -> None:
        self.site, self._oracle, self._studies = site, oracle, studies
        self._over: set[int] = set()

    def open(self) -> set[int]:
        """Their numbers; what is over is asked once."""
        log = self.site.log
        with contextlib.suppress(httpx.HTTPError):  # what can't be asked now counts as open
            for number in [number for number in list(log.acknowledged) if number not in self._over]:
                if self._oracle.finished(self._studies[number]):
                    self._over.add(number)
        return set(log.started) - self._over

    def let_catch_up(self) -> None:
        """On a busy machine faults wait for studies, lest most of these find an undisturbed system at the end."""
        ends = time.monotonic() + _CATCH_UP_SECONDS
        while len(self.open()) > _BACKLOG and time.monotonic() < ends:
            time.sleep(0.5)

    def strike(self, kind: Kind, rng: random.Random) -> Injection:
        """One fault, until everything works again."""
        touched, started = self.open(), time.monotonic()
        kind.strike(self.site, rng)
        struck = time.monotonic()
        recovery = self.site.wait_until_it_works(_RECOVERY_SECONDS)
        touched |= {number for number, at in list(self.site.log.started.items()) if at > started}
        done = Injection(kind.name, started, struck - started, recovery, tuple(sorted(touched)), kind.archive)
        with (self.site.folder / "logs" / "faults.log").open("a") as history:
            history.write(f"{dt.datetime.now(dt.UTC):%H:%M:%S} {json.dumps(asdict(done))}\n")
        return done


def _settle(oracle: Oracle, studies: Sequence[SentStudy], bound: float, progress: Progress) -> float:
    """Wait until every study has ended, or the bound is over; seconds it took."""
    started = time.monotonic()
    bar = progress.add_task("studies", total=len(studies))
    waiting = list(studies)
    while waiting and time.monotonic() - started < bound:
        with contextlib.suppress(OSError, httpx.HTTPError):
            waiting = oracle.unfinished(waiting)
        progress.update(bar, completed=len(studies) - len(waiting))
        time.sleep(0.5)
    return time.monotonic() - started


def _wasted(studies: Sequence[SentStudy], injections: Sequence[Injection]) -> int:
    """How many analyses may be in vain: one of each study whose last part is late, and two a fault."""
    late = sum(each.delivery is Delivery.LATE for each in studies)
    return late + 2 * len(injections) + len(studies) // 20


def _refusals(refusals: Sequence[tuple[float, str]], injections: Sequence[Injection]) -> list[str]:
    """Refusals at moments when no fault struck the archive itself; a sender notices some seconds late."""
    archive = [each for each in injections if each.archive]
    struck = [(each.started, each.started + each.seconds + each.recovery_seconds + 11) for each in archive]
    return [reason for at, reason in refusals if not any(begin <= at <= end for begin, end in struck)]
