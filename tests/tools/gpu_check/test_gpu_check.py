"""The command for GPU machines, run for real with the models on processors, and what it says where there is no GPU."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from services.common.tensors import MODELS
from tests.common.test_triton import needs_triton
from tests.faults.tiny_models import build_repository
from tools.build_engines.device import device

ROOT = Path(__file__).parents[3]


def gpu_check(*options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.gpu_check", *map(str, options)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=500)


@pytest.mark.triton
@needs_triton
@pytest.mark.timeout(600)
def test_every_step_that_needs_no_gpu_passes_with_real_servers(tmp_path):
    """Answers compared, load measured, one server killed and one drained, and all of it reported."""
    repository = build_repository(tmp_path / "models")
    small = ("--knees", 1, "--seconds", 0.3, "--concurrency", 2, "--batches", 2, "--studies", 3)
    ended = gpu_check("--profile", "cpu", "--repository", repository, "--out", tmp_path / "out", *small)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["passed"]
    assert {each["model"] for each in report["parity"]} == {contract.name for contract in MODELS}
    assert {each["model"] for each in report["load"]} == {"whole study", *(contract.name for contract in MODELS)}
    assert all(each["volumes_per_second"] > 0 and each["failures"] == 0 for each in report["load"])
    assert report["drain"]["studies"] >= 9
    assert (report["drain"]["failures"], report["drain"]["left_with"]) == ([], 0)
    assert "**Passed.**" in (tmp_path / "out/report.md").read_text()


@pytest.mark.skipif(device() is not None, reason="this machine has a GPU")
def test_a_machine_without_a_gpu_says_in_one_line_what_it_lacks(tmp_path):
    """Status 3, which is neither passed nor failed."""
    ended = gpu_check("--out", tmp_path / "out")
    assert ended.returncode == 3
    assert ended.stderr.startswith("GPU check: this machine has no NVIDIA GPU with its driver, ")
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
