"""Engines on disk: what they were built from and for, published whole or not at all, refused where they don't fit.

An engine fits one graph, one version of the runtime, one compute capability, one precision and one profile of shapes.
All five are its key. A published folder is a Triton model repository with ``manifest.json`` beside the models; it
appears by one rename, so whoever sees the manifest sees everything.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from services.common.tensors import MODELS
from tools.model_repository.generate import write

MANIFEST = "manifest.json"


class EngineMismatch(Exception):
    """These are not the engines asked for; the message begins with ``ENGINE_MISMATCH`` and says what differs."""


@dataclass(frozen=True)
class Build:
    """What all engines of one folder share; ``compute_capability`` such as "8.9", ``batches`` least, usual, largest."""

    runtime: str
    runtime_version: str
    compute_capability: str
    precision: str
    batches: tuple[int, int, int]

    def manifest(self, repository: Path, engines: Mapping[str, bytes]) -> dict[str, Any]:
        """What ``manifest.json`` says: the build, each model's ONNX and engine digests, and each engine's key."""
        models = {
            name: {"onnx_sha256": onnx_digest(repository, name), "engine_sha256": _sha256(engine)}
            for name, engine in engines.items()
        }
        for each in models.values():
            each["key"] = self.key(each["onnx_sha256"])
        return {**asdict(self), "batches": list(self.batches), "models": models}

    def key(self, onnx_sha256: str) -> str:
        """Names the engine of one graph; whatever changes the engine changes it."""
        return _sha256(json.dumps({**asdict(self), "onnx_sha256": onnx_sha256}, sort_keys=True).encode())


def publish(folder: Path, build: Build, repository: Path, engines: Mapping[str, bytes]) -> None:
    """Put a Triton repository with these engines in place of whatever the folder held, in one step."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        write("tensorrt", repository, part, engines=engines)
        (part / MANIFEST).write_text(json.dumps(build.manifest(repository, engines), indent=2, sort_keys=True) + "\n")
        part.chmod(0o755)  # mkdtemp's folders are their owner's alone; the pods that serve are another user
        if folder.exists():
            folder.rename(part / ".replaced")
        part.rename(folder)
        shutil.rmtree(folder / ".replaced", ignore_errors=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def fits(folder: Path, build: Build, repository: Path) -> bool:
    """Whether the folder holds exactly these engines already."""
    try:
        check(folder, build, repository)
    except EngineMismatch:
        return False
    return True


def check(folder: Path, build: Build, repository: Path) -> None:
    """Raise ``EngineMismatch`` unless the folder was built from these models, so and for this GPU."""
    manifest = _manifest(folder)
    for name, wanted in {**asdict(build), "batches": list(build.batches)}.items():
        if manifest.get(name) != wanted:
            raise _mismatch(folder, f"{name} is {manifest.get(name)}, must be {wanted}")
    read_engines(folder, repository)


def check_servable(folder: Path) -> None:
    """Raise ``EngineMismatch`` for engines of TensorRT-RTX, which Triton's backend can't read."""
    if (runtime := _manifest(folder).get("runtime")) != "tensorrt":
        raise _mismatch(folder, f"{runtime} built these, Triton serves only those of tensorrt")


def read_engines(folder: Path, repository: Path) -> dict[str, bytes]:
    """The engine of each model by its name; raises ``EngineMismatch`` for a changed file or one of another graph."""
    described, engines = _manifest(folder).get("models", {}), {}
    for contract in MODELS:
        name = contract.name
        about = described.get(name, {})
        if about.get("onnx_sha256") != onnx_digest(repository, name):
            raise _mismatch(folder, f"{name} was built from another model.onnx")
        try:
            engines[name] = (folder / name / "1" / "model.plan").read_bytes()
        except OSError:
            raise _mismatch(folder, f"the engine of {name} is missing") from None
        if _sha256(engines[name]) != about.get("engine_sha256"):
            raise _mismatch(folder, f"the engine of {name} was changed after it was built")
    return engines


def onnx_digest(repository: Path, name: str) -> str:
    """sha256 of a model's graph."""
    return _sha256((repository / name / "1" / "model.onnx").read_bytes())


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        raise _mismatch(folder, f"there is no readable {MANIFEST}") from None
    return manifest


def _mismatch(folder: Path, why: str) -> EngineMismatch:
    return EngineMismatch(f"ENGINE_MISMATCH: {folder}: {why}. Build again: python -m tools.build_engines")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
