"""Many sets of engines in one folder, each under the name of what it was built from and for.

So an old and a new release find theirs side by side, a roll back finds its own at once, and a pod can't start with the
engines of another graph, runtime or GPU. A lock keeps two builders of one set from building it twice.
"""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from services.common.tensors import MODELS
from tools.build_engines.published import MANIFEST, Build, EngineMismatch, check, onnx_digest

_DIGITS = 12


def set_name(build: Build, repository: Path) -> str:
    """Name of a set's folder: precision, GPU, and twelve digits of its key; whatever changes an engine changes it."""
    digests = {contract.name: onnx_digest(repository, contract.name) for contract in MODELS}
    key = hashlib.sha256(json.dumps({**asdict(build), "models": digests}, sort_keys=True).encode()).hexdigest()
    return f"{_prefix(build)}-{key[:_DIGITS]}"


def _prefix(build: Build) -> str:
    return f"{build.precision}-sm{build.compute_capability.replace('.', '')}"


def timing_cache(cache: Path, build: Build) -> Path:
    """What the builder measured on this kind of GPU; shared by all sets for it."""
    return cache / f"sm{build.compute_capability.replace('.', '')}-{build.runtime_version}.timing"


@contextmanager
def locked(cache: Path, name: str) -> Iterator[None]:
    """Wait until nobody else builds this set; a builder that dies lets go."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def found(cache: Path, build: Build, repository: Path) -> Path:
    """The folder of a set; raises ``EngineMismatch`` that says what there is instead where it is missing."""
    name = set_name(build, repository)
    for folder in [cache / name, *sorted(cache.glob(f"{_prefix(build)}-*"))]:
        if (folder / MANIFEST).exists():
            check(folder, build, repository)
            return folder
    message = f"ENGINE_MISMATCH: {cache} has no {name}. Build it: python -m tools.build_engines"
    raise EngineMismatch(message)


def copy_out(folder: Path, out: Path) -> None:
    """Copy a set to where a Triton reads it, so that nothing that happens to the cache later can touch the server."""
    shutil.copytree(folder, out, dirs_exist_ok=True)
