"""A real PostgreSQL for one test: a cluster of its own in a folder, gone afterwards."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.stack.plan import free_port

PROGRAMS = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
INDEX_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancPostgreSQLIndex.so")
USER, PASSWORD = "orthanc", "orthanc-password"


def missing() -> str:
    """What a test lacks here, '' for nothing."""
    if PROGRAMS is None:
        return "no PostgreSQL; apt-get install postgresql"
    return "" if INDEX_PLUGIN.exists() else "no index plugin; apt-get install orthanc-postgresql"


@contextmanager
def postgresql() -> Iterator[int]:
    """An empty database on loopback; yields its port. It refuses to be root, so it runs as its package's user."""
    assert PROGRAMS is not None
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="articula-postgresql-") as folder:  # pytest's are closed to other users
        data, port, password = Path(folder) / "data", free_port(), Path(folder) / "password"
        data.mkdir()
        password.write_text(PASSWORD)
        if as_user:
            for each in (folder, data, password):
                shutil.chown(each, "postgres")
        initialise = [PROGRAMS / "initdb", "-D", data, "-U", USER, f"--pwfile={password}", "-A", "scram-sha-256", "-N"]
        subprocess.run([*as_user, *initialise], check=True, capture_output=True)
        options = f"-p {port} -h 127.0.0.1 -k {data} -c fsync=off"
        control = [*as_user, PROGRAMS / "pg_ctl", "-D", data, "-w"]
        subprocess.run([*control, "-o", options, "-l", data / "log", "start"], check=True, capture_output=True)
        try:
            yield port
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True)
