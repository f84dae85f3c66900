"""The probe of Triton's containers sees a dead backend process, of this container alone."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

PROBE = Path(__file__).parents[2] / "model_repository" / "probe.py"


@pytest.fixture(scope="module")
def probe():
    spec = importlib.util.spec_from_file_location("probe", PROBE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def process(processes: Path, pid: int, *, name: str, state: str, root: str = "/") -> None:
    place = processes / str(pid)
    place.mkdir(parents=True)
    (place / "stat").write_text(f"{pid} ({name}) {state} 1 1 1 0 -1")
    (place / "root").symlink_to(root)


@pytest.mark.parametrize(
    ("name", "state", "dead"),
    [
        ("triton_python_b", "Z", True),
        ("triton_python_b", "S", False),
        ("sh (Z) x", "Z", False),
    ],
)
def test_a_dead_backend_process_is_a_zombie_of_its_name(probe, tmp_path, name, state, dead):
    """Living ones and other programs' are none."""
    process(tmp_path, 1, name="tritonserver", state="S")
    process(tmp_path, 7, name=name, state=state)
    assert probe.has_dead_backend(tmp_path) is dead


def test_another_containers_dead_backend_is_not_ours(probe, tmp_path):
    """Containers may share their processes' numbers, never their root."""
    other = tmp_path / "root"
    other.mkdir()
    process(tmp_path / "proc", 1, name="tritonserver", state="S", root=str(other))
    process(tmp_path / "proc", 7, name="triton_python_b", state="Z", root=str(other))
    assert not probe.has_dead_backend(tmp_path / "proc")


def test_a_dead_child_of_a_backend_process_is_none(probe, tmp_path):
    """Libraries start programs and forget them; what counts is what the server itself started."""
    process(tmp_path, 1, name="triton_python_b", state="S")
    process(tmp_path, 7, name="triton_python_b", state="Z")
    assert not probe.has_dead_backend(tmp_path)


def test_a_zombie_of_this_machine_is_found(probe, tmp_path):
    """The real /proc: a server that lives, and its child that nobody has waited for."""
    server, backend = tmp_path / "tritonserver", tmp_path / "triton_python_backend_stub"
    for program in (server, backend):
        program.symlink_to(sys.executable)
    code = "import os, subprocess, sys; child = subprocess.Popen([sys.argv[1], '-c', 'pass']);"
    code += "os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([server, "-c", code, backend], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        running.stdout.readline()
        assert probe.has_dead_backend()
        running.stdin.close()


def test_no_server_is_no_health():
    """The probe's status, as the kubelet sees it."""
    assert subprocess.run([sys.executable, PROBE, "1"], check=False).returncode == 1
