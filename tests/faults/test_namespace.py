"""The private machine of the harness: its trouble is real, and stays inside."""

import errno
import subprocess
import sys

import pytest

from tests.faults import means, namespace
from tools.stack.orthanc_config import ROOT

PROGRAM = """
import errno, os, socket, sys, time
from pathlib import Path
from tests.faults import means, namespace
namespace.enter()
namespace.prepare()
folder = Path(sys.argv[1])
server = socket.create_server(("127.0.0.1", 0))
port = server.getsockname()[1]

def reaches():
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
    except TimeoutError:
        return False
    return True

def writes():
    try:
        (folder / "disk" / "file").write_bytes(bytes(100_000))
    except OSError as error:
        return error.errno != errno.ENOSPC
    return True

(folder / "disk").mkdir()
means.small_disk(folder / "disk", "1m")
assert reaches() and writes()
with means.lost_packets(port, 100), means.full_disk(folder / "disk", "1m"):
    (folder / "disk" / "file").unlink(missing_ok=True)
    (folder / "disk" / "held").write_bytes(b"")
    assert not reaches()
(folder / "disk" / "held").write_bytes(bytes(10_000))
with means.full_disk(folder / "disk", "1m"):
    assert not writes()
assert reaches() and writes()
print("inside", os.getpid())
"""


OPENS = """
for line in iter(input, "end"):
    try:
        open("/dev/null").close()
        print("opened", flush=True)
    except OSError as error:
        print(error.errno, flush=True)
"""


def test_a_process_without_descriptors_opens_nothing_until_it_is_healed():
    """What it has open stays open."""
    with subprocess.Popen(
        [sys.executable, "-c", OPENS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def answer() -> str:
            process.stdin.write("open\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        assert answer() == "opened"
        with means.without_descriptors(process.pid):
            assert answer() == str(errno.EMFILE)
        assert answer() == "opened"
        process.communicate("end\n", timeout=10)


def test_a_clock_that_steps_is_one_number(tmp_path):
    """Signed seconds, and zero afterwards."""
    clock = tmp_path / "clock"
    means.set_clock(clock, 0)
    with means.stepped_clock(clock, -90):
        assert clock.read_text() == "-90\n"
    assert clock.read_text() == "+0\n"


@pytest.mark.skipif(not namespace._possible(), reason="namespaces need root")
def test_packets_are_lost_and_disks_are_full_only_inside(tmp_path):
    """Each trouble begins and ends with its block; the machine around keeps its mounts."""
    if "network" in namespace.missing() and not namespace.shutil.which("nft"):
        pytest.skip("nftables is not installed")
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    ended = subprocess.run(
        [sys.executable, script, tmp_path],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("inside ")
    assert not list((tmp_path / "disk").iterdir())
