"""``python -m tools.build_engines --target 8.9``: engines of all models for one GPU, published as a Triton repository.

Without ``--target`` the engines of every usual GPU go to the cache, ``build/engines`` unless given. A set that is there
already is left alone. Before anything is published, the graph that is built is held against the ONNX file on one
synthetic knee; a graph that answers too differently is not built. With TensorRT's own package installed its engines are
built, on the GPU they are for; else TensorRT-RTX's (extra ``gpu``, under NVIDIA's licence), which needs no GPU.

``--out`` copies the set to where a Triton reads it; ``--no-build`` refuses where it is missing instead of building it.
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from services.common.tensors import MODELS
from tools.build_engines.accuracy import MOST, differences, inputs_of, run, too_different
from tools.build_engines.cache import copy_out, found, locked, set_name, timing_cache
from tools.build_engines.engines import BATCHES, TARGETS, GpuMismatch, GraphRefused, Runtime, build, runtime
from tools.build_engines.graphs import PRECISIONS, prepared
from tools.build_engines.published import Build, EngineMismatch, fits, publish
from tools.evaluate import testset
from tools.pin_models import REPOSITORY

CACHE = Path("build/engines")
console = Console()


def main() -> int:
    """Check the graphs, then build and publish what is missing."""
    parser = argparse.ArgumentParser(prog="python -m tools.build_engines", description=__doc__)
    parser.add_argument("--repository", type=Path, default=REPOSITORY)
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of all sets of engines")
    parser.add_argument("--target", help=f"compute capability; all of {', '.join(TARGETS)} unless given")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp16")
    parser.add_argument("--out", type=Path, help="copy the set there; needs --target")
    parser.add_argument("--no-build", action="store_true", help="refuse where the set is missing")
    options = parser.parse_args()
    if options.out and not options.target:
        parser.error("--out needs --target")
    try:
        engine_runtime = runtime()
        for target in (options.target,) if options.target else TARGETS:
            wanted = Build(engine_runtime.name, engine_runtime.version, target, options.precision, BATCHES)
            if options.no_build:
                folder = found(options.cache, wanted, options.repository)
            else:
                folder = obtain(engine_runtime, wanted, options.cache, options.repository)
            console.print(str(folder))
            if options.out:
                copy_out(folder, options.out)
    except (GraphRefused, GpuMismatch) as error:
        print(f"{error.code}: {error}", file=sys.stderr)
        return 1
    except (EngineMismatch, ImportError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def obtain(engine_runtime: Runtime, wanted: Build, cache: Path, repository: Path) -> Path:
    """The folder of a set, built now where it is missing. Raises ``GraphRefused`` and ``GpuMismatch``."""
    name = set_name(wanted, repository)
    folder = cache / name
    with locked(cache, name):
        if fits(folder, wanted, repository):
            console.print("there already:")
            return folder
        console.print(judged(repository, wanted.precision))
        engines = {
            contract.name: build(
                prepared(repository / contract.name / "1" / "model.onnx", wanted.precision),
                contract,
                wanted.compute_capability,
                engine_runtime=engine_runtime,
                timing_cache=timing_cache(cache, wanted),
            )
            for contract in MODELS
        }
        publish(folder, wanted, repository, engines)
    console.print("built:")
    return folder


def judged(repository: Path, precision: str) -> Table:
    """What the prepared graphs change, on one synthetic knee; raises ``GraphRefused`` where it is too much."""
    table = Table("model", "output", "change", "most", title=f"{precision} against the ONNX file, in ONNX Runtime")
    with TemporaryDirectory() as folder:  # a container's root is read-only
        inputs = inputs_of(testset.load(testset.FIRST_SEED, folder=Path(folder), matrix=128), repository)
    for contract in MODELS:
        path = repository / contract.name / "1" / "model.onnx"
        exact = run(path, contract, inputs[contract.name])
        built = run(prepared(path, precision), contract, inputs[contract.name])
        for output, change in differences(exact, built).items():
            table.add_row(contract.name, output, change, str(MOST[output]))
        if outputs := too_different(exact, built):
            message = f"{contract.name} in {precision} answers too differently: {', '.join(outputs)}"
            raise GraphRefused(message)
    return table


if __name__ == "__main__":
    raise SystemExit(main())
