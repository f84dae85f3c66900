"""``python -m tools.drill``: lose the whole machine on purpose, restore it, and count the results.

A stack of its own on free ports under ``build/drill``: some studies are analysed, backed up, and more arrive; then
everything is killed and deleted. After the restore, and after the later studies were sent again, every study must have
exactly one result set, object for object the one it had before. Exit status 1 where not.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tools.demo.orthanc import Orthanc
from tools.demo.send import dcmsend, study_of
from tools.drill.backup import restore, save
from tools.drill.results import ResultSet, differences, result_sets, wait_final
from tools.phantom.study import write_study
from tools.stack.control import running_stack
from tools.stack.state import StackState

OUT = Path("build/drill")
_STUDY_SECONDS = 120.0
_GONE_SECONDS = 20.0

console = Console()


def main() -> int:
    """Run the drill and write ``report.json``."""
    parser = argparse.ArgumentParser(prog="python -m tools.drill", description=__doc__)
    parser.add_argument("--studies", type=int, default=4, help="studies before the backup; half as many come after it")
    options = parser.parse_args()
    shutil.rmtree(OUT, ignore_errors=True)
    report = drill(OUT, options.studies)
    (OUT / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    console.print_json(data=report)
    return 1 if report["wrong"] else 0


def drill(out: Path, count: int) -> dict[str, object]:
    """Analyse, back up, destroy, restore, send again, compare; returns the report."""
    stack, backup = out / "stack", out / "backup.tar"
    early = [_study(out, seed) for seed in range(count)]
    late = [_study(out, count + seed) for seed in range(max(1, count // 2))]
    with running_stack(stack) as state:
        before = _analyse(state, early)
    started = time.monotonic()
    save(stack, backup)
    seconds = {"back up": time.monotonic() - started}
    with running_stack(stack) as state:
        before |= _analyse(state, late)
        console.print("Killing everything and deleting the archive and the ledger")
        os.kill(state.pid, signal.SIGKILL)
    time.sleep(_GONE_SECONDS / 2)  # the guard ends what the killed supervisor left
    shutil.rmtree(stack)
    started = time.monotonic()
    restore(backup, stack)
    seconds["restore"] = time.monotonic() - started
    started = time.monotonic()
    with running_stack(stack) as state:
        seconds["start"] = time.monotonic() - started
        restored = result_sets(Orthanc(state))
        early_before = {uid: before[uid] for uid in restored}
        wrong = [] if len(restored) == len(early) else [f"{len(restored)} of {len(early)} studies were restored"]
        wrong += differences(early_before, restored)
        wrong += differences(before, _analyse(state, [*early, *late]))
    return {
        "studies_backed_up": len(early),
        "studies_sent_again": len(late),
        "backup_bytes": backup.stat().st_size,
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "wrong": wrong,
    }


def _study(out: Path, seed: int) -> Path:
    folder = out / "studies" / str(seed)
    write_study(folder, seed, ("ACL",) if seed % 2 else ())
    return folder


def _analyse(state: StackState, folders: Sequence[Path]) -> dict[str, ResultSet]:
    """Send studies by C-STORE and wait for them; all result sets of the archive."""
    orthanc = Orthanc(state)
    for folder in folders:
        dcmsend(folder, state)
    uids = [uid for folder in folders if (uid := study_of(folder))]
    states = wait_final(orthanc, uids, seconds=_STUDY_SECONDS * len(uids))
    console.print(f"{len(uids)} studies: {', '.join(sorted(str(each) for each in states.values()))}")
    return result_sets(orthanc)


if __name__ == "__main__":
    sys.exit(main())
