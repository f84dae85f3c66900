"""What was set aside is one command away from another analysis."""

import os
import shutil

import pytest

from services.common.status import StudyState
from services.common.volume import Plane
from tests.fakes.analysis_server import FakeAnalysis
from tests.fakes.analysis_thread import analysis_in_thread
from tests.fakes.result_objects import result_objects
from tests.real.orthanc import real_orthanc, wait_for
from tests.studies import STUDY, part10, series
from tools import replay
from tools.stack.plan import free_port

pytestmark = [
    pytest.mark.orthanc,
    pytest.mark.skipif(not shutil.which("Orthanc", path=f"{os.environ['PATH']}:/usr/sbin"), reason="no Orthanc"),
]


def test_what_was_set_aside_is_listed_and_replayed(tmp_path, monkeypatch, capsys):
    """The list names study, code and advice; the command makes the study due, and it is done."""
    service, port = FakeAnalysis(["PROCESSING_ERROR"], make_objects=result_objects), free_port()
    with analysis_in_thread(service, port), real_orthanc(tmp_path / "orthanc", f"127.0.0.1:{port}") as orthanc:
        for each in series(Plane.SAGITTAL):
            orthanc.rest.store(part10(each))
        study = wait_for(lambda: orthanc.rest.find_study(STUDY))
        wait_for(lambda: (status := orthanc.rest.status(study)) and status.state is StudyState.FAILED)
        monkeypatch.setenv("ORTHANC_PASSWORD", orthanc.state.password)
        monkeypatch.setenv("COLUMNS", "200")
        where = ["--orthanc", orthanc.state.orthanc_url, "--user", orthanc.state.user]
        assert replay.main(where) == 0
        listed = capsys.readouterr().out
        assert study in listed
        assert "PROCESSING_ERROR" in listed
        assert replay.main([*where, "--all"]) == 0
        assert "1 studies are analysed again" in capsys.readouterr().out
        wait_for(lambda: orthanc.rest.status(study).state is StudyState.DONE)
        assert replay.main([*where, "--again", study]) == 0  # of a study that is done: harmless


def test_an_orthanc_that_does_not_answer_is_said(capsys):
    """Exit status 1 and a sentence."""
    assert replay.main(["--orthanc", "http://127.0.0.1:1"]) == 1
    assert "does not answer" in capsys.readouterr().out
