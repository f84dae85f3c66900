"""Ends what a supervisor started when the supervisor itself is killed, so that no process is ever left behind.

A child that only hears of its parent's death may ignore it or hang, and its own children hear nothing. So a small
process outside the supervisor's session knows every process group; when its input ends, because the supervisor closed
it or died, the groups that are left get SIGTERM and, after a grace, SIGKILL.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Self

GRACE_SECONDS = 5.0


class Guard:
    """The supervisor's side; a context manager."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve())],
            stdin=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._input.close()
        self._process.wait()

    def watch(self, group: int) -> None:
        """End this process group with the supervisor."""
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """The group is gone; its number may soon be somebody else's."""
        self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # somebody ended the guard; supervising goes on without
            self._input.write(line)

    @property
    def _input(self) -> IO[str]:
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        return self._process.stdin


def main() -> None:
    """Keep the list until the input ends, then end the groups on it."""
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, signal.SIG_IGN)  # only the end of the input counts
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    end_groups(groups)


def end_groups(groups: Iterable[int]) -> None:
    """SIGTERM to all, SIGKILL to those still there after the grace."""
    left = {group for group in groups if _send(group, signal.SIGTERM)}
    deadline = time.monotonic() + GRACE_SECONDS
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = {group for group in left if _send(group, 0)}
    for group in left:
        _send(group, signal.SIGKILL)


def _send(group: int, signal_number: int) -> bool:
    """Whether the group was there to be signalled."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal_number)
        return True
    return False


if __name__ == "__main__":
    main()
