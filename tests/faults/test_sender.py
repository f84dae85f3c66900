"""A sender does not give up, remembers what it was told, and goes no faster than it may."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.faults.deliveries import Delivery, make_study
from tests.faults.sender import Pace, Sender, SenderLog
from tools.stack.state import StackState


class Archive(BaseHTTPRequestHandler):
    """Takes instances, after it has refused some."""

    def do_POST(self):
        """An instance."""
        data = self.rfile.read(int(self.headers["Content-Length"]))
        refused = self.server.refusals > 0
        self.server.refusals -= 1
        if not refused:
            self.server.got.append(data)
        self._answer(507 if refused else 200, {} if refused else {"Status": "Success"})

    def do_DELETE(self):
        """A study."""
        self.server.deleted.append(self.path)
        self._answer(200, {})

    def _answer(self, status: int, content: dict[str, str]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Quiet."""


@pytest.fixture
def archive():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Archive)
    server.refusals, server.got, server.deleted = 0, [], []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def sender(archive, log: SenderLog) -> Sender:
    url = f"http://127.0.0.1:{archive.server_address[1]}"
    state = StackState(0, url, 0, "", "demo", "demo", "", "")
    return Sender(state, log, deadline=time.monotonic() + 20, pause_seconds=0.01)


def test_an_instance_is_sent_until_it_is_taken(archive):
    """Refusals are remembered, and the order is kept."""
    log, study = SenderLog(), make_study(3, 1, Delivery.WHOLE)
    archive.refusals = 2
    sender(archive, log).send(study)
    assert archive.got == list(study.files)
    assert [reason for _, reason in log.refusals] == ["refused", "refused"]
    assert log.started[1] < log.acknowledged[1]


@pytest.mark.parametrize("delivery", [Delivery.DOUBLED, Delivery.RESENT])
def test_a_study_that_comes_again_comes_whole(archive, delivery):
    """The same bytes, twice."""
    study = make_study(3, 1, delivery)
    sender(archive, SenderLog()).send(study)
    assert archive.got == [*study.files, *study.files]


def test_a_deleted_study_is_deleted_after_it_was_sent(archive):
    """Under the name that Orthanc gives it."""
    study = make_study(3, 1, Delivery.DELETED)
    sender(archive, SenderLog()).send(study)
    assert archive.deleted == [f"/studies/{study.orthanc_id}"]


def test_a_sender_waits_for_its_turn():
    """A number goes when it is allowed, and after the deadline in any case."""
    pace, gone = Pace(), []

    def go(number: int) -> None:
        pace.wait_for(number, 20.0)
        gone.append(number)

    waiting = [threading.Thread(target=go, args=(number,)) for number in (0, 1)]
    for each in waiting:
        each.start()
    pace.allow(1)
    waiting[0].join(5)
    assert gone == [0]
    pace.allow(2)
    waiting[1].join(5)
    assert gone == [0, 1]
    pace.wait_for(99, 0.01)
