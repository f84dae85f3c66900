"""A process that is started again whenever it ends, within a fraction of a second, as systemd or Kubernetes would."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tools.stack import probes


@dataclass
class Minded:
    """One such process and its log."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    prepare: Callable[[], None]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    extra: Mapping[str, str] = field(default_factory=dict)  # environment of the next starts, over the usual one

    def start(self) -> None:
        """Start it, in a group of its own."""
        self.prepare()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env={**self.environment, **self.extra},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.starts += 1

    @property
    def broken(self) -> bool:
        """Whether it ended, or, as Triton does, lives on with a dead backend process."""
        if self.process is None:
            return False
        return self.process.poll() is not None or (self.name == "triton" and probes.has_dead_child(self.process.pid))

    def kill_group(self) -> None:
        """End it and everything it started."""
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
