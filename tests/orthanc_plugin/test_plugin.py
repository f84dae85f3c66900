"""The plugin and its forwarder inside a real Orthanc, against a fake Analysis service."""

import os
import shutil
import signal
import time

import httpx
import pytest

from services.common.status import StudyState
from services.common.uids import is_result_uid
from services.common.volume import Plane
from tests.fakes.analysis_server import FakeAnalysis
from tests.fakes.analysis_thread import analysis_in_thread
from tests.fakes.result_objects import result_objects
from tests.real.orthanc import forwarders, orthanc_process, real_orthanc, start, wait_for
from tests.studies import STUDY, series, study, write
from tools.demo.send import dcmsend
from tools.stack import plan

pytestmark = [
    pytest.mark.orthanc,
    pytest.mark.skipif(not shutil.which("Orthanc", path=f"{os.environ['PATH']}:/usr/sbin"), reason="no Orthanc"),
]


def state_of(orthanc):
    study_id = orthanc.rest.find_study(STUDY)
    status = orthanc.rest.status(study_id) if study_id else None
    return status.state if status else None


def results_in(orthanc) -> list[str]:
    instances = orthanc.rest.json(f"/studies/{orthanc.rest.find_study(STUDY)}/instances?expand")
    uids = [each["MainDicomTags"]["SOPInstanceUID"] for each in instances]
    return [uid for uid in uids if is_result_uid(uid)]


def test_a_study_gets_its_results_once_and_its_state_is_shown(tmp_path):
    """C-STORE in, one stream, two objects stored, state done; our own results start nothing again."""
    servicer = FakeAnalysis(make_objects=result_objects)
    port = plan.free_port()
    write(tmp_path / "study", study())
    with analysis_in_thread(servicer, port), real_orthanc(tmp_path / "orthanc", f"127.0.0.1:{port}") as orthanc:
        dcmsend(tmp_path / "study", orthanc.state)
        wait_for(lambda: state_of(orthanc) == StudyState.DONE)
        assert len(results_in(orthanc)) == 2
        time.sleep(3)
        assert len(servicer.headers) == 1
        assert len(servicer.received[0]) == 24
        assert orthanc.rest.json(f"/articula/studies/{orthanc.rest.find_study(STUDY)}/status")["state"] == "done"


def test_a_restarted_forwarder_leaves_what_ended_as_it_is(tmp_path):
    """No result stays no result, word for word, and nothing is sent again."""
    servicer = FakeAnalysis(["no_result"], make_objects=result_objects)
    port = plan.free_port()
    write(tmp_path / "study", series(Plane.SAGITTAL))
    with analysis_in_thread(servicer, port), real_orthanc(tmp_path / "orthanc", f"127.0.0.1:{port}") as orthanc:
        dcmsend(tmp_path / "study", orthanc.state)
        wait_for(lambda: state_of(orthanc) == StudyState.NO_RESULT)
        study_id = orthanc.rest.find_study(STUDY)
        before = orthanc.rest.status(study_id)
        first = forwarders(orthanc.configuration)
        os.kill(first[0], signal.SIGKILL)
        wait_for(lambda: set(forwarders(orthanc.configuration)) - set(first))
        for _ in range(30):
            assert orthanc.rest.status(study_id) == before
            time.sleep(0.1)
        assert before.code == "NO_GEOMETRY"
        assert len(servicer.headers) == 1


def test_a_late_series_makes_a_new_result(tmp_path):
    """More images are another input: a second stream with another digest."""
    servicer = FakeAnalysis(make_objects=result_objects)
    port = plan.free_port()
    write(tmp_path / "first", series(Plane.SAGITTAL))
    write(tmp_path / "late", series(Plane.CORONAL, number=2))
    with analysis_in_thread(servicer, port), real_orthanc(tmp_path / "orthanc", f"127.0.0.1:{port}") as orthanc:
        dcmsend(tmp_path / "first", orthanc.state)
        wait_for(lambda: len(servicer.headers) == 1 and state_of(orthanc) == StudyState.DONE)
        dcmsend(tmp_path / "late", orthanc.state)
        wait_for(lambda: len(servicer.headers) == 2 and state_of(orthanc) == StudyState.DONE)
        assert len(results_in(orthanc)) == 2  # the early ones are gone
        assert servicer.headers[0].input_digest != servicer.headers[1].input_digest


def test_a_study_without_mr_is_refused_on_the_study_and_nothing_is_sent(tmp_path):
    """A CT shows no_result with its code and advice."""
    servicer = FakeAnalysis()
    port = plan.free_port()
    write(tmp_path / "ct", series(Plane.AXIAL, SOPClassUID="1.2.840.10008.5.1.4.1.1.2", Modality="CT"))
    with analysis_in_thread(servicer, port), real_orthanc(tmp_path / "orthanc", f"127.0.0.1:{port}") as orthanc:
        dcmsend(tmp_path / "ct", orthanc.state)
        wait_for(lambda: state_of(orthanc) == StudyState.NO_RESULT)
        status = orthanc.rest.status(orthanc.rest.find_study(STUDY))
        assert status.code == "NOT_MR"
        assert "MR" in status.advice
        assert servicer.headers == []


def test_a_service_that_is_down_is_waited_for(tmp_path):
    """The study stays visible as waiting, and is done once the service is there."""
    servicer = FakeAnalysis(make_objects=result_objects)
    port = plan.free_port()
    write(tmp_path / "study", series(Plane.SAGITTAL))
    with real_orthanc(tmp_path / "orthanc", f"127.0.0.1:{port}") as orthanc:
        dcmsend(tmp_path / "study", orthanc.state)
        wait_for(lambda: state_of(orthanc) == StudyState.WAITING)
        with analysis_in_thread(servicer, port):
            wait_for(lambda: state_of(orthanc) == StudyState.DONE, 40)


def test_orthanc_killed_inside_the_quiet_time_loses_no_study(tmp_path):
    """Kill -9 before the study was looked at takes the forwarder along; after the restart the sweep finds the study."""
    servicer = FakeAnalysis(make_objects=result_objects)
    port = plan.free_port()
    write(tmp_path / "study", series(Plane.SAGITTAL))
    with analysis_in_thread(servicer, port), real_orthanc(tmp_path / "orthanc", f"127.0.0.1:{port}") as orthanc:
        dcmsend(tmp_path / "study", orthanc.state)
        orthanc.process.kill()
        orthanc.process.wait()
        wait_for(lambda: not forwarders(orthanc.configuration))
        orthanc.process = start(orthanc.configuration)
        wait_for(lambda: _reachable(orthanc) and state_of(orthanc) == StudyState.DONE, 40)
        assert len(results_in(orthanc)) == 2


def _reachable(orthanc) -> bool:
    return bool(_answer(orthanc, "/system"))


def _answer(orthanc, path: str):
    try:
        return orthanc.rest.json(path)
    except httpx.HTTPError:  # not up yet
        return None


def test_a_killed_forwarder_is_started_again_and_sigterm_ends_everything_soon(tmp_path):
    """The plugin keeps its child alive, and Orthanc stops within ten seconds without leaving one behind."""
    with real_orthanc(tmp_path / "orthanc", "127.0.0.1:1") as orthanc:
        first = wait_for(lambda: forwarders(orthanc.configuration))
        os.kill(first[0], signal.SIGKILL)
        wait_for(lambda: set(forwarders(orthanc.configuration)) - set(first))
        started = time.monotonic()
        orthanc.process.terminate()
        orthanc.process.wait(10)
        assert time.monotonic() - started < 10
        wait_for(lambda: not forwarders(orthanc.configuration), 10)


def test_orthanc_starts_without_us_where_our_section_is_wrong(tmp_path):
    """An archive without analysis is better than no archive; the route says what is wrong."""
    (tmp_path / "temporary").mkdir()
    with orthanc_process(tmp_path, "127.0.0.1:1", changes={"Colour": "red"}) as orthanc:
        status = wait_for(lambda: _answer(orthanc, "/articula/status"))
        assert not status["forwarder_alive"]
        assert "Colour" in status["error"]
        assert forwarders(orthanc.configuration) == []


def test_an_interpreter_that_is_not_there_is_named(tmp_path):
    """The forwarder can't start, Orthanc does, and the route says why."""
    (tmp_path / "temporary").mkdir()
    with orthanc_process(tmp_path, "127.0.0.1:1", changes={"Python": "/no/such/python"}) as orthanc:
        status = wait_for(lambda: (_answer(orthanc, "/articula/status") or {}).get("error"))
        assert "/no/such/python" in status


def test_orthanc_explorer_gets_our_line(tmp_path):
    """The study page asks for the state and says what the results are not."""
    with real_orthanc(tmp_path / "orthanc", "127.0.0.1:1") as orthanc:
        script = orthanc.rest.content("/plugins/explorer.js").decode()
    assert "../articula/studies/" in script
    assert "Research use only, not for diagnosis" in script
