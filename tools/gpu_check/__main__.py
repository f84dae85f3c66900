"""``make gpu-check``: build the engines on this GPU, hold their answers against ONNX Runtime, load and drain Triton.

Writes ``build/gpu/report.json`` and ``report.md``. Exit status 0: everything passed. 1: something did not, and the
report says what. 3: this machine lacks something, and one line says what. ``--profile cpu`` proves the check itself
on a machine without a GPU: the same steps, with the models on processors and no engine to build.
"""

import argparse
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from tritonclient.utils import InferenceServerException

from services.common.errors import ArticulaError
from services.common.tensors import MODELS
from tools.build_engines.__main__ import CACHE, obtain
from tools.build_engines.device import device
from tools.build_engines.engines import BATCHES, GpuMismatch, GraphRefused, runtime
from tools.build_engines.published import Build, EngineMismatch, read_engines
from tools.gpu_check import load, perf_analyzer
from tools.gpu_check.drain import drain
from tools.gpu_check.knees import Knee, knees
from tools.gpu_check.parity import parity
from tools.gpu_check.report import Engine, Report, write
from tools.gpu_check.serving import Server, TritonNotReady, has_wheel, serving, triton_home
from tools.model_repository.generate import write as write_repository
from tools.model_repository.profiles import PROFILES
from tools.pin_models import REPOSITORY

MISSING = 3
OUT = Path("build/gpu")
# what a machine or a model may do wrong; anything else is a defect of this program and keeps its traceback
BROKEN = (
    *(ArticulaError, EngineMismatch, GpuMismatch, GraphRefused, InferenceServerException, TritonNotReady),
    *(perf_analyzer.PerfAnalyzerFailed, httpx.HTTPError, OSError),
)
console = Console()


def main() -> int:
    """Run all steps and write the report, or say in one line why not."""
    options = _options()
    if lacking := missing(options.profile):
        print(f"GPU check: this machine has no {', no '.join(lacking)}. See docs/gpu.md.", file=sys.stderr)
        return MISSING
    try:
        report = check(options)
    except BROKEN as error:
        print(f"GPU check: {error}", file=sys.stderr)
        return 1
    write(report, options.out)
    for problem in report.problems:
        console.print(f"[red]failed[/]: {problem}")
    console.print(f"{options.out / 'report.md'}: {'failed' if report.problems else 'passed'}")
    return 1 if report.problems else 0


def _options() -> argparse.Namespace:
    numbers = lambda text: tuple(int(each) for each in text.split(","))  # noqa: E731
    parser = argparse.ArgumentParser(prog="python -m tools.gpu_check", description=__doc__)
    parser.add_argument("--profile", choices=sorted(PROFILES), default="tensorrt")
    parser.add_argument("--precision", choices=("fp16", "fp32"), default="fp16", help="of the engines")
    parser.add_argument("--repository", type=Path, default=REPOSITORY, help="models; this checkout's by default")
    parser.add_argument("--cache", type=Path, default=CACHE, help="of the engines")
    parser.add_argument("--knees", type=int, default=8, help="synthetic studies whose answers are compared")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--concurrency", type=numbers, default=(1, 2, 4, 8, 16))
    parser.add_argument("--batches", type=numbers, default=BATCHES)
    parser.add_argument("--studies", type=int, default=30, help="before, between and after the two servers' ends")
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args()


def missing(profile: str) -> list[str]:
    """What this machine lacks for a profile; empty where it lacks nothing."""
    if profile == "cpu":
        lacking = {"Triton for processors (make install)": not has_wheel()}
    else:
        home, backend = triton_home(), PROFILES[profile].backend
        lacking = {
            "NVIDIA GPU with its driver": device() is None,
            f"Triton with the {backend} backend": home is None or not (home / "backends" / backend).is_dir(),
        }
    if profile == "tensorrt":
        lacking["TensorRT for this Python"] = _runtime_name() != "tensorrt"
    return [what for what, lacks in lacking.items() if lacks]


def _runtime_name() -> str:
    try:
        return runtime().name
    except ImportError:
        return ""


def check(options: argparse.Namespace) -> Report:
    """All steps; raises what their functions say."""
    here, home = (None, None) if options.profile == "cpu" else (device(), triton_home())
    with TemporaryDirectory(prefix="articula-gpu-") as folder:
        place, engines, said = Path(folder) / "models", list[Engine](), "no engines"
        if options.profile == "tensorrt" and here is not None:
            said, engines = _engines(options, here.compute_capability, place)
        else:
            write_repository(options.profile, options.repository, place)
        some = knees(options.knees, options.repository)
        options.out.mkdir(parents=True, exist_ok=True)
        with serving(place, options.out, home=home) as (server,):
            console.print("comparing answers")
            compared = parity(server.target, some)
            rows = _loaded(options, server, some[0])
            memory = gpu_memory(server)
        with serving(place, options.out, home=home, count=3) as servers:
            console.print("draining under load")
            drained = drain(servers, some[0], studies=options.studies)
    return Report(options.profile, here, said, engines, compared, rows, memory, drained)


def _engines(options: argparse.Namespace, capability: str, place: Path) -> tuple[str, list[Engine]]:
    """Build or find the engines of this GPU and put them where Triton will read them."""
    engine_runtime = runtime()
    wanted = Build(engine_runtime.name, engine_runtime.version, capability, options.precision, BATCHES)
    began = time.monotonic()
    built = obtain(engine_runtime, wanted, options.cache, options.repository)
    seconds = time.monotonic() - began
    plans = read_engines(built, options.repository)
    write_repository("tensorrt", options.repository, place, engines=plans)
    said = f"{engine_runtime.name} {engine_runtime.version}, all engines in {seconds:.0f} s"
    return said, [Engine(name, options.precision, len(plan)) for name, plan in plans.items()]


def _loaded(options: argparse.Namespace, server: Server, knee: Knee) -> list[load.Load]:
    meter = perf_analyzer.of_model if perf_analyzer.installed() else load.of_model
    rows = []
    for contract in MODELS:
        for callers in (load.Callers(many, batch) for batch in options.batches for many in options.concurrency):
            console.print(f"{contract.name}: {callers.concurrency} at once, batch {callers.batch}")
            inputs = knee.inputs[contract.name]
            rows.append(meter(server.target, contract, inputs, callers=callers, seconds=options.seconds))
    for concurrency in options.concurrency:
        console.print(f"whole studies: {concurrency} at once")
        rows.append(load.of_studies(server.target, knee, concurrency=concurrency, seconds=options.seconds))
    return rows


def gpu_memory(server: Server) -> int | None:
    """Bytes of the first GPU in use, by Triton's metrics; None without a GPU, and under MIG, where it has none."""
    text = httpx.get(server.metrics, trust_env=False).text
    used = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "nv_gpu_memory_used_bytes"
    ]
    return int(used[0]) if used else None


if __name__ == "__main__":
    raise SystemExit(main())
