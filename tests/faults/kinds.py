"""The kinds of fault, by name: what is drawn from, and what this machine can't do."""

import random
import signal
import threading
from dataclasses import dataclass

from tests.faults import namespace, strikes
from tests.faults.layout import DISKS, HOPS
from tests.faults.proxy import Trouble
from tests.faults.site import Site
from tests.faults.strikes import TROUBLES, Strike


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


def _two_at_once(site: Site, rng: random.Random) -> None:
    """Two other faults at one moment; not those that would take the same folder away from each other."""
    alone = {_two_at_once, strikes.foreign_certificates}
    pair = rng.sample([each for each in usable_kinds() if each.strike not in alone], 2)
    both = [threading.Thread(target=each.strike, args=(site, random.Random(rng.random()))) for each in pair]
    for strike in both:
        strike.start()
    for strike in both:
        strike.join()


_SERVERS = ("orthanc", "preprocessing", "triton")


def _of_processes() -> list[Kind]:
    at_orthanc = {name: name == "orthanc" for name in (*_SERVERS, "forwarder", "worker", "backend")}
    kinds = [Kind(f"kill {name}", strikes.kill(name), 2, archive=archive) for name, archive in at_orthanc.items()]
    kinds += [Kind(f"freeze {name}", strikes.freeze(name), archive=archive) for name, archive in at_orthanc.items()]
    kinds += [
        Kind(f"terminate {name}", strikes.kill(name, signal.SIGTERM), archive=at_orthanc[name])
        for name in (*_SERVERS, "forwarder")
    ]
    kinds += [
        Kind(f"suspend {name} and its children", strikes.freeze_family(name), needs="freezer", archive=at_orthanc[name])
        for name in _SERVERS
    ]
    kinds += [
        Kind(f"no descriptors for {name}", strikes.starve(name), archive=at_orthanc[name])
        for name in ("orthanc", "forwarder", "preprocessing")
    ]
    return kinds


def _of_hops() -> list[Kind]:
    kinds = [Kind(f"{name} {hop}", strikes.suffer(hop, trouble)) for name, trouble in TROUBLES.items() for hop in HOPS]
    kinds += [Kind(f"reset {hop}", strikes.reset(hop)) for hop in HOPS]
    kinds += [
        Kind(f"trickle {hop}", strikes.suffer(hop, lambda _: Trouble(trickle_bytes=512)))
        for hop in ("analysis", "archive")
    ]
    kinds += [Kind(f"lose packets to {hop}", strikes.lose(hop, 10, 30), needs="network") for hop in HOPS]
    kinds += [Kind(f"cut off {hop}", strikes.lose(hop, 100, 100), needs="network") for hop in HOPS]
    return kinds


KINDS: tuple[Kind, ...] = (
    *_of_processes(),
    *_of_hops(),
    Kind("kill orthanc in its stable age", strikes.kill_in_stable_age, 2, archive=True),
    Kind("kill triton again and again", strikes.kill_again_and_again),
    Kind("forwarder outlives its orthanc", strikes.zombie, archive=True),
    *(Kind(f"full disk: {disk}", strikes.fill(disk), needs="disk", archive=disk == "archive") for disk in DISKS),
    Kind("clock goes forward", strikes.step(1), needs="clock", archive=True),
    Kind("clock goes back", strikes.step(-1), needs="clock", archive=True),
    Kind("lose the ledger", strikes.lose_ledger),
    Kind("lose the spool", strikes.lose_spool),
    Kind("lose the certificates", strikes.lose_certificates),
    Kind("foreign certificates", strikes.foreign_certificates),
    Kind("garbage to analysis", strikes.garbage),
    Kind("erase what is shown", strikes.erase_what_is_shown),
    Kind("two at once", _two_at_once, 3, archive=True),
)


def usable_kinds() -> tuple[Kind, ...]:
    """The kinds that this machine can strike with."""
    return tuple(kind for kind in KINDS if kind.needs not in namespace.missing())


def skipped_kinds() -> dict[str, str]:
    """The other ones, and why not."""
    missing = namespace.missing()
    return {kind.name: missing[kind.needs] for kind in KINDS if kind.needs in missing}
