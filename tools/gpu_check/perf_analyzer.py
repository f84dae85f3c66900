"""NVIDIA's own meter for single models, where it is installed: the numbers that others can repeat."""

import base64
import csv
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from services.common.tensors import ModelContract
from tools.build_engines.accuracy import Arrays
from tools.gpu_check.load import Callers, Load, executions, members_at_once, volumes_in

_PROGRAM = "perf_analyzer"
_ANY_STABILITY = "999"  # per cent; else a shared machine ends in no number at all
_WINDOWS = "3"


class PerfAnalyzerFailed(Exception):
    """It ended with an error; the message is its last line."""


def installed() -> bool:
    """Whether ``perf_analyzer`` is on PATH."""
    return shutil.which(_PROGRAM) is not None


def of_model(target: str, contract: ModelContract, inputs: Arrays, *, callers: Callers, seconds: float) -> Load:
    """Load one model with perf_analyzer; raises ``PerfAnalyzerFailed``."""
    before = executions(target, (contract,))
    with tempfile.TemporaryDirectory() as folder:
        data, table = Path(folder) / "data.json", Path(folder) / "table.csv"
        data.write_text(json.dumps({"data": [{name: _encoded(array) for name, array in inputs.items()}]}))
        ended = subprocess.run(
            [
                *(_PROGRAM, "-m", contract.name, "-u", target, "-i", "grpc", "-b", str(callers.batch)),
                *("--concurrency-range", str(callers.concurrency), "--input-data", str(data)),
                *("--measurement-interval", str(int(1000 * seconds)), "-s", _ANY_STABILITY, "-r", _WINDOWS),
                *("--percentile=95", "-f", str(table)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode or not table.exists():
            raise PerfAnalyzerFailed((ended.stderr or ended.stdout).strip().rpartition("\n")[2])
        text = table.read_text()
    merged = members_at_once(before, executions(target, (contract,)))
    return row(text, contract, callers, merged=merged)


def row(text: str, contract: ModelContract, callers: Callers, *, merged: float | None) -> Load:
    """A row from perf_analyzer's table, which has microseconds and counts inferences, not requests."""
    (found,) = csv.DictReader(text.splitlines())
    p50, p95, p99 = (float(found[f"p{quantile} latency"]) / 1000 for quantile in (50, 95, 99))
    return Load(
        model=contract.name,
        concurrency=callers.concurrency,
        batch=callers.batch,
        requests=None,
        failures=0,  # it ends with an error at the first one
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        volumes_per_second=float(found["Inferences/Second"]) * volumes_in(contract),
        merged=merged,
        client_cpus=None,
        meter=_PROGRAM,
    )


def _encoded(array: NDArray[Any]) -> dict[str, object]:
    return {"b64": base64.b64encode(array.tobytes()).decode(), "shape": list(array.shape)}
