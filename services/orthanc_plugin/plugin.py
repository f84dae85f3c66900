"""The Orthanc plugin: hints out, status in, and the forwarder as its child. The only file that imports ``orthanc``.

It runs in Orthanc's own Python, where a failing import keeps Orthanc from starting and a lock taken in the wrong
callback hangs it: so standard library only, only change, REST and Explorer hooks, and no work in a callback. Whatever
is wrong with our installation or configuration, the archive starts: then ``GET /articula/status`` says what it is.
"""

import json
import logging
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import orthanc

ROOT = Path(__file__).resolve().parents[2]
_ID = "([0-9a-f-]{44})"


class _OrthancLog(logging.Handler):
    """Our log lines in Orthanc's log."""

    def emit(self, record: logging.LogRecord) -> None:
        orthanc.LogWarning(f"Articula: {record.getMessage()}")


def register() -> None:
    """Hook everything in; raises whatever is wrong with the installation or the configuration."""
    sys.path.insert(0, str(ROOT))
    from services.common.status import METADATA_NAME  # noqa: PLC0415 - a failure here must reach the caller's guard
    from services.orthanc_plugin import site  # noqa: PLC0415
    from services.orthanc_plugin.desk import Desk, pulse  # noqa: PLC0415
    from services.orthanc_plugin.pages import EXPLORER_EXTENSION  # noqa: PLC0415
    from services.orthanc_plugin.settings import PluginSettings  # noqa: PLC0415
    from services.orthanc_plugin.supervision import Forwarder  # noqa: PLC0415

    logging.getLogger("articula").addHandler(_OrthancLog())
    configuration = json.loads(orthanc.GetConfiguration())
    if configuration.get("MaximumStorageCacheSize") != 0:
        orthanc.LogWarning('Articula: set "MaximumStorageCacheSize" to 0, or files that a full disk cut go unnoticed')
    settings = PluginSettings.from_configuration(configuration)
    forwarder = Forwarder(
        [settings.python, "-m", "services.forwarder"],
        root=ROOT,
        environment=settings.environment(),
        pulse=partial(pulse, settings.desk),
    )
    orthanc.RegisterOnChangeCallback(partial(on_change, forwarder, settings.hints))
    routes = {
        "/articula/status": partial(service_status, forwarder, settings.ohif),
        "/articula": partial(page, site, "worklist.html"),
        f"/articula/studies/{_ID}": partial(page, site, "study.html"),
        f"/articula/studies/{_ID}/status": partial(study_status, METADATA_NAME),
        "/articula/static/([a-z_.]+)": partial(page, site, None),
        "/articula/api/([a-z0-9/._-]+)": partial(ask, site, Desk(settings.desk)),
    }
    if settings.ohif:
        routes["/ohif/(?:viewer|local|segmentation|microscopy)"] = partial(ohif_page, Path(settings.ohif))
        routes["/ohif"] = partial(ohif_page, Path(settings.ohif))
    for route, callback in routes.items():
        orthanc.RegisterRestCallback(route, callback)
    orthanc.ExtendOrthancExplorer(EXPLORER_EXTENSION)


def on_change(forwarder: Any, hints: bool, change: Any, _level: Any, resource: str) -> None:  # noqa: FBT001 - bound
    """Start, stop and hints; returns within microseconds, but for the stop, which ends the child first."""
    if change == orthanc.ChangeType.ORTHANC_STARTED:
        forwarder.start()
    elif change == orthanc.ChangeType.ORTHANC_STOPPED:
        forwarder.stop()
    elif hints and change in {
        orthanc.ChangeType.STABLE_STUDY,
        orthanc.ChangeType.NEW_STUDY,
        orthanc.ChangeType.NEW_SERIES,
    }:
        forwarder.hint(resource)


def page(site: Any, name: str | None, output: Any, uri: str, **request: Any) -> None:
    """``GET /articula``, ``/articula/studies/{id}``, ``/articula/static/{name}``: a file of the pages."""
    del uri
    found = site.page_file(name or request["groups"][0])
    if found is None:
        output.SendHttpStatusCode(404)
        return
    for header, value in site.HEADERS.items():
        output.SetHttpHeader(header, value)
    output.SetHttpHeader("Cache-Control", "no-cache")
    output.AnswerBuffer(*found)


def ask(site: Any, desk: Any, output: Any, uri: str, **request: Any) -> None:
    """``/articula/api/...``: a question for the forwarder, which answers in its own process."""
    del uri
    method, headers = request["method"], {key.lower(): value for key, value in request["headers"].items()}
    body = request.get("body") or b""
    if method not in {"GET", "POST"}:
        output.SendMethodNotAllowed("GET,POST")
        return
    if method == "POST" and not site.is_ours(headers):
        output.SendHttpStatusCode(403)
        return
    passed = {"x-articula-user": site.user_of(headers).encode("latin-1", "replace").decode("latin-1")}
    passed |= {key: headers[key] for key in ("if-none-match", "content-type") if key in headers}
    content = body if isinstance(body, bytes) else str(body).encode()
    answer = desk.ask(method, request["groups"][0], headers=passed, body=content)
    _pass_on(answer, site.HEADERS, output)


def _pass_on(answer: Any, headers: Mapping[str, str], output: Any) -> None:
    for key, value in {"cache-control": "no-store", **headers, **answer.headers}.items():
        if key != "content-type":
            output.SetHttpHeader(key, value)
    media_type = answer.headers.get("content-type", "application/octet-stream")
    if answer.status == 200 and answer.body:
        output.AnswerBuffer(answer.body, media_type)
    elif answer.body:
        output.SetHttpHeader("content-type", media_type)
        text = answer.body.decode("utf-8", "replace")  # bytes are refused here
        output.SendHttpStatus(answer.status, text, len(text.encode()))
    else:
        output.SendHttpStatusCode(answer.status)


def ohif_page(folder: Path, output: Any, uri: str, **request: Any) -> None:
    """``GET /ohif/viewer``: OHIF's one page, whose addresses are no files; ServeFolders serves those that are."""
    del uri, request
    output.AnswerBuffer((folder / "index.html").read_bytes(), "text/html")


def study_status(metadata: str, output: Any, uri: str, **request: Any) -> None:
    """``GET /articula/studies/{id}/status``: the status record of one study, 404 where there is none."""
    del uri
    study_id = request["groups"][0]
    try:
        record = orthanc.RestApiGet(f"/studies/{study_id}/metadata/{metadata}")
    except orthanc.OrthancException:
        output.SendHttpStatusCode(404)
        return
    output.AnswerBuffer(record, "application/json")


def service_status(forwarder: Any, ohif: str, output: Any, uri: str, **request: Any) -> None:
    """``GET /articula/status``: whether the forwarder runs and how often it was started."""
    del uri, request
    _answer(output, forwarder_alive=forwarder.alive, starts=forwarder.starts, error=forwarder.error, ohif=bool(ohif))


def fault_status(error: str, output: Any, uri: str, **request: Any) -> None:
    """``GET /articula/status`` of a plugin that could not start."""
    del uri, request
    _answer(output, forwarder_alive=False, starts=0, error=error)


def _answer(output: Any, **fields: Any) -> None:
    output.AnswerBuffer(json.dumps(fields), "application/json")


try:
    register()
except Exception as error:  # noqa: BLE001 - an archive without analysis is better than no archive
    orthanc.LogError(f"Articula is off, Orthanc runs without it: {error}")
    orthanc.RegisterRestCallback("/articula/status", partial(fault_status, str(error)))
