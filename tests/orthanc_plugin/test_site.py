"""Files and headers of the pages, and the plugin's way to the forwarder; what runs in Orthanc needs no package."""

import base64
import re
import socket
import threading

import pytest

from services.orthanc_plugin.desk import Desk
from services.orthanc_plugin.site import FOLDER, HEADERS, is_ours, page_file, user_of


def test_every_file_that_the_pages_name_is_served():
    """Pages and modules refer to files that exist."""
    named = {"study.html", "worklist.html"}
    for path in FOLDER.iterdir():
        named |= set(re.findall(r"static/([a-z_.]+)", path.read_text()))
        named |= set(re.findall(r'from "\./([a-z_.]+)"', path.read_text()))
    assert named == {path.name for path in FOLDER.iterdir()}
    assert all(page_file(name) for name in named)


@pytest.mark.parametrize("name", ["", "..", "../view.py", "no.js", "../page/study.js/../../view.py"])
def test_nothing_else_is_served(name):
    """Neither a path out of the folder nor a file of another kind."""
    assert page_file(name) is None


def test_the_policy_forbids_everything_inline_and_every_other_host():
    """No exception weakens it, and no file of ours would need one."""
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    for page in FOLDER.glob("*.html"):
        assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=", page.read_text())
    for module in FOLDER.glob("*.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", module.read_text())


def test_the_user_is_whom_orthanc_let_in():
    """The name of basic authentication; anything else has none."""
    token = base64.b64encode("ä:b:c".encode()).decode()
    assert user_of({"authorization": f"Basic {token}"}) == "ä"
    assert [user_of(each) for each in ({}, {"authorization": "Bearer x"}, {"authorization": "Basic %"})] == ["", "", ""]
    assert is_ours({"x-articula": "page"})
    assert not is_ours({"content-type": "application/json"})


def test_a_desk_that_is_not_there_is_an_answer(tmp_path):
    """No exception reaches Orthanc; the page has words for the code."""
    answer = Desk(str(tmp_path / "none.sock")).ask("GET", "worklist", headers={})
    assert answer.status == 503
    assert b"FORWARDER_DOWN" in answer.body


def test_an_answer_passes_with_the_headers_a_page_needs(tmp_path):
    """Status, body and type come through; others stay behind."""
    path = tmp_path / "desk.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    heard = []

    def serve():
        connection, _ = listener.accept()
        heard.append(connection.recv(4096))
        connection.sendall(b'HTTP/1.1 304 Not Modified\r\nETag: "v"\r\nServer: x\r\nContent-Length: 0\r\n\r\n')
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    answer = Desk(str(path)).ask("GET", "worklist", headers={"if-none-match": '"v"'})
    thread.join()
    listener.close()
    assert (answer.status, dict(answer.headers), answer.body) == (304, {"etag": '"v"'}, b"")
    assert b'if-none-match: "v"' in heard[0]
