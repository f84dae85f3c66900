"""A short campaign of a fixed seed against the real system: nothing lost, nothing twice, the same bytes."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.faults import namespace
from tests.faults.campaign import Size, drawn
from tests.faults.crash_points import Crashes, Point
from tests.faults.deliveries import Delivery, make_study
from tests.faults.kinds import KINDS, skipped_kinds, usable_kinds
from tests.faults.sabotages import SABOTAGES
from tests.faults.safeguards import STORIES
from tests.faults.site import running_site
from tools.stack.orthanc_config import ROOT
from tools.stack.triton_server import VENV

real = [
    pytest.mark.stack,
    pytest.mark.skipif(not shutil.which("Orthanc", path=f"{os.environ['PATH']}:/usr/sbin"), reason="no Orthanc"),
    pytest.mark.skipif(not (VENV / "bin").exists(), reason="no Triton environment; run make test"),
]
# a write of each process, one that kills the archive, and the one between objects and manifest
POINTS = [
    Point("whole", "forwarder: POST /instances, after", 1, "self"),
    Point("whole", "forwarder: PUT /studies/*/metadata/ArticulaStatus, before", 3, "orthanc"),
    Point("whole", "preprocessing: open spool/*/000002.dcm, before", 1, "self"),
    Point("whole", "worker: open spool/*/result-001.dcm, before", 1, "self"),
]


@pytest.fixture
def folder():
    """A short path: a Unix socket's has 107 bytes at most, and those of pytest are deep."""
    with tempfile.TemporaryDirectory(prefix="articula-faults-") as path:
        yield Path(path)


@pytest.mark.parametrize("_", [pytest.param("", marks=real)])
def test_a_short_campaign_loses_and_doubles_nothing(folder, _):
    """Eight faults of other kinds while twenty studies arrive, by the command that people use."""
    command = [sys.executable, "-m", "tests.faults", "--studies", "20", "--faults", "8", "--seed", "11"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [*command, "--folder", folder / "site"], cwd=folder, env=environment, check=False, capture_output=True
    )
    assert ended.returncode == 0, ended.stdout.decode()
    report = json.loads((folder / "build" / "faults" / "report.json").read_text())
    assert (report["studies"], report["faults"]) == (20, 8)
    assert (report["lost"], report["doubled"], report["leaked"], report["byte_differences"]) == (0, 0, 0, 0)


@pytest.mark.parametrize("_", [pytest.param("", marks=real)])
def test_a_kill_at_a_durable_write_loses_and_doubles_nothing(folder, _):
    """One of each process; ``make faults`` goes through all of them."""
    with running_site(folder / "site", 12, trace=True, quiet_seconds=0.6) as site:
        crashes = Crashes(site, 12)
        reached = [crashes.crash(point).seconds is not None for point in POINTS]
        verdict = crashes.judge(in_vain=len(POINTS))
    assert all(reached), list(zip(POINTS, reached, strict=True))
    assert verdict.clean, verdict.named
    assert verdict.compared == len(crashes.studies)


def test_a_seed_draws_the_same_faults_and_studies():
    """Whatever happened can be done again."""
    size = Size(studies=1, faults=80, seed=5)
    assert [kind.name for kind in drawn(size)] == [kind.name for kind in drawn(size)]
    assert {kind.name for kind in drawn(size)} == {kind.name for kind in usable_kinds()}
    assert make_study(5, 3) == make_study(5, 3)
    assert make_study(5, 3) != make_study(5, 4)


def test_every_kind_is_used_or_left_out_with_a_reason():
    """What a machine can't do is said, never passed over."""
    assert {kind.name for kind in usable_kinds()} | skipped_kinds().keys() == {kind.name for kind in KINDS}
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert set(skipped_kinds().values()) <= set(namespace.missing().values())


def test_every_safeguard_has_a_story():
    """At least twelve of them, each broken by one function."""
    assert STORIES.keys() == SABOTAGES.keys()
    assert len(STORIES) >= 12


def test_every_sabotage_finds_what_it_breaks():
    """A safeguard that was moved or renamed is noticed here, in seconds."""
    program = "from tests.faults.sabotages import SABOTAGES\nfor sabotage in SABOTAGES.values(): sabotage()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


def test_poison_stands_at_the_head_of_the_queue():
    """The first study of each round kills whoever reads it."""
    assert make_study(5, 0).delivery is Delivery.DEADLY
    assert make_study(5, 50).delivery is Delivery.DEADLY
