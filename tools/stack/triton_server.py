"""How to start the tritonserver that the nvidia-pytriton wheel carries.

Measured traps: its python backend takes the interpreter's packages from the ``bin`` folder that comes first on PATH
(not from PYTHONPATH), needs the stub built for that Python version and libpython on the library path, and numpy 2 in
that environment corrupts tensors silently, which is why the environment is a separate one.
"""

import contextlib
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / "build" / "triton-venv"
MODEL_REPOSITORY = ROOT / "model_repository"

_FACTS = (
    "import sys, sysconfig; print(sys.version_info.major, sys.version_info.minor, sysconfig.get_config_var('LIBDIR'))"
)


@dataclass(frozen=True)
class TritonCommand:
    """Command line and environment of one server; call ``prepare`` before each start."""

    command: list[str]
    environment: dict[str, str]
    prepare: Callable[[], None]


def triton_command(repository: Path, *, grpc_port: int, metrics_port: int, venv: Path = VENV) -> TritonCommand:
    """A server on loopback that serves all models of a repository and exits where one fails to load."""
    facts = subprocess.run([venv / "bin" / "python", "-c", _FACTS], check=True, capture_output=True, text=True)
    major, minor, library_folder = facts.stdout.split()
    packages = venv / "lib" / f"python{major}.{minor}" / "site-packages"
    server = packages / "pytriton" / "tritonserver"
    stub = server / "python_backend_stubs" / f"{major}.{minor}" / "triton_python_backend_stub"
    environment = {
        **os.environ,
        "PATH": f"{venv / 'bin'}:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": f"{library_folder}:{packages / 'nvidia_pytriton.libs'}",
    }
    shared_memory = f"articula_{grpc_port}_"
    command = [
        str(server / "bin" / "tritonserver"),
        f"--model-repository={repository}",
        f"--backend-directory={_backends(server, stub)}",
        f"--backend-config=python,shm-region-prefix-name={shared_memory}",
        *_options(grpc_port, metrics_port),
    ]
    return TritonCommand(command, environment, partial(_clear_away, shared_memory))


def installed_triton_command(home: Path, repository: Path, *, grpc_port: int, metrics_port: int) -> TritonCommand:
    """The same of a Triton that is installed, as in NVIDIA's image: ``home`` has ``bin`` and ``backends``."""
    command = [
        str(home / "bin" / "tritonserver"),
        f"--model-repository={repository}",
        f"--backend-directory={home / 'backends'}",
        *_options(grpc_port, metrics_port),
    ]
    return TritonCommand(command, dict(os.environ), lambda: None)


def _options(grpc_port: int, metrics_port: int) -> list[str]:
    return [
        "--model-control-mode=none",
        "--disable-auto-complete-config",  # config.pbtxt is complete; completing starts every backend process twice
        "--allow-http=false",
        "--grpc-address=127.0.0.1",
        f"--grpc-port={grpc_port}",
        "--metrics-address=127.0.0.1",
        f"--metrics-port={metrics_port}",
        "--exit-timeout-secs=20",
    ]


def _clear_away(prefix: str) -> None:
    """A killed server may leave backend processes behind, and a killed one of those its memory with tensors in it."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(word.startswith(prefix) for word in process.cmdline()):
                process.kill()
    for region in Path("/dev/shm").glob(f"{prefix}*"):  # noqa: S108 - the kernel's own place, not a temporary folder
        region.unlink(missing_ok=True)


def _backends(server: Path, stub: Path) -> Path:
    """The wheel's backends, with the stub of our Python version in place of the default one."""
    place = server / "backends" / "python" / "triton_python_backend_stub"
    if not place.exists() or not place.samefile(stub):
        place.unlink(missing_ok=True)
        place.symlink_to(stub)
    return server / "backends"
