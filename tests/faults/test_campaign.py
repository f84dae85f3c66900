"""A short campaign of a fixed seed against the real system: nothing lost, nothing twice, the same bytes."""

import os
import shutil

import pytest
from rich.console import Console

from tests.faults.campaign import Size, drawn, run
from tests.faults.sender import make_study
from tests.faults.strikes import KINDS
from tools.stack.triton_server import VENV


@pytest.mark.stack
@pytest.mark.skipif(not shutil.which("Orthanc", path=f"{os.environ['PATH']}:/usr/sbin"), reason="no Orthanc")
@pytest.mark.skipif(not (VENV / "bin").exists(), reason="no Triton environment; run make test")
def test_a_short_campaign_loses_and_doubles_nothing(tmp_path):
    """Six faults of other kinds while twenty studies arrive."""
    campaign = run(Size(studies=20, faults=6, seed=11, compare=20), tmp_path / "site", Console(quiet=True))
    assert len(campaign.strikes) == 6
    assert campaign.verdict.compared > 10
    assert campaign.verdict.clean, (campaign.strikes, campaign.verdict)


def test_a_seed_draws_the_same_faults_and_studies():
    """Whatever happened can be done again."""
    size = Size(studies=1, faults=80, seed=5)
    assert [kind.name for kind in drawn(size)] == [kind.name for kind in drawn(size)]
    assert {kind.name for kind in drawn(size)} == {kind.name for kind in KINDS}
    assert make_study(5, 3) == make_study(5, 3)
    assert make_study(5, 3) != make_study(5, 4)
