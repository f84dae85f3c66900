"""What a running stack tells others: addresses and credentials, in one file that only its owner may read."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

STACK = Path("build/stack")


@dataclass(frozen=True)
class StackState:
    """A stack that is ready; ``pid`` is its supervisor."""

    pid: int
    orthanc_url: str
    dicom_port: int
    aet: str
    user: str
    password: str
    analysis: str
    triton: str

    def write(self, folder: Path) -> None:
        """Write ``state.json``, whole or not at all."""
        part = folder / "state.json.part"
        part.touch(mode=0o600)
        part.write_text(json.dumps(asdict(self), indent=2))
        part.rename(folder / "state.json")

    @classmethod
    def read(cls, folder: Path) -> "StackState | None":
        """The state of the stack in this folder, None where none is running."""
        try:
            state = cls(**json.loads((folder / "state.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return state if is_supervisor(state.pid) else None


def is_supervisor(pid: int) -> bool:
    """Whether a process id belongs to a stack supervisor; ids are reused, so the command line is looked at."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        os.kill(pid, 0)
    except OSError:
        return False
    return b"tools.stack" in command
