"""Two real Orthancs on one real PostgreSQL: one forwarder leads, the other takes over."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from services.common.status import StudyState
from services.common.uids import is_result_uid
from services.common.volume import Plane
from services.forwarder.lease import STUDY_UID
from tests.fakes.analysis_server import FakeAnalysis
from tests.fakes.analysis_thread import analysis_in_thread
from tests.fakes.result_objects import result_objects
from tests.real import postgresql as real
from tests.real.orthanc import RealOrthanc, forwarders, orthanc_process, wait_for
from tests.studies import series, write
from tools.demo.send import dcmsend
from tools.stack.plan import free_port
from tools.stack.probes import orthanc_ready

pytestmark = [
    pytest.mark.orthanc,
    pytest.mark.skipif(not shutil.which("Orthanc", path=f"{os.environ['PATH']}:/usr/sbin"), reason="no Orthanc"),
    pytest.mark.skipif(bool(real.missing()), reason=real.missing()),
]


def section(port: int, **changes) -> dict[str, object]:
    """Orthanc's configuration of its index in PostgreSQL."""
    return {
        "EnableIndex": True,
        "EnableStorage": False,
        "Host": "127.0.0.1",
        "Port": port,
        "Database": "postgres",
        "Username": real.USER,
        "Password": real.PASSWORD,
        "Lock": False,
        "MaximumConnectionRetries": 30,
        "IndexConnectionsCount": 2,
        "TransactionMode": "Serializable",
        **changes,
    }


@contextmanager
def two_orthancs(folder: Path, analysis: str, index: dict[str, object]) -> Iterator[list[RealOrthanc]]:
    """Both share index and storage; each has its own ledger."""
    with ExitStack() as stack:
        running = []
        for name in ("one", "two"):
            (folder / name / "temporary").mkdir(parents=True)
            whole = {
                "PostgreSQL": index,
                "StorageDirectory": str(folder / "storage"),
                "DatabaseServerIdentifier": name,
            }
            process = orthanc_process(folder / name, analysis, whole=whole, plugins=[real.INDEX_PLUGIN])
            running.append(stack.enter_context(process))
            state = running[-1].state
            wait_for(lambda state=state: orthanc_ready(state.orthanc_url, state.user, state.password))
        yield running


def results_of(orthanc: RealOrthanc, study_uid: str) -> list[str]:
    found = orthanc.rest.find_study(study_uid)
    instances = orthanc.rest.json(f"/studies/{found}/instances?expand") if found else []
    uids = [each["MainDicomTags"]["SOPInstanceUID"] for each in instances]
    return [uid for uid in uids if is_result_uid(uid)]


def done(orthanc: RealOrthanc, study_uid: str) -> bool:
    found = orthanc.rest.find_study(study_uid)
    status = orthanc.rest.status(found) if found else None
    return status is not None and status.state is StudyState.DONE


@pytest.mark.timeout(150)
def test_one_of_two_leads_and_the_other_takes_over_when_it_is_killed(tmp_path):
    """A study is sent once, whoever received it; after kill -9 of the leader's Orthanc the next study is done, too."""
    servicer, analysis_port = FakeAnalysis(make_objects=result_objects), free_port()
    write(tmp_path / "first", series(Plane.SAGITTAL, StudyInstanceUID="1.2.3.1"))
    write(tmp_path / "second", series(Plane.SAGITTAL, StudyInstanceUID="1.2.3.2"))
    analysis = f"127.0.0.1:{analysis_port}"
    with (
        real.postgresql() as port,
        analysis_in_thread(servicer, analysis_port),
        two_orthancs(tmp_path, analysis, section(port)) as (one, two),
    ):
        dcmsend(tmp_path / "first", two.state)
        wait_for(lambda: done(one, "1.2.3.1") and done(two, "1.2.3.1"), 40)
        assert len(servicer.headers) == 1
        (term,) = one.rest.json(f"/studies/{one.rest.find_study(STUDY_UID)}/instances?expand")
        holder = json.loads(one.rest.content(f"/instances/{term['ID']}/metadata/ArticulaStatus"))["holder"]
        leader, other = (one, two) if _pid_of(one) == int(holder.rpartition("/")[2]) else (two, one)
        os.kill(leader.process.pid, signal.SIGKILL)
        dcmsend(tmp_path / "second", other.state)
        wait_for(lambda: done(other, "1.2.3.2"), 60)
        assert [len(results_of(other, each)) for each in ("1.2.3.1", "1.2.3.2")] == [2, 2]
        assert len(servicer.headers) == 2


def test_an_index_in_which_two_could_lead_is_refused(tmp_path):
    """PostgreSQL's default isolation lets two win: the archive starts, we don't, and the route says why."""
    (tmp_path / "temporary").mkdir()
    with real.postgresql() as port:
        whole = {"PostgreSQL": section(port, TransactionMode="ReadCommitted")}
        with orthanc_process(tmp_path, "127.0.0.1:1", whole=whole, plugins=[real.INDEX_PLUGIN]) as orthanc:
            status = wait_for(lambda: _status(orthanc))
            assert "Serializable" in status["error"]
            assert not status["forwarder_alive"]
            assert forwarders(orthanc.configuration) == []


def _status(orthanc: RealOrthanc):
    try:
        return orthanc.rest.json("/articula/status")
    except httpx.HTTPError:
        return None


def _pid_of(orthanc: RealOrthanc) -> int:
    return forwarders(orthanc.configuration)[0]
