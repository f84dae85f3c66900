"""What a machine does to all its processes: packets lost, disks full, clocks stepped, groups frozen, descriptors gone.

Each is a context manager: trouble while the body runs, none afterwards.
"""

import contextlib
import itertools
import os
import resource
import subprocess
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.namespace import FREEZER

_ALL = 100
_TRIES = 30


@contextmanager
def lost_packets(port: int, percent: int) -> Iterator[None]:
    """So many of the packets from and to a port of loopback vanish; 100 is a partition."""
    table = f"articula_faults_{port}"
    drop = "drop" if percent == _ALL else f"numgen random mod 100 < {percent} drop"
    rules = "\n".join(f"tcp {end} {port} {drop}" for end in ("dport", "sport"))
    chain = f"chain output {{\ntype filter hook output priority 0;\n{rules}\n}}"
    subprocess.run(["nft", "-f", "-"], input=f"table inet {table} {{\n{chain}\n}}\n", text=True, check=True)
    try:
        yield
    finally:
        subprocess.run(["nft", "delete", "table", "inet", table], check=True)


@contextmanager
def full_disk(mount: Path, size: str) -> Iterator[None]:
    """A tmpfs has room for nothing more than it holds; ``size`` is what it gets back."""
    _shrink(mount)
    try:
        yield
    finally:
        _resize(mount, size)


def _shrink(mount: Path) -> None:
    """Down to what is used: refused where more is used by then, so it is asked again."""
    for tries_left in reversed(range(_TRIES)):
        state = os.statvfs(mount)
        try:
            _resize(mount, str((state.f_blocks - state.f_bfree + 1) * state.f_bsize))
        except subprocess.CalledProcessError:
            if not tries_left:
                raise
        else:
            return


def small_disk(mount: Path, size: str) -> None:
    """Mount a tmpfs, for ``full_disk`` to fill."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "faults", str(mount)], check=True)


def _resize(mount: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(mount)], check=True, capture_output=True)


@contextmanager
def stepped_clock(clock: Path, seconds: int) -> Iterator[None]:
    """The wall clock of all who follow the file is wrong by so much, and then right again: two steps."""
    set_clock(clock, seconds)
    try:
        yield
    finally:
        set_clock(clock, 0)


def set_clock(clock: Path, seconds: int) -> None:
    """Offset of the wall clock."""
    write_whole(clock, f"{seconds:+d}\n")


def write_whole(path: Path, text: str) -> None:
    """Replace a file in one step, because it is read at any moment."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(path)


@contextmanager
def frozen(pids: Collection[int]) -> Iterator[None]:
    """All these processes, and what they start, stand still at one moment, as on a machine that is suspended."""
    group = FREEZER / f"articula-faults-{uuid.uuid4().hex[:8]}"
    group.mkdir()
    try:
        _move(pids, group)
        (group / "freezer.state").write_text("FROZEN")
        yield
    finally:
        (group / "freezer.state").write_text("THAWED")
        _move([int(pid) for pid in (group / "cgroup.procs").read_text().split()], FREEZER)
        group.rmdir()


def _move(pids: Collection[int], group: Path) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):  # it has ended meanwhile
            (group / "cgroup.procs").write_text(str(pid))


@contextmanager
def without_descriptors(pid: int) -> Iterator[None]:
    """The process can open nothing more than it has open."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    open_now = {int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir()}
    lowest_free = next(number for number in itertools.count() if number not in open_now)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
