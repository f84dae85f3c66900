"""``python -m tools.stack up | down | status | run``: Orthanc, preprocessing and Triton on one machine."""

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tools.stack.state import STACK, StackState
from tools.stack.supervisor import ensure_running, run, stop_running

console = Console()


def main() -> int:
    """Do what the word says."""
    parser = argparse.ArgumentParser(prog="python -m tools.stack", description=__doc__)
    parser.add_argument("action", choices=("up", "down", "status", "run"))
    parser.add_argument("--folder", type=Path, default=STACK, help="where the stack keeps its state and logs")
    options = parser.parse_args()
    match options.action:
        case "run":
            return run(options.folder)
        case "up":
            show(ensure_running(options.folder))
        case "down":
            console.print("Stopped." if stop_running(options.folder) else "Nothing was running.")
        case _:
            state = StackState.read(options.folder)
            if state is None:
                console.print("Nothing is running. Start it with: make up")
                return 1
            show(state)
    return 0


def show(state: StackState) -> None:
    """Print where to find things."""
    table = Table(show_header=False)
    table.add_row("Orthanc", f"{state.orthanc_url}/app/explorer.html")
    table.add_row("Log in", f"user {state.user}, password {state.password}")
    table.add_row("C-STORE", f"dcmsend 127.0.0.1 {state.dicom_port} -aec {state.aet} +sd +r <folder>")
    table.add_row("Stop", "make down")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
