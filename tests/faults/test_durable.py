"""Every durable write is seen in the running program, and the armed one is the last."""

import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from tools.stack.orthanc_config import ROOT

PROGRAM = """
import os, shutil, sqlite3, sys
from pathlib import Path
from tests.faults.durable import watch_writes
watch_writes(Path(sys.argv[1]) / "trace", "program")
database = sqlite3.connect(Path(sys.argv[1]) / "ledger", isolation_level=None)
database.execute("CREATE TABLE IF NOT EXISTS attempts (n INTEGER)")
for n in (1, 2):
    database.execute("INSERT INTO attempts VALUES (?)", (n,))
database.execute("SELECT n FROM attempts").fetchall()
place = Path(os.environ["ARTICULA_SPOOL"]) / "tmp12345678"
place.mkdir()
(place / "0.dcm").write_bytes(b"x")
(place / "0.dcm").read_bytes()
(Path(sys.argv[1]) / "elsewhere").write_bytes(b"x")
shutil.rmtree(place)
"""
INSERT = "program: INSERT INTO attempts VALUES (?)"


@pytest.fixture
def run(tmp_path):
    """Runs the program; its exit status."""
    for name in ("trace", "spool"):
        (tmp_path / name).mkdir()

    def start(armed: str = "") -> int:
        if armed:
            (tmp_path / "trace" / "armed").write_text(armed)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "ARTICULA_SPOOL": str(tmp_path / "spool")}
        return subprocess.run([sys.executable, "-c", PROGRAM, tmp_path], env=environment, check=False).returncode

    return start


def rows(folder) -> list[int]:
    return [row[0] for row in sqlite3.connect(folder / "ledger").execute("SELECT n FROM attempts")]


def test_every_write_is_a_line_and_no_read_is(run, tmp_path):
    """Rows before and after, files and folders of the spool before; nothing else."""
    assert run() == 0
    assert (tmp_path / "trace" / "trace").read_text().splitlines() == [
        f"{INSERT}, before",
        f"{INSERT}, after",
        f"{INSERT}, before",
        f"{INSERT}, after",
        "program: os.mkdir spool/*, before",
        "program: open spool/*/0.dcm, before",
        "program: os.remove spool/*/0.dcm, before",
        "program: os.rmdir spool/*, before",
    ]


@pytest.mark.parametrize(("moment", "occurrence", "left"), [("before", 1, []), ("after", 1, [1]), ("before", 2, [1])])
def test_the_armed_write_is_the_last_one(run, tmp_path, moment, occurrence, left):
    """Before: it never happens; after: it is durable."""
    assert run(f"{INSERT}, {moment}\t{occurrence}\tself") == -signal.SIGKILL
    assert rows(tmp_path) == left
    assert not (tmp_path / "trace" / "armed").exists()
    assert (tmp_path / "trace" / "fired").exists()


def test_a_process_dies_once(run, tmp_path):
    """The next start comes past the same place."""
    assert run(f"{INSERT}, before\t1\tself") == -signal.SIGKILL
    assert run() == 0
    assert rows(tmp_path) == [1, 2]
