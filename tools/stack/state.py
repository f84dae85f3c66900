"""What a running stack tells others: addresses and credentials, in one file that only its owner may read."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

STACK = Path("build/stack")
_PID_FILE = "supervisor.pid"


class AlreadyRunning(Exception):
    """Another supervisor has this folder."""


@dataclass(frozen=True)
class StackState:
    """A stack that is ready; ``pid`` is its supervisor, the metrics are URLs, empty where nobody serves them."""

    pid: int
    orthanc_url: str
    dicom_port: int
    aet: str
    user: str
    password: str
    analysis: str
    triton: str
    metrics: str = ""
    triton_metrics: str = ""
    forwarder_metrics: str = ""

    def write(self, folder: Path) -> None:
        """Write ``state.json``, whole or not at all."""
        part = folder / "state.json.part"
        part.touch(mode=0o600)
        part.write_text(json.dumps(asdict(self), indent=2))
        part.rename(folder / "state.json")

    @classmethod
    def read(cls, folder: Path) -> "StackState | None":
        """The state of the stack in this folder, None where none is running or it is not ready yet."""
        try:
            state = cls(**json.loads((folder / "state.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return state if is_supervisor(state.pid) else None


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold a folder for this process: two supervisors on one archive would destroy it. Raises ``AlreadyRunning``."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / _PID_FILE).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"a stack is already running in {folder}"
            raise AlreadyRunning(message) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def supervisor_pid(folder: Path) -> int | None:
    """Process id of the supervisor of this folder, ready or still starting; None where there is none."""
    if state := StackState.read(folder):
        return state.pid
    try:
        pid = int((folder / _PID_FILE).read_text())
    except (OSError, ValueError):
        return None
    return pid if is_supervisor(pid) else None


def is_supervisor(pid: int) -> bool:
    """Whether a process id belongs to a stack supervisor; ids are reused, so the command line is looked at."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        os.kill(pid, 0)
    except OSError:
        return False
    return b"tools.stack" in command
