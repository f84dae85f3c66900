"""``python -m tools.build_engines``: engines of all models for several GPUs, and a table of what half precision costs.

Needs the extra ``gpu`` (TensorRT-RTX, under NVIDIA's licence) but no GPU. The engines go to ``build/engines``.
"""

import argparse
import hashlib
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from services.common.tensors import MODELS
from tools.build_engines.accuracy import differences, inputs_of, run
from tools.build_engines.engines import TARGETS, build
from tools.build_engines.graphs import PRECISIONS, prepared
from tools.evaluate import testset
from tools.evaluate.engine import REPOSITORY


def main() -> None:
    """Build everything, then measure."""
    parser = argparse.ArgumentParser(prog="python -m tools.build_engines", description=__doc__)
    parser.add_argument("--repository", type=Path, default=REPOSITORY)
    parser.add_argument("--out", type=Path, default=Path("build/engines"))
    parser.add_argument("--target", action="append", help=f"compute capability; default {', '.join(TARGETS)}")
    options = parser.parse_args()
    console = Console()
    console.print(engines(options.repository, options.out, tuple(options.target or TARGETS)))
    console.print(half_precision(options.repository))


def engines(repository: Path, folder: Path, targets: tuple[str, ...]) -> Table:
    """Build and write every engine; a table of their sizes and digests."""
    table = Table("model", "precision", "target", "KB", "sha256", title="TensorRT-RTX engines")
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(contract, precision, target) for contract in MODELS for precision in PRECISIONS for target in targets]
    for contract, precision, target in track(jobs, description="engines"):
        model = prepared(repository / contract.name / "1" / "model.onnx", precision)
        engine = build(model, contract, target)
        (folder / f"{contract.name}-{target.lower()}-{precision}.engine").write_bytes(engine)
        digest = hashlib.sha256(engine).hexdigest()[:12]
        table.add_row(contract.name, precision, target, str(len(engine) // 1024), digest)
    return table


def half_precision(repository: Path) -> Table:
    """FP16 against FP32 on one synthetic knee, output by output."""
    table = Table("model", "output", "change", title="FP16 against FP32, emulated on the CPU")
    inputs = inputs_of(testset.load(testset.FIRST_SEED, matrix=128), repository)
    for contract in track(MODELS, description="half precision"):
        path = repository / contract.name / "1" / "model.onnx"
        exact = run(path, contract, inputs[contract.name])
        half = run(prepared(path, "fp16"), contract, inputs[contract.name])
        for output, change in differences(exact, half).items():
            table.add_row(contract.name, output, change)
    return table


if __name__ == "__main__":
    main()
