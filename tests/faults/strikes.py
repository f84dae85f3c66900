"""The faults, by name. Each strikes a running site for a moment and is healed afterwards; all chance is seeded."""

import contextlib
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.proxy import Trouble
from tests.faults.site import Site

Strike = Callable[[Site, random.Random], None]


@dataclass(frozen=True)
class Kind:
    """One kind of fault; ``weight`` is how often it is drawn."""

    name: str
    strike: Strike
    weight: int = 1


def _kill(name: str) -> Strike:
    return lambda site, _: site.signal(name, signal.SIGKILL)


def _terminate(name: str) -> Strike:
    return lambda site, _: site.signal(name, signal.SIGTERM)


def _freeze(name: str) -> Strike:
    def strike(site: Site, rng: random.Random) -> None:
        site.signal(name, signal.SIGSTOP)
        time.sleep(rng.uniform(0.5, 6.0))
        site.signal(name, signal.SIGCONT)

    return strike


def _suffer(hop: str, trouble: Callable[[random.Random], Trouble]) -> Strike:
    def strike(site: Site, rng: random.Random) -> None:
        site.suffer(hop, trouble(rng))
        time.sleep(rng.uniform(0.5, 5.0))
        site.suffer(hop, Trouble())

    return strike


def _reset(hop: str) -> Strike:
    return lambda site, _: site.loop.call(site.proxies[hop].reset())


def _lose_ledger(site: Site, _: random.Random) -> None:
    """The forwarder dies and its file is gone when it comes back."""
    site.signal("forwarder", signal.SIGSTOP)
    for path in (site.ledger, Path(f"{site.ledger}-wal"), Path(f"{site.ledger}-shm")):
        path.unlink(missing_ok=True)
    site.signal("forwarder", signal.SIGKILL)


def _fill_spool(site: Site, rng: random.Random) -> None:
    """No file can be made in the spool for a while."""
    spool = site.folder / "spool"
    spool.chmod(0o500)
    with contextlib.suppress(OSError):
        spool.rename(site.folder / "spool-away")
    time.sleep(rng.uniform(0.5, 3.0))
    with contextlib.suppress(OSError):
        (site.folder / "spool-away").rename(spool)
    spool.chmod(0o700)


def _two_at_once(site: Site, rng: random.Random) -> None:
    for kind in rng.sample([each for each in KINDS if each.name != "two at once"], 2):
        kind.strike(site, rng)


def _cut(rng: random.Random) -> Trouble:
    return Trouble(cut_after_bytes=rng.randint(1, 400_000))


def _delay(rng: random.Random) -> Trouble:
    return Trouble(delay_seconds=rng.uniform(0.02, 0.3))


def _stall(_: random.Random) -> Trouble:
    return Trouble(stall=True)


def _refuse(_: random.Random) -> Trouble:
    return Trouble(refuse=True)


def _trickle(_: random.Random) -> Trouble:
    return Trouble(trickle_bytes=512)


KINDS: tuple[Kind, ...] = (
    *(Kind(f"kill {name}", _kill(name), 2) for name in ("orthanc", "forwarder", "preprocessing", "worker")),
    Kind("kill triton", _kill("triton")),
    Kind("kill a Triton backend", _kill("backend")),
    *(Kind(f"terminate {name}", _terminate(name)) for name in ("orthanc", "forwarder", "preprocessing", "triton")),
    *(Kind(f"freeze {name}", _freeze(name)) for name in ("orthanc", "forwarder", "preprocessing", "worker", "triton")),
    *(Kind(f"reset {hop}", _reset(hop)) for hop in ("analysis", "triton", "archive")),
    *(
        Kind(f"{name} {hop}", _suffer(hop, trouble))
        for name, trouble in (("cut", _cut), ("delay", _delay), ("stall", _stall), ("refuse", _refuse))
        for hop in ("analysis", "triton", "archive")
    ),
    Kind("trickle analysis", _suffer("analysis", _trickle)),
    Kind("lose the ledger", _lose_ledger),
    Kind("lose the spool", _fill_spool),
    Kind("two at once", _two_at_once, 3),
)
