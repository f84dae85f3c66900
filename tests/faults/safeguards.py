"""The harness itself is tested: with a safeguard broken on purpose, the oracle must see it.

Each broken safeguard has the shortest story that brings it to light for certain. The stories are also played to the
system as it is, where the oracle must see nothing; else it would catch everything, always.
"""

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tests.faults.crash_points import Crashes, Point
from tests.faults.deliveries import Delivery
from tests.faults.kinds import KINDS
from tests.faults.oracle import Verdict
from tests.faults.proxy import Trouble
from tests.faults.sabotages import SABOTAGES
from tests.faults.site import Site, running_site
from tests.faults.strikes import suffering

SOUND = "(no false alarm)"
QUIET_SECONDS = 5.0
_CUT_SECONDS = 12.0
_SOUND_SECONDS, _PATIENCE_SECONDS = 120.0, 40.0


@dataclass(frozen=True)
class Story:
    """Studies, and what happens to them: trouble while they arrive, a kill -9 at one write, a strike afterwards.

    ``seen_by`` are the invariants that must be found broken; others may be, too.
    """

    seen_by: tuple[str, ...]
    deliveries: tuple[Delivery, ...] = (Delivery.WHOLE,)
    trouble: Callable[[Site], AbstractContextManager[None]] = lambda _: nullcontext()
    trouble_seconds: float = 0.0
    crash: Point | None = None
    strike: str = ""
    pause_seconds: float = 0.0  # before the last series of a late study
    in_vain: int = 0  # analyses beyond one a study
    rival: bool = False  # a second forwarder on the same archive


def _cut(site: Site) -> AbstractContextManager[None]:
    return suffering(site, "analysis", Trouble(cut_after_bytes=20_000))


_SECOND_OBJECT = Point("whole", "forwarder: POST /instances, after", 1, "self")
_INTERRUPTED = Story(("wrong_outcome",), trouble=_cut, trouble_seconds=_CUT_SECONDS)
STORIES: dict[str, Story] = {
    "no sweep": Story(("lost",)),
    "manifest first": Story(("partial",), crash=_SECOND_OBJECT, in_vain=1),
    "clock in uids": Story(("partial", "byte_differences"), crash=_SECOND_OBJECT, in_vain=1),
    "attempts unwritten": Story(("lost",), (Delivery.DEADLY,)),
    "no quiet time": Story(("wasteful",), (Delivery.LATE,) * 3, pause_seconds=QUIET_SECONDS - 1),
    "no fence": Story(("wasteful",), (Delivery.WHOLE,) * 6, rival=True),
    "trouble counts": _INTERRUPTED,
    "no retry": _INTERRUPTED,
    "stale digest": Story(("lost",), (Delivery.LATE,), pause_seconds=12.0, in_vain=1),
    "spool kept": Story(("leaks",)),
    "names in logs": Story(("leaks",)),
    "wrong patient": Story(("wrong_patient", "wrong_outcome"), (Delivery.WHOLE,) * 3),
    "orphaned forwarder": Story(("leaks",), strike="kill orthanc"),
    "object dropped": Story(("partial",)),
    "worker not replaced": Story(("lost",), (Delivery.DEADLY, Delivery.WHOLE)),
}


def check(
    folder: Path, console: Console, *, known: dict[str, bool], keep: Callable[[dict[str, bool]], None]
) -> dict[str, bool]:
    """Break each safeguard in turn; whether the oracle saw it, by name.

    ``known`` are results of an interrupted check; every new one is handed to ``keep``. A false alarm, which would make
    all the others worthless, is named as if it were a safeguard that was missed.
    """
    caught = dict(known)
    if SOUND not in caught:
        caught[SOUND] = not _false_alarms(folder / "sound", console)
        keep(caught)
    for name in [name for name in SABOTAGES if name not in caught]:
        started = time.monotonic()
        options = _options(sabotage=name, rival=STORIES[name].rival)
        with running_site(folder / name.replace(" ", "-"), 7, **options) as site:
            verdict = play(Crashes(site, 7), site, STORIES[name])
        caught[name] = bool(verdict.seen & set(STORIES[name].seen_by))
        word = "[green]caught[/]" if caught[name] else "[red]MISSED[/]"
        console.print(f"{name}: {word} in {time.monotonic() - started:.0f} s by {verdict.named}")
        keep(caught)
    return caught


def _false_alarms(folder: Path, console: Console) -> dict[str, str]:
    """What the oracle says to the stories of a sound system; each story once."""
    alarms = {}
    stories = {story: name for name, story in STORIES.items()}
    for rival in (False, True):
        with running_site(folder / ("two" if rival else "one"), 7, **_options(rival=rival)) as site:
            told = [(story, name) for story, name in stories.items() if story.rival == rival]
            for seed, (story, name) in enumerate(told, start=8):
                verdict = play(Crashes(site, seed), site, story, sound=True)
                console.print(f"sound system, story of {name!r}: {verdict.named}")
                alarms |= {} if verdict.clean else {name: verdict.named}
    return alarms


def _options(**options: object) -> dict[str, object]:
    return {"trace": True, "quiet_seconds": QUIET_SECONDS, **options}


def play(crashes: Crashes, site: Site, story: Story, *, sound: bool = False) -> Verdict:
    """Let a story happen; the oracle's word on it. A sound system gets all the time it wants."""
    if story.crash:
        crashes.arm(story.crash)
    with story.trouble(site):
        for delivery in story.deliveries:
            crashes.send(delivery, pause_seconds=story.pause_seconds)
        time.sleep(story.trouble_seconds)
    if story.strike:
        next(kind for kind in KINDS if kind.name == story.strike).strike(site, random.Random(7))
        time.sleep(1.0)
    crashes.wait(_SOUND_SECONDS if sound else _PATIENCE_SECONDS)
    return crashes.judge(in_vain=story.in_vain)
