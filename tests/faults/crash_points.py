"""Every durable write on a study's way, and a kill -9 before and after each one.

The points are no list that somebody keeps: studies go their ways undisturbed while ``durable`` writes down what they
make our services write. Then each write is the last one of its process once, in both moments, and each one that goes to
Orthanc is the last thing that Orthanc lives through, too. Of a later way only those writes are taken that no earlier
one has.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from services.orthanc_plugin.site import OWN_HEADER
from tests.faults import means, strikes
from tests.faults.campaign import Injection, progress_bars
from tests.faults.deliveries import Delivery, SentStudy, make_study
from tests.faults.durable import reached
from tests.faults.oracle import Oracle, Verdict
from tests.faults.proxy import Trouble
from tests.faults.sender import Sender
from tests.faults.site import Site, running_site

KIND = "kill -9 at a durable write"
_PATIENCE_SECONDS, _TRIES = 60.0, 3
_PAUSE_SECONDS = 3.0  # a study's first half has its result by then
_TRAILING_SECONDS = {Delivery.DELETED: 1.5}
_REST = ("PUT ", "POST ", "DELETE /")
# what happens to a study; the first way is the usual one
WAYS: dict[str, tuple[Delivery, bool]] = {
    "whole": (Delivery.WHOLE, False),
    "late": (Delivery.LATE, False),
    "asked again": (Delivery.BROKEN, False),
    "interrupted": (Delivery.WHOLE, True),
    "deadly": (Delivery.DEADLY, False),
    "deleted": (Delivery.DELETED, False),
}


@dataclass(frozen=True)
class Point:
    """The nth time that a study's way comes to a line of the trace, and who dies of it."""

    way: str
    line: str  # "process: write, moment"
    occurrence: int
    victim: str  # "self" or "orthanc"

    @property
    def name(self) -> str:
        """For people."""
        whose = "orthanc dies" if self.victim == "orthanc" else "dies"
        return f"{self.way} study, {self.line} #{self.occurrence}: {whose}"


@dataclass(frozen=True)
class Crash:
    """A point and what came of it; ``seconds`` from the kill to the study's end, None where it was not reached."""

    point: Point
    seconds: float | None
    number: int


class Crashes:
    """A site whose durable writes are watched, and the studies sent to it one by one."""

    def __init__(self, site: Site, seed: int) -> None:
        self._site, self._seed = site, seed
        self._oracle = Oracle(site)
        self._folder = site.layout.traces
        self.studies: list[SentStudy] = []

    def points(self) -> Iterator[Point]:
        """All of them; an undisturbed study goes each way first."""
        known: set[str] = set()
        for way in WAYS:
            self.arm(None)
            self._go(way)
            lines = Counter((self._folder / "trace").read_text().splitlines())
            for line, count in lines.items():
                if line not in known:
                    yield from _points_at(way, line, count)
            known |= lines.keys()

    def crash(self, point: Point) -> Crash:
        """Let studies run into a point until one has reached it."""
        for _ in range(_TRIES):
            self.arm(point)
            self._go(point.way)
            if (self._folder / "fired").exists():
                seconds = time.time() - (self._folder / "fired").stat().st_mtime
                return Crash(point, seconds, self.studies[-1].number)
        return Crash(point, None, self.studies[-1].number)

    def arm(self, point: Point | None) -> None:
        """The next study that comes to this point loses a process there; None: no study does."""
        for name in ("armed", "trace", "fired"):
            (self._folder / name).unlink(missing_ok=True)
        if point:
            means.write_whole(self._folder / "armed", f"{point.line}\t{point.occurrence}\t{point.victim}")

    def send(self, delivery: Delivery, *, pause_seconds: float) -> None:
        """Send one more study, until the archive has all of it."""
        study = make_study(self._seed, len(self.studies), delivery, series_count=1)
        self.studies.append(study)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        sender = Sender(self._site.state, self._site.log, deadline=deadline, pause_seconds=pause_seconds)
        sender.on_instance = self._on_instance
        sender.send(study)

    def wait(self, seconds: float) -> None:
        """Until all studies have ended, or the time is over; then a moment for what is tidied up."""
        ends = time.monotonic() + seconds
        waiting = self.studies
        while waiting and time.monotonic() < ends:
            with contextlib.suppress(httpx.HTTPError, OSError):
                waiting = self._oracle.unfinished(waiting)
            time.sleep(0.05)
        time.sleep(_TRAILING_SECONDS.get(self.studies[-1].delivery, 0.2))

    def judge(self, *, in_vain: int) -> Verdict:
        """The oracle's word on all studies, of which so many results may be of studies that were not whole."""
        self.arm(None)
        self._site.wait_until_it_works(60)
        return self._oracle.judge(self.studies, wasted=in_vain)

    def _go(self, way: str) -> None:
        """One study from end to end on its way."""
        delivery, interrupted = WAYS[way]
        with self._interrupted() if interrupted else nullcontext():
            self.send(delivery, pause_seconds=_PAUSE_SECONDS)
            time.sleep(_PAUSE_SECONDS if interrupted else 0)
        self.wait(_PATIENCE_SECONDS)
        if way == "asked again":
            self._ask_again(self.studies[-1])
            self.wait(_PATIENCE_SECONDS)

    def _ask_again(self, study: SentStudy) -> None:
        """As the button on the page does, until somebody has written it down."""
        state, ends = self._site.state, time.monotonic() + _PATIENCE_SECONDS
        url = f"{state.orthanc_url}/articula/api/studies/{study.orthanc_id}/retry"
        options = {"auth": (state.user, state.password), "headers": {OWN_HEADER: "yes"}, "timeout": 10}
        while time.monotonic() < ends:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.post(url, trust_env=False, **options).is_success:
                    break
            time.sleep(0.2)
        time.sleep(1.0)  # the wish is fulfilled by the next sweep

    def _interrupted(self) -> AbstractContextManager[None]:
        return strikes.suffering(self._site, "analysis", Trouble(cut_after_bytes=20_000))

    def _on_instance(self, moment: str) -> None:
        """The sender's writes are points, too, of which Orthanc may die."""
        victims = {"orthanc": self._site.pid("orthanc")}
        reached(self._folder, "sender", "POST /instances", moment, victims=victims)


def _points_at(way: str, line: str, count: int) -> Iterator[Point]:
    process, _, write = line.partition(": ")
    for occurrence in range(1, count + 1):
        if process != "sender":
            yield Point(way, line, occurrence, "self")
        if write.startswith(_REST):
            yield Point(way, line, occurrence, "orthanc")


def enumerate_crashes(folder: Path, seed: int, console: Console, *, share: float = 1.0) -> dict[str, Any]:
    """Die at every point, or at an evenly spaced share of them; the record of it, as of a round."""
    started = time.monotonic()
    with running_site(folder, seed, trace=True, quiet_seconds=0.6) as site, progress_bars(console) as progress:
        crashes = Crashes(site, seed)
        points = list(crashes.points())
        chosen = points[:: max(round(1 / share), 1)]
        done = []
        for point in progress.track(chosen, description="durable writes"):
            done.append(crashes.crash(point))
            with (folder / "logs" / "crashes.log").open("a") as history:
                history.write(f"{len(done)}/{len(chosen)} {done[-1].seconds} {point.name}\n")
        verdict = crashes.judge(in_vain=2 * len(crashes.studies))
    return _record(crashes, done, (verdict, seed, time.monotonic() - started)) | {"points": len(points)}


def _record(crashes: Crashes, done: list[Crash], outcome: tuple[Verdict, int, float]) -> dict[str, Any]:
    verdict, seed, seconds = outcome
    reached_at = [each for each in done if each.seconds is not None]
    missed = [each.point.name for each in done if each.seconds is None]
    injections = [Injection(KIND, 0.0, 0.0, each.seconds or 0.0, (each.number,), archive=True) for each in reached_at]
    return {
        "seed": f"{seed} crash points",
        "studies": len(crashes.studies),
        "injections": [asdict(each) for each in injections],
        "crashes": [{"point": each.point.name, "seconds": round(each.seconds or 0.0, 2)} for each in reached_at],
        "not_reached": missed,
        "settle_seconds": 0.0,
        "seconds": round(seconds, 1),
        **{key: value for key, value in asdict(verdict).items() if key != "refusals"},
        "refusals": [],
        "error": "",
        "clean": _holds(verdict) and not missed,
    }


def _holds(verdict: Verdict) -> bool:
    """Whether the verdict is clean; senders are refused while Orthanc is dead, which is what was done to it."""
    return not verdict.seen - {"refusals"}
