"""All services of one machine: started in order, each really ready before the next, kept alive, stopped in reverse."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from services.common.server import until_stopped
from tools.stack.orthanc_config import ROOT
from tools.stack.plan import Plan, make_plan
from tools.stack.process import StartFailed, Supervised
from tools.stack.state import STACK, StackState, is_supervisor

_UP_SECONDS = 300.0
_DOWN_SECONDS = 90.0

console = Console()


async def supervise(plan: Plan, folder: Path) -> None:
    """Run a plan until SIGTERM or Ctrl-C; publishes the state once everything is ready."""
    supervised = [Supervised(service, folder / "logs") for service in plan.services]
    stopped = asyncio.create_task(until_stopped())
    started: list[Supervised] = []
    keepers: list[asyncio.Task[None]] = []
    try:
        for each in supervised:
            console.print(f"starting {each.service.name}")
            started.append(each)
            start = asyncio.create_task(each.start())
            await asyncio.wait({start, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if stopped.done():
                start.cancel()
                return
            start.result()
        plan.state.write(folder)
        console.print(f"ready: {plan.state.orthanc_url}")
        keepers = [asyncio.create_task(each.keep_alive()) for each in started]
        await stopped
    finally:
        (folder / "state.json").unlink(missing_ok=True)
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        for each in reversed(started):
            console.print(f"stopping {each.service.name}")
            await each.stop()


def run(folder: Path = STACK) -> int:
    """Supervise in the foreground."""
    try:
        asyncio.run(supervise(make_plan(folder), folder))
    except StartFailed as error:
        console.print(f"[red]{error}[/]")
        return 1
    return 0


def ensure_running(folder: Path = STACK) -> StackState:
    """The state of the stack in ``folder``, started where it is not running; exits with a sentence where it can't."""
    if state := StackState.read(folder):
        return state
    process = _detach(folder)
    with console.status("Starting Triton, preprocessing and Orthanc"):
        state = _wait_ready(process, folder)
    if state is None:
        console.print(f"[red]The stack did not start.[/] The last lines of {folder / 'logs' / 'supervisor.log'}:")
        console.print("\n".join((folder / "logs" / "supervisor.log").read_text().splitlines()[-5:]), highlight=False)
        raise SystemExit(1)
    return state


def stop_running(folder: Path = STACK) -> bool:
    """Stop the stack in ``folder``; False where none was running."""
    state = StackState.read(folder)
    if state is None:
        return False
    os.kill(state.pid, signal.SIGTERM)
    deadline = time.monotonic() + _DOWN_SECONDS
    while is_supervisor(state.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    return True


@contextmanager
def running_stack(folder: Path) -> Iterator[StackState]:
    """A stack of its own for the body, for tests; stopped and gone afterwards."""
    process = _detach(folder)
    try:
        state = _wait_ready(process, folder)
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


def _detach(folder: Path) -> subprocess.Popen[bytes]:
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    with (folder / "logs" / "supervisor.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tools.stack", "run", "--folder", str(folder.resolve())],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _wait_ready(process: subprocess.Popen[bytes], folder: Path) -> StackState | None:
    deadline = time.monotonic() + _UP_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if state := StackState.read(folder):
            return state
        time.sleep(0.2)
    return None
