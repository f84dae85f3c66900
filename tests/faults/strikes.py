"""The faults, by name. Each strikes a running site for a moment and is undone afterwards; all chance is seeded."""

import contextlib
import os
import random
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from tests.faults import means, namespace
from tests.faults.layout import DISKS, HOPS
from tests.faults.proxy import Trouble
from tests.faults.site import Site
from tools.secrets.certificates import write_identities

Strike = Callable[[Site, random.Random], None]
_DEADLINE_SECONDS = 5.0  # of a REST call and of an inference, as ``layout`` sets them
_STABLE_AGE_SECONDS = 5.0
_END_SECONDS = 30.0


@dataclass(frozen=True)
class Kind:
    """One kind of fault; ``weight`` is how often it is drawn, ``needs`` what the machine must be able to do.

    ``archive``: it strikes Orthanc itself, so that senders may notice it.
    """

    name: str
    strike: Strike
    weight: int = 1
    needs: str = ""
    archive: bool = False


def _while(rng: random.Random) -> None:
    """Most trouble is over soon, some outlasts every deadline."""
    time.sleep(_DEADLINE_SECONDS + 1 if rng.random() < 0.15 else rng.uniform(0.3, 1.8))


def _kill(name: str, number: signal.Signals = signal.SIGKILL) -> Strike:
    """Ends when the process has ended: one that drains still answers."""

    def strike(site: Site, _: random.Random) -> None:
        with contextlib.suppress(IndexError, psutil.Error, ProcessLookupError):
            victim = psutil.Process(site.pid(name))
            victim.send_signal(number)
            victim.wait(_END_SECONDS)

    return strike


def _during(trouble: Callable[[Site, random.Random], AbstractContextManager[None]]) -> Strike:
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


def _freeze(name: str) -> Strike:
    return _during(lambda site, _: _stopped(site.pid(name)))


def _freeze_family(name: str) -> Strike:
    return _during(lambda site, _: means.frozen(site.family(name)))


def _suffer(hop: str, trouble: Callable[[random.Random], Trouble]) -> Strike:
    return _during(lambda site, rng: suffering(site, hop, trouble(rng)))


def _lose(hop: str, least: int, most: int) -> Strike:
    return _during(lambda site, rng: means.lost_packets(site.proxies[hop].port, rng.randint(least, most)))


def _fill(disk: str) -> Strike:
    return _during(lambda site, _: means.full_disk(site.folder / disk, DISKS[disk]))


def _step(sign: int) -> Strike:
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


def _starve(name: str) -> Strike:
    return _during(lambda site, _: means.without_descriptors(site.pid(name)))


def _reset(hop: str) -> Strike:
    return lambda site, _: site.loop.call(site.proxies[hop].reset())


def _kill_in_stable_age(site: Site, rng: random.Random) -> None:
    """Orthanc dies after a study is whole and before Orthanc itself calls it stable: its event never comes."""
    known, waited = dict(site.log.acknowledged), time.monotonic()
    while not site.log.acknowledged.keys() - known.keys() and time.monotonic() - waited < _STABLE_AGE_SECONDS:
        time.sleep(0.02)
    time.sleep(rng.uniform(0.0, 1.0))
    site.signal("orthanc", signal.SIGKILL)


def _kill_again_and_again(site: Site, rng: random.Random) -> None:
    for _ in range(3):
        site.signal("triton", signal.SIGKILL)
        time.sleep(rng.uniform(0.3, 1.5))


def _zombie(site: Site, rng: random.Random) -> None:
    """A forwarder that slept through the death of its Orthanc wakes up beside its successor."""
    with contextlib.suppress(IndexError), _stopped(site.pid("forwarder")):
        site.signal("orthanc", signal.SIGKILL)
        time.sleep(rng.uniform(1.5, 4.0))


def _lose_ledger(site: Site, _: random.Random) -> None:
    """The forwarder dies and its file is gone when it comes back."""
    ledger = site.layout.ledger
    with contextlib.suppress(IndexError):
        pid = site.pid("forwarder")
        with _stopped(pid):
            for path in (ledger, Path(f"{ledger}-wal"), Path(f"{ledger}-shm")):
                path.unlink(missing_ok=True)
            os.kill(pid, signal.SIGKILL)


def _lose_spool(site: Site, rng: random.Random) -> None:
    """The spool's folder is away for a while."""
    spool, away = site.folder / "spool" / "studies", site.folder / "spool" / "away"
    with contextlib.suppress(OSError):
        spool.rename(away)
        _while(rng)
    with contextlib.suppress(OSError):
        shutil.rmtree(spool, ignore_errors=True)  # a service that started meanwhile made one
        away.rename(spool)


def _lose_certificates(site: Site, rng: random.Random) -> None:
    """The secret is not mounted when the service and the forwarder start again."""
    away = site.layout.tls.with_name("tls-away")
    site.layout.tls.rename(away)
    _restart_secured(site)
    _while(rng)
    away.rename(site.layout.tls)


def _foreign_certificates(site: Site, rng: random.Random) -> None:
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


def _garbage(site: Site, rng: random.Random) -> None:
    """Strangers talk nonsense to the service, and hang up."""
    port = int(site.state.analysis.rpartition(":")[2])
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as stranger:
            stranger.sendall(rng.randbytes(rng.randint(1, 5000)))


def _erase_what_is_shown(site: Site, rng: random.Random) -> None:
    """Somebody clears Orthanc's list of changes and the states of some studies."""
    auth = (site.state.user, site.state.password)
    with contextlib.suppress(httpx.HTTPError), httpx.Client(base_url=site.state.orthanc_url, auth=auth) as http:
        http.delete("/changes")
        studies = http.get("/studies").json()
        for study in rng.sample(studies, min(3, len(studies))):
            http.delete(f"/studies/{study}/metadata/ArticulaStatus")


def _two_at_once(site: Site, rng: random.Random) -> None:
    """Two other faults at one moment; not those that would take the same folder away from each other."""
    alone = {_two_at_once, _foreign_certificates}
    pair = rng.sample([each for each in usable_kinds() if each.strike not in alone], 2)
    strikes = [threading.Thread(target=each.strike, args=(site, random.Random(rng.random()))) for each in pair]
    for strike in strikes:
        strike.start()
    for strike in strikes:
        strike.join()


_TROUBLES: dict[str, Callable[[random.Random], Trouble]] = {
    "cut": lambda rng: Trouble(cut_after_bytes=rng.randint(1, 200_000)),
    "delay": lambda rng: Trouble(delay_seconds=rng.uniform(0.02, 0.3)),
    "stall": lambda _: Trouble(stall=True),
    "refuse": lambda _: Trouble(refuse=True),
}
_SERVERS = ("orthanc", "preprocessing", "triton")


def _of_processes() -> list[Kind]:
    at_orthanc = {name: name == "orthanc" for name in (*_SERVERS, "forwarder", "worker", "backend")}
    kinds = [Kind(f"kill {name}", _kill(name), 2, archive=archive) for name, archive in at_orthanc.items()]
    kinds += [Kind(f"freeze {name}", _freeze(name), archive=archive) for name, archive in at_orthanc.items()]
    kinds += [
        Kind(f"terminate {name}", _kill(name, signal.SIGTERM), archive=at_orthanc[name])
        for name in (*_SERVERS, "forwarder")
    ]
    kinds += [
        Kind(f"suspend {name} and its children", _freeze_family(name), needs="freezer", archive=at_orthanc[name])
        for name in _SERVERS
    ]
    kinds += [
        Kind(f"no descriptors for {name}", _starve(name), archive=at_orthanc[name])
        for name in ("orthanc", "forwarder", "preprocessing")
    ]
    return kinds


def _of_hops() -> list[Kind]:
    kinds = [Kind(f"{name} {hop}", _suffer(hop, trouble)) for name, trouble in _TROUBLES.items() for hop in HOPS]
    kinds += [Kind(f"reset {hop}", _reset(hop)) for hop in HOPS]
    kinds += [
        Kind(f"trickle {hop}", _suffer(hop, lambda _: Trouble(trickle_bytes=512))) for hop in ("analysis", "archive")
    ]
    kinds += [Kind(f"lose packets to {hop}", _lose(hop, 10, 30), needs="network") for hop in HOPS]
    kinds += [Kind(f"cut off {hop}", _lose(hop, 100, 100), needs="network") for hop in HOPS]
    return kinds


KINDS: tuple[Kind, ...] = (
    *_of_processes(),
    *_of_hops(),
    Kind("kill orthanc in its stable age", _kill_in_stable_age, 2, archive=True),
    Kind("kill triton again and again", _kill_again_and_again),
    Kind("forwarder outlives its orthanc", _zombie, archive=True),
    *(Kind(f"full disk: {disk}", _fill(disk), needs="disk", archive=disk == "archive") for disk in DISKS),
    Kind("clock goes forward", _step(1), needs="clock", archive=True),
    Kind("clock goes back", _step(-1), needs="clock", archive=True),
    Kind("lose the ledger", _lose_ledger),
    Kind("lose the spool", _lose_spool),
    Kind("lose the certificates", _lose_certificates),
    Kind("foreign certificates", _foreign_certificates),
    Kind("garbage to analysis", _garbage),
    Kind("erase what is shown", _erase_what_is_shown),
    Kind("two at once", _two_at_once, 3, archive=True),
)


def usable_kinds() -> tuple[Kind, ...]:
    """The kinds that this machine can strike with."""
    return tuple(kind for kind in KINDS if kind.needs not in namespace.missing())


def skipped_kinds() -> dict[str, str]:
    """The other ones, and why not."""
    missing = namespace.missing()
    return {kind.name: missing[kind.needs] for kind in KINDS if kind.needs in missing}
