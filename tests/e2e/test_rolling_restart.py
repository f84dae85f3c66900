"""Preprocessing and Triton are restarted one after the other under load, as an upgrade does: no study fails."""

import os
import shutil
import signal
import time
from collections.abc import Iterator

import httpx
import pytest

from services.common.status import METADATA_NAME, StudyState, StudyStatus
from services.common.uids import is_result_uid
from services.common.volume import Plane
from tests.faults.site import Site, running_site
from tests.studies import part10, series
from tools.stack.triton_server import VENV

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(not shutil.which("Orthanc", path=f"{os.environ['PATH']}:/usr/sbin"), reason="no Orthanc"),
    pytest.mark.skipif(not (VENV / "bin").exists(), reason="no Triton environment; run make test"),
]
STUDIES = 8
RESTARTS = ("preprocessing", "triton", "preprocessing", "triton")
BAD = {StudyState.FAILED, StudyState.NO_RESULT}


def uid(number: int) -> str:
    return f"1.2.826.0.1.3680043.8.498.7.{number}"


def send(http: httpx.Client, number: int) -> None:
    for each in series(Plane.SAGITTAL, StudyInstanceUID=uid(number), PatientID=f"ROLL-{number}"):
        each.SOPInstanceUID, each.SeriesInstanceUID = f"{uid(number)}.1.{each.InstanceNumber}", f"{uid(number)}.1"
        http.post("/instances", content=part10(each)).raise_for_status()


def statuses(http: httpx.Client) -> Iterator[StudyStatus]:
    for study in http.get("/studies").json():
        answer = http.get(f"/studies/{study}/metadata/{METADATA_NAME}")
        if answer.is_success:
            yield StudyStatus.from_json(answer.text)


def results(http: httpx.Client) -> list[str]:
    found = http.get("/instances?expand").json()
    return [each["MainDicomTags"]["SOPInstanceUID"] for each in found]


def until_done(http: httpx.Client, *, seconds: float) -> list[StudyStatus]:
    """Wait for all studies; whatever they show on the way must not be a failure."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        seen = list(statuses(http))
        assert not [each for each in seen if each.state in BAD]
        if len(seen) == STUDIES and all(each.state is StudyState.DONE for each in seen):
            return seen
        time.sleep(0.3)
    pytest.fail(f"not all studies were done within {seconds} s: {[each.state for each in seen]}")


@pytest.mark.timeout(280)
def test_restarts_under_load_fail_no_study(tmp_path):
    """SIGTERM drains, the next process takes over; every study has one result set, and none ever showed a failure."""
    with running_site(tmp_path / "site", 1) as site:
        state = site.state
        with httpx.Client(base_url=state.orthanc_url, auth=(state.user, state.password), trust_env=False) as http:
            for number in range(STUDIES):
                send(http, number)
                if number % (STUDIES // len(RESTARTS)) == 1:
                    restart(site, RESTARTS[number // (STUDIES // len(RESTARTS))])
            seen = until_done(http, seconds=150)
            ours = [each for each in results(http) if is_result_uid(each)]
    assert {each.attempts for each in seen} == {0}  # none was ever blamed
    assert len(ours) == len(set(ours))
    assert len(seen) == STUDIES


def restart(site: Site, name: str) -> None:
    """A planned restart; the minder starts the successor when the old one is gone."""
    site.signal(name, signal.SIGTERM)
    time.sleep(1.5)
