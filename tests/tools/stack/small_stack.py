"""A supervisor of small real processes, run by tests as a process of its own: ``small_stack.py <folder> [options]``.

Each service writes its name to ``journal`` when it starts and when it stops; the stubborn one ignores SIGTERM, and so
does the child it starts.
"""

import asyncio
import os
import sys
from pathlib import Path

from tools.stack.plan import Plan
from tools.stack.process import Service
from tools.stack.state import StackState
from tools.stack.supervisor import supervise

POLITE = """
import os, pathlib, signal, sys, time
name, journal, flag = sys.argv[1:]
def note(word):
    with open(journal, "a") as file:
        file.write(f"{word} {name} {os.getpid()}\\n")
def stop(*_):
    note("stopped")
    raise SystemExit
signal.signal(signal.SIGTERM, stop)
note("started")
pathlib.Path(flag).touch()
time.sleep(600)
"""
STUBBORN = POLITE.replace("time.sleep(600)", "os.fork(); note('stubborn'); time.sleep(600)").replace(
    "signal.SIGTERM, stop", "signal.SIGTERM, signal.SIG_IGN"
)


def service(folder: Path, name: str, program: str = POLITE) -> Service:
    """Ready once its flag is there."""
    flag = folder / name
    command = [sys.executable, "-c", program, name, str(folder / "journal"), str(flag)]
    return Service(name, command, dict(os.environ), ready=flag.exists, grace_seconds=0.5)


def main() -> None:
    """Supervise until told to stop."""
    folder = Path(sys.argv[1])
    (folder / "logs").mkdir()
    services = (service(folder, "first"), service(folder, "second"), service(folder, "third", STUBBORN))
    state = StackState(os.getpid(), "http://127.0.0.1", 1, "AET", "user", "password", "", "")
    asyncio.run(supervise(Plan(services, state), folder, attached="--attached" in sys.argv))


if __name__ == "__main__":
    main()
