"""A stack seen from outside its supervisor: started in the background, waited for, stopped."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from rich.console import Console

from tools.stack.orthanc_config import ROOT
from tools.stack.process import StartFailed
from tools.stack.state import STACK, StackState, is_supervisor, supervisor_pid

_UP_SECONDS = 300.0
_DOWN_SECONDS = 120.0  # a little more than all graces together

console = Console()


def ensure_running(folder: Path = STACK) -> StackState:
    """The state of the stack in ``folder``, started where it is not running; exits with a sentence where it can't."""
    if state := StackState.read(folder):
        return state
    pid = supervisor_pid(folder) or _start(folder).pid
    with console.status("Starting Triton, preprocessing and Orthanc"):
        state = _wait_ready(folder, partial(is_supervisor, pid))
    if state is None:
        console.print(f"[red]The stack did not start.[/] The last lines of {folder / 'logs' / 'supervisor.log'}:")
        console.print("\n".join((folder / "logs" / "supervisor.log").read_text().splitlines()[-5:]), highlight=False)
        raise SystemExit(1)
    return state


def stop_running(folder: Path = STACK) -> bool:
    """Stop the stack in ``folder``, also one that is still starting; False where there is none."""
    pid = supervisor_pid(folder)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _DOWN_SECONDS
    while is_supervisor(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    if is_supervisor(pid):
        os.kill(pid, signal.SIGKILL)  # its guard then ends what is left
    return True


@contextmanager
def running_stack(folder: Path) -> Iterator[StackState]:
    """A stack of its own for the body, on free ports; gone afterwards, and also when this process is killed."""
    process = _start(folder, "--free-ports", "--attached", stdin=subprocess.PIPE)
    try:
        state = _wait_ready(folder, lambda: process.poll() is None)
        if state is None:
            logs = sorted((folder / "logs").glob("*.log"))
            message = "\n".join(f"== {log.name}\n{log.read_text(errors='replace')[-2000:]}" for log in logs)
            raise StartFailed(message)
        yield state
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_DOWN_SECONDS)
        process.kill()
        process.communicate()


def _start(folder: Path, *options: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    with (folder / "logs" / "supervisor.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tools.stack", "run", "--folder", str(folder.resolve()), *options],
            cwd=ROOT,
            stdin=stdin,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _wait_ready(folder: Path, alive: Callable[[], bool]) -> StackState | None:
    deadline = time.monotonic() + _UP_SECONDS
    while alive() and time.monotonic() < deadline:
        if state := StackState.read(folder):
            return state
        time.sleep(0.2)
    return None
