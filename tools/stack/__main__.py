"""``python -m tools.stack up | down | status | run``: Orthanc, preprocessing and Triton on one machine."""

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tools.stack import probes
from tools.stack.control import ensure_running, stop_running
from tools.stack.state import STACK, StackState, supervisor_pid
from tools.stack.supervisor import run

console = Console()


def main() -> int:
    """Do what the word says."""
    parser = argparse.ArgumentParser(prog="python -m tools.stack", description=__doc__)
    parser.add_argument("action", choices=("up", "down", "status", "run"))
    parser.add_argument("--folder", type=Path, default=STACK, help="where the stack keeps its state and logs")
    parser.add_argument("--free-ports", action="store_true", help="run: take any free ports instead of the usual ones")
    parser.add_argument("--attached", action="store_true", help="run: stop when standard input ends")
    options = parser.parse_args()
    match options.action:
        case "run":
            return run(options.folder, usual_ports=not options.free_ports, attached=options.attached)
        case "up":
            console.print(links(ensure_running(options.folder)))
        case "down":
            console.print("Stopped." if stop_running(options.folder) else "Nothing was running.")
        case _:
            return show_status(options.folder)
    return 0


def show_status(folder: Path) -> int:
    """Ask every service as its users do; 0 only when all of them answer rightly."""
    state = StackState.read(folder)
    if state is None:
        starting = supervisor_pid(folder) is not None
        console.print("Still starting." if starting else "Nothing is running. Start it with: make up")
        return 1
    answers = {
        "Orthanc": probes.orthanc_ready(state.orthanc_url, state.user, state.password),
        "preprocessing": probes.analysis_ready(state.analysis),
        "Triton": probes.triton_ready(state.triton),
    }
    table = Table("service", "state", "log")
    for name, works in answers.items():
        log = folder / "logs" / f"{name.lower()}.log"
        table.add_row(name, "[green]works[/]" if works else "[red]does not answer rightly[/]", str(log))
    console.print(table, links(state))
    return 0 if all(answers.values()) else 1


def links(state: StackState) -> Table:
    """Where to find things."""
    table = Table(show_header=False)
    table.add_row("Worklist", f"{state.orthanc_url}/articula/")
    table.add_row("Orthanc", f"{state.orthanc_url}/app/explorer.html")
    table.add_row("Log in", f"user {state.user}, password {state.password}")
    table.add_row("C-STORE", f"dcmsend 127.0.0.1 {state.dicom_port} -aec {state.aet} +sd +r <folder>")
    table.add_row("Metrics", f"{state.metrics}\n{state.forwarder_metrics}\n{state.triton_metrics}")
    table.add_row("Stop", "make down")
    return table


if __name__ == "__main__":
    sys.exit(main())
