"""The forwarder as a child: fed, kept alive, and gone when it should be. The children here are small scripts."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.orthanc_plugin import supervision
from services.orthanc_plugin.supervision import Forwarder
from tests.real.orthanc import wait_for

ECHO = "import sys; out = open(sys.argv[1], 'a'); [print(line.strip(), file=out, flush=True) for line in sys.stdin]"
STUBBORN = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open(sys.argv[1], 'w'); time.sleep(99)"
)


@contextmanager
def child(script: str, *arguments: object) -> Iterator[Forwarder]:
    """A supervised script, stopped afterwards."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    forwarder = Forwarder(command, root=Path(__file__).parent, environment={"ARTICULA_TEST": "yes"})
    forwarder.start()
    try:
        wait_for(lambda: forwarder.starts or forwarder.error, 5)
        yield forwarder
    finally:
        forwarder.stop()


def test_hints_arrive_as_lines(tmp_path):
    """What Orthanc tells reaches the child's standard input in order."""
    heard = tmp_path / "heard"
    with child(ECHO, heard) as forwarder:
        forwarder.hint("one")
        forwarder.hint("two")
        wait_for(lambda: heard.exists() and heard.read_text() == "one\ntwo\n", 5)


def test_the_end_of_the_lifeline_ends_a_child_that_listens(tmp_path):
    """The pipe is all that ties them: when our end closes, the child leaves without a signal."""
    with child(ECHO, tmp_path / "heard") as forwarder:
        forwarder._child.stdin.close()
        wait_for(lambda: forwarder.starts == 2 or not forwarder.alive, 5)


def test_a_child_that_dies_is_started_again(tmp_path):
    """A new process, and hints go to it."""
    heard = tmp_path / "heard"
    with child(ECHO, heard) as forwarder:
        first = forwarder._child.pid
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: forwarder.starts == 2 and forwarder.alive, 10)
        assert forwarder._child.pid != first
        forwarder.hint("again")
        wait_for(lambda: heard.exists() and heard.read_text() == "again\n", 5)


def test_a_child_that_ignores_its_end_is_killed(tmp_path):
    """Orthanc stops within ten seconds whatever the child does, and no new one is started."""
    with child(STUBBORN, tmp_path / "up") as forwarder:
        wait_for((tmp_path / "up").exists, 5)
        started = time.monotonic()
        forwarder.stop()
        assert time.monotonic() - started < 8
        assert not forwarder.alive
        assert forwarder._child.returncode == -signal.SIGKILL
        time.sleep(0.3)
        assert forwarder.starts == 1


def test_a_command_that_does_not_exist_is_reported_and_tried_again():
    """The reason stands where a person looks; the thread survives."""
    forwarder = Forwarder(["/no/such/python"], root=Path(__file__).parent, environment={})
    forwarder.start()
    wait_for(lambda: "/no/such/python" in forwarder.error, 5)
    assert not forwarder.alive
    forwarder.stop()


def test_a_flood_of_hints_never_blocks(tmp_path):
    """Orthanc's thread gives a hint in microseconds even when nobody listens."""
    with child(STUBBORN, tmp_path / "up") as forwarder:
        wait_for((tmp_path / "up").exists, 5)
        started = time.monotonic()
        for number in range(20_000):
            forwarder.hint(f"{number:044d}")
        assert time.monotonic() - started < 2
        os.kill(forwarder._child.pid, signal.SIGKILL)  # it would take five seconds to be stopped


def test_a_child_that_runs_but_gives_no_sign_is_ended_and_started_again(tmp_path, monkeypatch):
    """Frozen, it answers no pulse; the plugin says that it is not alive and replaces it."""
    monkeypatch.setattr(supervision, "_LISTEN_SECONDS", 0.1)
    monkeypatch.setattr(supervision, "_SILENCE_SECONDS", 0.3)
    answers = [True]
    command = [sys.executable, "-c", ECHO, str(tmp_path / "heard")]
    forwarder = Forwarder(command, root=tmp_path, environment={}, pulse=lambda: answers[0])
    forwarder.start()
    try:
        wait_for(lambda: forwarder.alive, 5)
        first = forwarder._child.pid
        os.kill(first, signal.SIGSTOP)
        answers[0] = False
        assert not forwarder.alive
        wait_for(lambda: forwarder.starts == 2, 10)
        answers[0] = True
        wait_for(lambda: forwarder.alive, 10)
        assert forwarder._child.pid != first
    finally:
        forwarder.stop()
