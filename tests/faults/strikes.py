"""The faults. Each strikes a running site for a moment and is undone afterwards; all chance is seeded."""

import contextlib
import os
import random
import shutil
import signal
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import psutil

from tests.faults import means, namespace
from tests.faults.layout import DISKS
from tests.faults.proxy import Trouble
from tests.faults.site import Site
from tools.secrets.certificates import write_identities

Strike = Callable[[Site, random.Random], None]
_DEADLINE_SECONDS = 5.0  # of a REST call and of an inference, as ``layout`` sets them
_STABLE_AGE_SECONDS = 5.0
_END_SECONDS = 30.0


def _while(rng: random.Random) -> None:
    """Most trouble is over soon, some outlasts every deadline."""
    time.sleep(_DEADLINE_SECONDS + 1 if rng.random() < 0.15 else rng.uniform(0.3, 1.8))


def kill(name: str, number: signal.Signals = signal.SIGKILL) -> Strike:
    """Ends when the process has ended: one that drains still answers."""

    def strike(site: Site, _: random.Random) -> None:
        with contextlib.suppress(IndexError, psutil.Error, ProcessLookupError):
            victim = psutil.Process(site.pid(name))
            victim.send_signal(number)
            victim.wait(_END_SECONDS)

    return strike


def during(trouble: Callable[[Site, random.Random], AbstractContextManager[None]]) -> Strike:
    """A strike that lasts a while; of a process that is gone already nothing is left to strike."""

    def strike(site: Site, rng: random.Random) -> None:
        with contextlib.suppress(IndexError, FileNotFoundError, ProcessLookupError), trouble(site, rng):
            _while(rng)

    return strike


@contextlib.contextmanager
def _stopped(pid: int):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def suffering(site: Site, hop: str, trouble: Trouble):
    """One hop misbehaves while the body runs."""
    site.suffer(hop, trouble)
    try:
        yield
    finally:
        site.suffer(hop, Trouble())


def freeze(name: str) -> Strike:
    """One process stands still for a while."""
    return during(lambda site, _: _stopped(site.pid(name)))


def freeze_family(name: str) -> Strike:
    """A process and all its children stand still at one moment."""
    return during(lambda site, _: means.frozen(site.family(name)))


def suffer(hop: str, trouble: Callable[[random.Random], Trouble]) -> Strike:
    """One hop misbehaves for a while."""
    return during(lambda site, rng: suffering(site, hop, trouble(rng)))


def lose(hop: str, least: int, most: int) -> Strike:
    """Between ``least`` and ``most`` percent of the packets to one hop vanish."""
    return during(lambda site, rng: means.lost_packets(site.proxies[hop].port, rng.randint(least, most)))


def fill(disk: str) -> Strike:
    """A disk is full for a while."""
    return during(lambda site, _: means.full_disk(site.folder / disk, DISKS[disk]))


def step(sign: int) -> Strike:
    """The wall clock of archive and forwarder steps away and back; both start anew to get a clock that can be stepped.

    Not from the beginning: libfaketime makes every request to Orthanc cost forty times its time.
    """

    def strike(site: Site, rng: random.Random) -> None:
        orthanc, clock = site.minded["orthanc"], site.layout.clock
        orthanc.extra = namespace.faketime(clock)
        site.signal("orthanc", signal.SIGKILL)
        time.sleep(rng.uniform(1.5, 3.0))
        with means.stepped_clock(clock, sign * rng.choice((90, 3600, 7 * 3600))):
            time.sleep(rng.uniform(1.5, 3.0))  # libfaketime looks at the file once a second
        orthanc.extra = {}
        site.signal("orthanc", signal.SIGKILL)

    return strike


def starve(name: str) -> Strike:
    """A process can open nothing for a while."""
    return during(lambda site, _: means.without_descriptors(site.pid(name)))


def reset(hop: str) -> Strike:
    """Every connection of one hop is reset."""
    return lambda site, _: site.loop.call(site.proxies[hop].reset())


def kill_in_stable_age(site: Site, rng: random.Random) -> None:
    """Orthanc dies after a study is whole and before Orthanc itself calls it stable: its event never comes."""
    known, waited = dict(site.log.acknowledged), time.monotonic()
    while not site.log.acknowledged.keys() - known.keys() and time.monotonic() - waited < _STABLE_AGE_SECONDS:
        time.sleep(0.02)
    time.sleep(rng.uniform(0.0, 1.0))
    site.signal("orthanc", signal.SIGKILL)


def kill_again_and_again(site: Site, rng: random.Random) -> None:
    """Triton dies while it starts."""
    for _ in range(3):
        site.signal("triton", signal.SIGKILL)
        time.sleep(rng.uniform(0.3, 1.5))


def zombie(site: Site, rng: random.Random) -> None:
    """A forwarder that slept through the death of its Orthanc wakes up beside its successor."""
    with contextlib.suppress(IndexError), _stopped(site.pid("forwarder")):
        site.signal("orthanc", signal.SIGKILL)
        time.sleep(rng.uniform(1.5, 4.0))


def lose_ledger(site: Site, _: random.Random) -> None:
    """The forwarder dies and its file is gone when it comes back."""
    ledger = site.layout.ledger
    with contextlib.suppress(IndexError):
        pid = site.pid("forwarder")
        with _stopped(pid):
            for path in (ledger, Path(f"{ledger}-wal"), Path(f"{ledger}-shm")):
                path.unlink(missing_ok=True)
            os.kill(pid, signal.SIGKILL)


def lose_spool(site: Site, rng: random.Random) -> None:
    """The spool's folder is away for a while."""
    spool, away = site.folder / "spool" / "studies", site.folder / "spool" / "away"
    with contextlib.suppress(OSError):
        spool.rename(away)
        _while(rng)
    with contextlib.suppress(OSError):
        shutil.rmtree(spool, ignore_errors=True)  # a service that started meanwhile made one
        away.rename(spool)


def lose_certificates(site: Site, rng: random.Random) -> None:
    """The secret is not mounted when the service and the forwarder start again."""
    away = site.layout.tls.with_name("tls-away")
    site.layout.tls.rename(away)
    _restart_secured(site)
    _while(rng)
    away.rename(site.layout.tls)


def foreign_certificates(site: Site, rng: random.Random) -> None:
    """The service starts with certificates of another authority: everybody refuses it until it has its own again."""
    own, away = site.layout.tls / "preprocessing", site.layout.tls / "away"
    own.rename(away)
    write_identities(site.layout.tls, {"preprocessing": ("preprocessing",)}, days=1)
    site.signal("preprocessing", signal.SIGKILL)
    _while(rng)
    shutil.rmtree(own)
    away.rename(own)
    site.signal("preprocessing", signal.SIGKILL)


def _restart_secured(site: Site) -> None:
    for name in ("preprocessing", "forwarder"):
        site.signal(name, signal.SIGKILL)


def garbage(site: Site, rng: random.Random) -> None:
    """Strangers talk nonsense to the service, and hang up."""
    port = int(site.state.analysis.rpartition(":")[2])
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as stranger:
            stranger.sendall(rng.randbytes(rng.randint(1, 5000)))


def erase_what_is_shown(site: Site, rng: random.Random) -> None:
    """Somebody clears Orthanc's list of changes and the states of some studies."""
    auth = (site.state.user, site.state.password)
    with contextlib.suppress(httpx.HTTPError), httpx.Client(base_url=site.state.orthanc_url, auth=auth) as http:
        http.delete("/changes")
        studies = http.get("/studies").json()
        for study in rng.sample(studies, min(3, len(studies))):
            http.delete(f"/studies/{study}/metadata/ArticulaStatus")


TROUBLES: dict[str, Callable[[random.Random], Trouble]] = {
    "cut": lambda rng: Trouble(cut_after_bytes=rng.randint(1, 200_000)),
    "delay": lambda rng: Trouble(delay_seconds=rng.uniform(0.02, 0.3)),
    "stall": lambda _: Trouble(stall=True),
    "refuse": lambda _: Trouble(refuse=True),
}
