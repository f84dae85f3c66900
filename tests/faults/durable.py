"""Every durable write of a service, as it happens: SQL that changes a row, REST calls that change the archive, files.

Found in the running program, not in a list: statements at the database's connection, requests at the HTTP client, files
and folders of the spool by Python's audit events. So a write that somebody adds tomorrow is seen without a change here.
A file's event comes before it happens; what is after one write of the spool is before the next.
"""

import os
import re
import signal
import sqlite3
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import httpx

_READS = ("SELECT", "PRAGMA", "CREATE")
_IDENTIFIER = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}|tmp\w{8}")
_FILE_EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}
_WRITING = os.O_WRONLY | os.O_RDWR

Reach = Callable[[str, str], None]


def watch_writes(folder: Path, process: str) -> None:
    """From now on each write is a line in ``folder/trace``; the armed one ends its victim."""
    reach = partial(reached, folder, process, victims={"self": os.getpid(), "orthanc": os.getppid()})
    _watch_database(reach)
    _watch_requests(reach)
    _watch_files(reach, Path(os.environ.get("ARTICULA_SPOOL", "/nowhere")))


def reached(folder: Path, process: str, write: str, moment: str, *, victims: Mapping[str, int]) -> None:
    """A process has come to a write; where it is the armed one, its victim dies here and now."""
    point = f"{process}: {write}, {moment}"
    trace = folder / "trace"
    line = os.open(trace, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(line, f"{point}\n".encode())
    os.close(line)
    try:
        wanted, occurrence, victim = (folder / "armed").read_text().split("\t")
    except (FileNotFoundError, ValueError):
        return
    if wanted == point and trace.read_text().splitlines().count(point) == int(occurrence):
        (folder / "armed").rename(folder / "fired")
        (folder / "fired").touch()
        os.kill(victims[victim], signal.SIGKILL)


def _watch_database(reach: Reach) -> None:
    class Watched(sqlite3.Connection):
        """Tells of statements that change something."""

        def execute(self, statement, *values):
            words = " ".join(statement.split())
            if words.startswith(_READS):
                return super().execute(statement, *values)
            reach(words[:70], "before")
            cursor = super().execute(statement, *values)
            reach(words[:70], "after")
            return cursor

    sqlite3.connect = partial(sqlite3.connect, factory=Watched)


def _watch_requests(reach: Reach) -> None:
    request = httpx.AsyncClient.request

    async def watched(self, method, url, **options):
        if method == "GET" or url.startswith("/tools/"):
            return await request(self, method, url, **options)
        write = f"{method} {_IDENTIFIER.sub('*', url)}"
        reach(write, "before")
        answer = await request(self, method, url, **options)
        reach(write, "after")
        return answer

    httpx.AsyncClient.request = watched


def _watch_files(reach: Reach, spool: Path) -> None:
    def hook(event: str, arguments: tuple) -> None:
        if event not in _FILE_EVENTS or (event == "open" and not _opens_for_writing(arguments)):
            return
        path = _path(event, arguments)
        if path and spool in path.parents:
            reach(f"{event} spool/{_IDENTIFIER.sub('*', str(path.relative_to(spool)))}", "before")

    sys.addaudithook(hook)


def _opens_for_writing(arguments: tuple) -> bool:
    return isinstance(arguments[2], int) and bool(arguments[2] & _WRITING)


def _path(event: str, arguments: tuple) -> Path | None:
    """The whole path; ``rmtree`` names files relative to an open folder."""
    if not isinstance(arguments[0], str | os.PathLike):
        return None
    folder = arguments[-1] if event in {"os.remove", "os.rmdir"} and arguments[-1] >= 0 else None
    return Path(f"/proc/self/fd/{folder}").readlink() / arguments[0] if folder is not None else Path(arguments[0])
