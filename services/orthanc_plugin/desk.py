"""The forwarder's desk as the plugin reaches it: HTTP over a Unix socket. Standard library only.

Waiting on a socket frees Python's global lock, so a page that waits never keeps Orthanc waiting. At most a few requests
wait at once, because each holds one of Orthanc's HTTP threads, and the forwarder needs some for its own questions.
"""

import http.client
import json
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass

_AT_ONCE = 8
_SECONDS = 30.0
_PULSE_SECONDS, _NO_CONTENT = 3.0, 204
_PASSED_ON = ("content-type", "etag", "cache-control", "content-disposition")


@dataclass(frozen=True)
class Answer:
    """What the forwarder said."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Desk:
    """One address; a connection a request."""

    def __init__(self, path: str, *, seconds: float = _SECONDS) -> None:
        self._path = path
        self._seconds = seconds
        self._places = threading.BoundedSemaphore(_AT_ONCE)

    def ask(self, method: str, route: str, *, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """Ask; an answer 503 with a code where the forwarder is busy or does not answer."""
        if not self._places.acquire(timeout=1.0):
            return _unavailable("PAGES_BUSY")
        try:
            connection = _Connection(self._path, self._seconds)
            try:
                connection.request(method, f"/{route}", body=body, headers=dict(headers))
                answer = connection.getresponse()
                kept = {key.lower(): value for key, value in answer.getheaders() if key.lower() in _PASSED_ON}
                return Answer(answer.status, kept, answer.read())
            finally:
                connection.close()
        except (OSError, http.client.HTTPException):
            return _unavailable("FORWARDER_DOWN")
        finally:
            self._places.release()


def pulse(path: str) -> bool:
    """Whether the forwarder's event loop answers; one that is frozen or stuck does not."""
    return Desk(path, seconds=_PULSE_SECONDS).ask("GET", "pulse", headers={}).status == _NO_CONTENT


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _unavailable(code: str) -> Answer:
    return Answer(503, {"content-type": "application/json"}, json.dumps({"code": code}).encode())
