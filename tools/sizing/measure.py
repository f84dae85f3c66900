"""What one study costs each service in CPU-seconds: a real stack, synthetic studies, processor time from the kernel."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psutil

from tools.demo.orthanc import Orthanc
from tools.demo.send import dcmsend, study_of
from tools.drill.results import wait_final
from tools.phantom.study import write_study
from tools.sizing.demand import Measured
from tools.stack.control import running_stack
from tools.stack.state import StackState

_STUDY_SECONDS = 120.0
_WORDS = {"Orthanc": "orthanc", "services.preprocessing": "preprocessing", "tritonserver": "triton"}


def measure(count: int) -> Measured:
    """Mean over ``count`` studies after one that warms everything up."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        studies = [folder / str(seed) for seed in range(count + 1)]
        for seed, place in enumerate(studies):
            write_study(place, 100 + seed, ("ACL",) if seed % 2 else ())
        with running_stack(folder / "stack") as state:
            _analyse(state, studies[:1])
            before = _spent(state)
            _analyse(state, studies[1:])
            after = _spent(state)
    return replace(
        after,
        orthanc=(after.orthanc - before.orthanc) / count,
        preprocessing=(after.preprocessing - before.preprocessing) / count,
        triton_cpu=(after.triton_cpu - before.triton_cpu) / count,
    )


def _analyse(state: StackState, folders: Sequence[Path]) -> None:
    for folder in folders:
        dcmsend(folder, state)
    uids = [uid for folder in folders if (uid := study_of(folder))]
    wait_final(Orthanc(state), uids, seconds=_STUDY_SECONDS * len(uids))


def _spent(state: StackState) -> Measured:
    """CPU-seconds so far; Orthanc's include the forwarder, which is its child."""
    seconds = {"orthanc": 0.0, "preprocessing": 0.0, "triton": 0.0}
    for child in psutil.Process(state.pid).children():
        line = " ".join(child.cmdline())
        for word, name in _WORDS.items():
            if word in line:
                seconds[name] += sum(map(_tree_seconds, [child, *child.children(recursive=True)]))
                break
    return Measured(seconds["orthanc"], seconds["preprocessing"], seconds["triton"])


def _tree_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
