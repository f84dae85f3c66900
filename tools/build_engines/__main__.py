"""``python -m tools.build_engines --target 8.9``: engines of all models for one GPU, published as a Triton repository.

Without ``--target`` the engines of every usual GPU go to ``build/engines``. A folder that holds exactly these engines
already is left alone. Before anything is published, the graph that is built is held against the ONNX file on one
synthetic knee; a graph that answers too differently is not built. With TensorRT's own package installed its engines are
built, on the GPU they are for; else TensorRT-RTX's (extra ``gpu``, under NVIDIA's licence), which needs no GPU.
"""

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from services.common.tensors import MODELS
from tools.build_engines.accuracy import MOST, differences, inputs_of, run, too_different
from tools.build_engines.engines import BATCHES, TARGETS, GraphRefused, Runtime, build, runtime
from tools.build_engines.graphs import PRECISIONS, prepared
from tools.build_engines.published import Build, fits, publish
from tools.evaluate import testset
from tools.pin_models import REPOSITORY


def main() -> int:
    """Check the graphs, then build and publish what is missing."""
    parser = argparse.ArgumentParser(prog="python -m tools.build_engines", description=__doc__)
    parser.add_argument("--repository", type=Path, default=REPOSITORY)
    parser.add_argument("--out", type=Path, help="folder of one set of engines; needs --target")
    parser.add_argument("--target", help=f"compute capability; all of {', '.join(TARGETS)} unless given")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp16")
    options = parser.parse_args()
    if options.out and not options.target:
        parser.error("--out needs --target")
    console, targets = Console(), (options.target,) if options.target else TARGETS
    folders = {
        target: options.out or Path("build/engines") / f"{options.precision}-sm{target.replace('.', '')}"
        for target in targets
    }
    try:
        engine_runtime = runtime()
        builds = {
            target: Build(engine_runtime.name, engine_runtime.version, target, options.precision, BATCHES)
            for target in targets
        }
        missing = {
            each: folder for each, folder in folders.items() if not fits(folder, builds[each], options.repository)
        }
        if missing:
            console.print(_judged(options.repository, options.precision))
        for target, folder in folders.items():
            if target in missing:
                _publish(engine_runtime, builds[target], folder, options.repository)
            console.print(f"{folder}: {'built' if target in missing else 'there already'}")
    except GraphRefused as error:
        print(f"{GraphRefused.code}: {error}", file=sys.stderr)
        return 1
    return 0


def _publish(engine_runtime: Runtime, about: Build, folder: Path, repository: Path) -> None:
    """Build the engine of every model and publish them together, the timing cache beside the folder."""
    cache = folder.with_name(f"{folder.name}.timing")
    engines = {
        contract.name: build(
            prepared(repository / contract.name / "1" / "model.onnx", about.precision),
            contract,
            about.compute_capability,
            engine_runtime=engine_runtime,
            timing_cache=cache,
        )
        for contract in MODELS
    }
    publish(folder, about, repository, engines)


def _judged(repository: Path, precision: str) -> Table:
    """What the prepared graphs change, on one synthetic knee; raises ``GraphRefused`` where it is too much."""
    table = Table("model", "output", "change", "most", title=f"{precision} against the ONNX file, in ONNX Runtime")
    inputs = inputs_of(testset.load(testset.FIRST_SEED, matrix=128), repository)
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
