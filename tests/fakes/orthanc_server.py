"""An archive without Orthanc: a real HTTP server with the few routes the forwarder uses, and answers on demand."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

import pydicom
from pydicom.multival import MultiValue


@dataclass
class FakeOrthanc:
    """What is stored. ``broken`` maps a part of a path to the status code it answers with."""

    files: dict[str, bytes] = field(default_factory=dict)  # by Orthanc's instance id
    datasets: dict[str, pydicom.Dataset] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)  # by Orthanc's study id
    shown: list[dict[str, Any]] = field(default_factory=list)  # every status ever written
    updated: dict[str, str] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)  # metadata of instances
    sender: str = ""  # AE title that every instance came from
    clock: str = "20250101T000000"  # Orthanc dates changes to the second

    def put(self, data: bytes) -> dict[str, str]:
        """Store one DICOM file; the first of an identity stays."""
        dataset = pydicom.dcmread(BytesIO(data))
        instance, study = orthanc_id(dataset, 4), orthanc_id(dataset, 2)
        status = "AlreadyStored" if instance in self.files else "Success"
        if status == "Success":
            self.files[instance], self.datasets[instance], self.updated[study] = data, dataset, self.clock
        return {"ID": instance, "ParentStudy": study, "Status": status}

    def delete(self, instance: str) -> None:
        """Forget one instance; like Orthanc, without a trace in the study."""
        del self.files[instance], self.datasets[instance]
        self.notes.pop(instance, None)

    def of_study(self, study: str) -> list[str]:
        """Ids of a study's instances."""
        return [key for key, each in self.datasets.items() if orthanc_id(each, 2) == study]

    def uids(self) -> list[str]:
        """SOP Instance UIDs in the order in which they were stored."""
        return [str(each.SOPInstanceUID) for each in self.datasets.values()]

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Status code and JSON value, text or bytes."""
        self.calls.append(f"{method} {path}")
        for part, code in self.broken.items():
            if part in f"{method} {path}":
                return code, {}
        for pattern, route in _ROUTES.items():
            if found := re.fullmatch(pattern, f"{method} {path}"):
                return route(self, body, *found.groups())
        return 404, {}


def orthanc_id(dataset: pydicom.Dataset, levels: int) -> str:
    """Orthanc's public id: SHA-1 over the identifiers down to a level (2 study, 4 instance)."""
    keywords = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")[:levels]
    digest = hashlib.sha1("|".join(str(dataset.get(each, "")) for each in keywords).encode()).hexdigest()  # noqa: S324
    return "-".join(digest[start : start + 8] for start in range(0, 40, 8))


def _studies(fake: FakeOrthanc, _: bytes) -> tuple[int, Any]:
    found = {orthanc_id(each, 2): each for each in fake.datasets.values()}
    return 200, [
        {
            "ID": key,
            "MainDicomTags": {"StudyInstanceUID": str(each.StudyInstanceUID)},
            "LastUpdate": fake.updated[key],
            "Series": sorted({str(fake.datasets[one].SeriesInstanceUID) for one in fake.of_study(key)}),
        }
        for key, each in found.items()
    ]


def _bulk_content(fake: FakeOrthanc, body: bytes) -> tuple[int, Any]:
    (study,) = json.loads(body)["Resources"]
    return 200, [
        {
            "ID": key,
            "MainDicomTags": _indexed(fake.datasets[key]),
            "Metadata": {"SopClassUid": str(fake.datasets[key].SOPClassUID), "RemoteAET": fake.sender},
            "ParentSeries": orthanc_id(fake.datasets[key], 3),
            "FileUuid": hashlib.md5(fake.files[key]).hexdigest(),  # noqa: S324
            "FileSize": len(fake.files[key]),
        }
        for key in fake.of_study(study)
    ]


def _indexed(dataset: pydicom.Dataset) -> dict[str, str]:
    keywords = ("SOPInstanceUID", "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient")
    return {each: _text(dataset[each].value) for each in keywords if dataset.get(each) is not None}


def _text(value: Any) -> str:
    return "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value)


def _lookup(fake: FakeOrthanc, body: bytes) -> tuple[int, Any]:
    uid = body.decode()
    instances = [key for key, each in fake.datasets.items() if str(each.SOPInstanceUID) == uid]
    studies = {orthanc_id(each, 2) for each in fake.datasets.values() if str(each.StudyInstanceUID) == uid}
    found = [{"Type": "Instance", "ID": key} for key in instances]
    return 200, found + [{"Type": "Study", "ID": key} for key in studies]


def _instance(fake: FakeOrthanc, _: bytes, key: str) -> tuple[int, Any]:
    return 200, {"ID": key, "MainDicomTags": _indexed(fake.datasets[key])}


def _of_study(fake: FakeOrthanc, _: bytes, study: str) -> tuple[int, Any]:
    found = [_instance(fake, b"", key)[1] for key in fake.of_study(study)]
    return (200, found) if found else (404, {})


def _tags(fake: FakeOrthanc, _: bytes, key: str) -> tuple[int, Any]:
    return (200, _simplified(fake.datasets[key])) if key in fake.datasets else (404, {})


def _simplified(dataset: pydicom.Dataset) -> dict[str, Any]:
    return {
        each.keyword: [_simplified(item) for item in each.value] if each.VR == "SQ" else _text(each.value)
        for each in dataset
        if each.keyword and each.keyword != "PixelData"
    }


def _md5(fake: FakeOrthanc, _: bytes, key: str) -> tuple[int, Any]:
    return 200, hashlib.md5(fake.files[key]).hexdigest()  # noqa: S324


def _show(fake: FakeOrthanc, body: bytes, study: str) -> tuple[int, Any]:
    if not fake.of_study(study):
        return 404, {}
    fake.statuses[study] = body.decode()
    fake.shown.append(json.loads(body))
    return 200, ""


def _note(fake: FakeOrthanc, body: bytes, instance: str) -> tuple[int, Any]:
    if instance not in fake.files:
        return 404, {}
    fake.notes[instance] = body.decode()
    return 200, ""


_ROUTES = {
    r"GET /studies\?expand": _studies,
    "POST /tools/bulk-content": _bulk_content,
    "POST /tools/lookup": _lookup,
    "POST /instances": lambda fake, body: (200, fake.put(body)),
    "GET /instances/([^/]*)": _instance,
    "GET /instances/(.*)/(?:simplified-tags|tags.simplify)": _tags,
    "GET /studies/(.*)/instances": _of_study,
    "PUT /instances/(.*)/metadata/ArticulaStatus": _note,
    "GET /instances/(.*)/metadata/ArticulaStatus": lambda fake, _, instance: (
        (200, fake.notes[instance]) if instance in fake.notes else (404, {})
    ),
    "DELETE /instances/(.*)": lambda fake, _, key: (200, fake.delete(key)),
    "GET /instances/(.*)/attachments/dicom/md5": _md5,
    "GET /instances/(.*)/file": lambda fake, _, key: (200, fake.files[key]) if key in fake.files else (404, {}),
    "PUT /studies/(.*)/metadata/ArticulaStatus": _show,
    "GET /studies/(.*)/metadata/ArticulaStatus": lambda fake, _, study: (
        (200, fake.statuses[study]) if study in fake.statuses else (404, {})
    ),
}


@contextmanager
def fake_orthanc(fake: FakeOrthanc) -> Iterator[str]:
    """Serve the fake on a port of its own; yields its URL."""

    class Route(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            code, value = fake.answer(self.command, self.path, body)
            text = value if isinstance(value, str | bytes) else json.dumps(value)
            raw = text if isinstance(text, bytes) else text.encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - names that http.server looks for

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Route)
    server.daemon_threads = True
    server.socket.listen(64)  # five, as is usual here, let the sixth caller at once wait for a whole second
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
