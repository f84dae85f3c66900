"""A whole supervisor over small real processes: the order of things, and nothing left behind, however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tools.stack.orthanc_config import ROOT


def wait_for(condition, seconds: float = 20.0):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "too late"
        time.sleep(0.05)
    return value


def journal(folder: Path) -> list[tuple[str, str, int]]:
    """What the services wrote down: word, service, process id."""
    lines = (folder / "journal").read_text().splitlines() if (folder / "journal").exists() else []
    return [(word, name, int(pid)) for word, name, pid in (line.split() for line in lines)]


def left(folder: Path) -> list[int]:
    """Process ids from the journal that still run; a zombie waits for its parent only."""
    found = []
    for pid in {pid for _, _, pid in journal(folder)}:
        try:
            process = psutil.Process(pid)
            if str(folder / "journal") in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.fixture
def start(tmp_path):
    started = []

    def run(*options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(Path(__file__).with_name("small_stack.py")), str(tmp_path), *options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        started.append(process)
        wait_for(lambda: (tmp_path / "state.json").exists() and len(left(tmp_path)) == 4)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_services_start_in_order_and_stop_in_reverse(tmp_path, start):
    """Each starts after the one it needs and stops before it; a stubborn one is killed with its children."""
    process = start()
    process.terminate()
    assert process.wait(20) == 0
    words = [(word, name) for word, name, _ in journal(tmp_path) if word != "stubborn"]
    assert words == [
        ("started", "first"),
        ("started", "second"),
        ("started", "third"),
        ("stopped", "second"),
        ("stopped", "first"),
    ]
    assert left(tmp_path) == []
    assert not (tmp_path / "state.json").exists()


def test_a_killed_service_comes_back_alone(tmp_path, start):
    """Kill -9 of one service starts that one again and leaves the others as they are."""
    start()
    before = {name: pid for word, name, pid in journal(tmp_path) if word == "started"}
    os.kill(before["second"], signal.SIGKILL)
    wait_for(lambda: len([1 for word, _, _ in journal(tmp_path) if word == "started"]) == 4)
    after = {name: pid for word, name, pid in journal(tmp_path) if word == "started"}
    assert after["second"] != before["second"]
    assert (after["first"], after["third"]) == (before["first"], before["third"])
    assert after["second"] in left(tmp_path)


def test_killing_the_supervisor_leaves_nothing_behind(tmp_path, start):
    """Kill -9 of the supervisor ends every service: politely where that works, else not, children included."""
    process = start()
    process.kill()
    wait_for(lambda: not left(tmp_path))
    assert {name for word, name, _ in journal(tmp_path) if word == "stopped"} == {"first", "second"}


def test_an_attached_supervisor_stops_when_its_owner_is_gone(tmp_path, start):
    """The end of standard input is enough, so a killed test run leaves nothing behind either."""
    process = start("--attached")
    process.stdin.close()
    process.stdin = None
    assert process.wait(20) == 0
    assert left(tmp_path) == []
