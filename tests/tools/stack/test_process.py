"""The supervisor: processes are really ready, come back when they die, and leave nothing behind."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from tools.stack.guard import Guard
from tools.stack.plan import choose_ports, credentials
from tools.stack.process import Service, StartFailed, Supervised
from tools.stack.state import AlreadyRunning, StackState, claimed, is_supervisor

SLEEPER = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text('up'); time.sleep(60)"


def sleeper(folder: Path, **settings) -> Service:
    """A process that is ready once it has written a file."""
    flag = folder / "up"
    command = [sys.executable, "-c", SLEEPER, str(flag)]
    return Service("sleeper", command, dict(os.environ), ready=flag.exists, **settings)


@pytest.fixture
def guard():
    with Guard() as watching:
        yield watching


async def second_start(supervised: Supervised) -> None:
    while supervised.starts < 2:  # noqa: ASYNC110 - the supervisor tells nobody when it starts again
        await asyncio.sleep(0.05)


def test_a_killed_process_is_started_again(tmp_path, guard):
    """Kill -9 brings a new process, ready again."""

    async def scenario():
        supervised = Supervised(sleeper(tmp_path), tmp_path, guard)
        await supervised.start()
        keeper = asyncio.create_task(supervised.keep_alive())
        first = supervised.pid
        os.kill(first, signal.SIGKILL)
        await second_start(supervised)
        second = supervised.pid
        keeper.cancel()
        await supervised.stop()
        return first, second

    first, second = asyncio.run(asyncio.wait_for(scenario(), 20))
    assert first != second
    for pid in (first, second):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_process_that_stops_answering_is_replaced(tmp_path, guard):
    """Being there is not enough: the liveness probe decides."""
    sick = [True, False]

    async def scenario():
        service = sleeper(tmp_path, alive=lambda _pid: sick.pop(0) if sick else True, alive_seconds=0.1)
        supervised = Supervised(service, tmp_path, guard)
        await supervised.start()
        keeper = asyncio.create_task(supervised.keep_alive())
        await second_start(supervised)
        keeper.cancel()
        await supervised.stop()

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_a_process_that_never_gets_ready_fails_with_its_log(tmp_path, guard):
    """The error names the file to read, and nothing keeps running."""

    async def scenario():
        command = [sys.executable, "-c", "raise SystemExit('broken on purpose')"]
        service = Service("broken", command, dict(os.environ), ready=lambda: False)
        await Supervised(service, tmp_path, guard).start()

    with pytest.raises(StartFailed, match=r"broken\.log"):
        asyncio.run(asyncio.wait_for(scenario(), 20))
    assert "broken on purpose" in (tmp_path / "broken.log").read_text()


def test_a_program_that_is_not_installed_is_named(tmp_path, guard):
    """A missing program is one sentence, not a traceback."""
    service = Service("orthanc", ["no-such-program"], dict(os.environ), ready=lambda: False)
    with pytest.raises(StartFailed, match="no-such-program"):
        asyncio.run(Supervised(service, tmp_path, guard).start())


def test_what_a_killed_process_left_is_cleared_before_the_next_start(tmp_path, guard):
    """The stale flag of the first start is gone when the second one is asked whether it is ready."""

    async def scenario():
        flag = tmp_path / "up"
        flag.write_text("stale")
        service = sleeper(tmp_path, prepare=lambda: flag.unlink(missing_ok=True))
        supervised = Supervised(service, tmp_path, guard)
        await supervised.start()
        await supervised.stop()
        return flag.read_text()

    assert asyncio.run(asyncio.wait_for(scenario(), 20)) == "up"


def test_two_supervisors_never_share_a_folder(tmp_path):
    """The second one is refused while the first holds the folder, and welcome afterwards."""
    with claimed(tmp_path), pytest.raises(AlreadyRunning), claimed(tmp_path):
        pass
    with claimed(tmp_path):
        assert int((tmp_path / "supervisor.pid").read_text()) == os.getpid()


def test_a_taken_port_is_replaced_by_a_free_one():
    """A machine that already runs an Orthanc can run ours beside it."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        ports = choose_ports()
        assert other.getsockname()[1] not in ports.values()
    assert len(set(ports.values())) == len(ports)


def test_passwords_are_made_once_and_are_nobody_elses(tmp_path):
    """Random, kept, readable by the owner only."""
    path = tmp_path / "credentials.json"
    first = credentials(path)
    assert credentials(path) == first
    assert len(set(first.values())) == len(first)
    assert path.stat().st_mode & 0o077 == 0


def test_the_state_of_a_stack_that_is_gone_is_none(tmp_path):
    """A stale file or a reused process id is not a running stack."""
    state = StackState(os.getpid(), "http://x", 1, "A", "u", "p", "a", "t")
    state.write(tmp_path)
    assert StackState.read(tmp_path) is None
    assert StackState.read(tmp_path / "nowhere") is None
    assert not is_supervisor(2**22 + 1)
