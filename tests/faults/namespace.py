"""A private machine for the harness: its own loopback network, mounts and processes, gone with it.

Packets are lost and disks filled for real, and nothing of it reaches the machine around. Needs root; elsewhere the
campaign runs as it is and leaves out the faults that need this.
"""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

_MARK = "FAULTS_NAMESPACE"
_ENTER = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--")
_FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
FREEZER = Path("/sys/fs/cgroup/freezer")


def enter() -> None:
    """Start this very command again inside, where that is possible; returns where it is not, or is done."""
    if os.environ.get(_MARK) or not _possible():
        return
    environment = {**os.environ, _MARK: "yes"}
    command = [*_ENTER, sys.executable, *sys.orig_argv[1:]]
    os.execvpe(command[0], command, environment)  # noqa: S606 - our own command line


def prepare() -> None:
    """Inside, and once: the loopback network is down in a new namespace, and shared memory would outlive it."""
    if "network" not in missing():
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    if "disk" not in missing():
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "faults", "/dev/shm"], check=True)  # noqa: S108


def _possible() -> bool:
    try:
        return subprocess.run([*_ENTER, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@functools.cache
def missing() -> dict[str, str]:
    """What can't be broken on this machine, and why."""
    found = {}
    inside = bool(os.environ.get(_MARK))
    if not inside or not shutil.which("nft") or not shutil.which("ip"):
        found["network"] = "a network namespace needs root, nftables and iproute2"
    if not inside:
        found["disk"] = "a private mount needs root"
    if not _FAKETIME:
        found["clock"] = "libfaketime is not installed"
    if not os.access(FREEZER, os.W_OK):
        found["freezer"] = "no writable freezer control group"
    return found


def faketime(clock: Path) -> dict[str, str]:
    """Environment of a process whose wall clock follows the file ``clock``; nothing where that can't be."""
    if "clock" in missing():
        return {}
    return {
        "LD_PRELOAD": str(_FAKETIME[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
