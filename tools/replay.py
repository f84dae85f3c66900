"""Studies that were set aside, and another analysis for them: ``python -m tools.replay [--again ID ... | --all]``.

Without a choice it lists what failed, with its code and advice. It asks the running stack unless told another Orthanc;
then the password comes from the environment variable ORTHANC_PASSWORD. No name of a patient is asked for or shown.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from services.orthanc_plugin.site import OWN_HEADER
from tools.stack.state import STACK, StackState

STATES = ("failed", "no_result")
_SECONDS = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    """List or replay; exit status 1 where Orthanc or the forwarder does not answer."""
    options = _parser().parse_args(arguments)
    console = Console()
    with _session(options) as orthanc:
        try:
            found = set_aside(orthanc, options.state)
            wanted = [each["id"] for each in found] if options.all else options.again
            for study in wanted:
                orthanc.post(f"/articula/api/studies/{study}/retry", headers={OWN_HEADER: "1"}).raise_for_status()
        except httpx.HTTPError as error:
            console.print(f"Orthanc or its forwarder does not answer: {error}")
            return 1
    if wanted:
        console.print(f"{len(wanted)} studies are analysed again.")
    else:
        console.print(_table(found))
    return 0


def set_aside(orthanc: httpx.Client, state: str) -> list[dict[str, Any]]:
    """The worklist's studies in this state; raises ``httpx.HTTPError``."""
    worklist = orthanc.get("/articula/api/worklist").raise_for_status().json()
    return [each for each in worklist["studies"] if each["status"]["state"] == state]


def _table(studies: Iterable[dict[str, Any]]) -> Table:
    table = Table("study", "date", "description", "code", "attempts", "advice")
    for each in studies:
        status = each["status"]
        table.add_row(
            each["id"], each["date"], each["description"], status["code"], str(status["attempts"]), status["advice"]
        )
    return table


def _session(options: argparse.Namespace) -> httpx.Client:
    if options.orthanc:
        url, user, password = options.orthanc, options.user, os.environ.get("ORTHANC_PASSWORD", "")
    else:
        state = StackState.read(options.folder)
        if state is None:
            sys.exit("Nothing is running. Start it with make up, or name an Orthanc with --orthanc.")
        url, user, password = state.orthanc_url, state.user, state.password
    return httpx.Client(base_url=url, auth=(user, password), timeout=_SECONDS, trust_env=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.replay", description=__doc__)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--again", nargs="+", default=[], metavar="ID", help="studies by the id that the list shows")
    choice.add_argument("--all", action="store_true", help="everything in the list")
    parser.add_argument("--state", choices=STATES, default=STATES[0], help="what is listed")
    parser.add_argument("--orthanc", help="address of another Orthanc than the running stack's")
    parser.add_argument("--user", default="", help="its user")
    parser.add_argument("--folder", type=Path, default=STACK, help="where the stack keeps its state")
    return parser


if __name__ == "__main__":
    sys.exit(main())
