"""All services of one machine: started in order, each really ready before the next, kept alive, stopped in reverse."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from services.common.server import until_stopped
from tools.stack.guard import Guard
from tools.stack.plan import Plan, make_plan
from tools.stack.process import StartFailed, Supervised
from tools.stack.state import AlreadyRunning, claimed

console = Console()


def run(folder: Path, *, usual_ports: bool = True, attached: bool = False) -> int:
    """Supervise in the foreground until SIGTERM or Ctrl-C; ``attached``: also until standard input ends."""
    try:
        with claimed(folder):
            asyncio.run(supervise(make_plan(folder, usual_ports=usual_ports), folder, attached=attached))
    except (StartFailed, AlreadyRunning) as error:
        console.print(f"[red]{error}[/]")
        return 1
    return 0


async def supervise(plan: Plan, folder: Path, *, attached: bool = False) -> None:
    """Run a plan until told to stop; publishes the state once everything is ready. Raises ``StartFailed``."""
    with Guard() as guard:
        supervised = [Supervised(service, folder / "logs", guard) for service in plan.services]
        told = asyncio.create_task(_until_told(attached=attached))
        work = asyncio.create_task(_start_and_keep(supervised, plan, folder))
        try:
            await asyncio.wait({work, told}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            (folder / "state.json").unlink(missing_ok=True)
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await _stop(supervised)
            told.cancel()


async def _start_and_keep(supervised: Sequence[Supervised], plan: Plan, folder: Path) -> None:
    for each in supervised:
        console.print(f"starting {each.service.name}")
        await each.start()
    plan.state.write(folder)
    console.print(f"ready: {plan.state.orthanc_url}")
    async with asyncio.TaskGroup() as keepers:
        for each in supervised:
            keepers.create_task(each.keep_alive())


async def _stop(supervised: Sequence[Supervised]) -> None:
    for each in reversed(supervised):
        console.print(f"stopping {each.service.name}")
        await each.stop()


async def _until_told(*, attached: bool) -> None:
    """Return at the first signal, or when whoever holds the other end of standard input is gone."""
    signals = asyncio.create_task(until_stopped())
    ended = asyncio.Event()
    if attached:
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    try:
        await asyncio.wait({signals, asyncio.create_task(ended.wait())}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if attached:
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
