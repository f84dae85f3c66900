"""The Orthanc plugin: hints out, status in, and the forwarder as its child. The only file that imports ``orthanc``.

It runs in Orthanc's own Python, where a failing import keeps Orthanc from starting and a lock taken in the wrong
callback hangs it: so standard library only, only change, REST and Explorer hooks, and no work in a callback. Whatever
is wrong with our installation or configuration, the archive starts: then ``GET /articula/status`` says what it is.
"""

import json
import logging
import sys
from functools import partial
from pathlib import Path
from typing import Any

import orthanc

ROOT = Path(__file__).resolve().parents[2]


class _OrthancLog(logging.Handler):
    """Our log lines in Orthanc's log."""

    def emit(self, record: logging.LogRecord) -> None:
        orthanc.LogWarning(f"Articula: {record.getMessage()}")


def register() -> None:
    """Hook everything in; raises whatever is wrong with the installation or the configuration."""
    sys.path.insert(0, str(ROOT))
    from services.common.status import METADATA_NAME  # noqa: PLC0415 - a failure here must reach the caller's guard
    from services.orthanc_plugin.pages import EXPLORER_EXTENSION  # noqa: PLC0415
    from services.orthanc_plugin.settings import PluginSettings  # noqa: PLC0415
    from services.orthanc_plugin.supervision import Forwarder  # noqa: PLC0415

    logging.getLogger("articula").addHandler(_OrthancLog())
    settings = PluginSettings.from_configuration(json.loads(orthanc.GetConfiguration()))
    forwarder = Forwarder([settings.python, "-m", "services.forwarder"], root=ROOT, environment=settings.environment())
    orthanc.RegisterOnChangeCallback(partial(on_change, forwarder))
    orthanc.RegisterRestCallback("/articula/studies/([0-9a-f-]{44})", partial(study_status, METADATA_NAME))
    orthanc.RegisterRestCallback("/articula/status", partial(service_status, forwarder))
    orthanc.ExtendOrthancExplorer(EXPLORER_EXTENSION)


def on_change(forwarder: Any, change: Any, _level: Any, resource: str) -> None:
    """Start, stop and hints; returns within microseconds, but for the stop, which ends the child first."""
    if change == orthanc.ChangeType.ORTHANC_STARTED:
        forwarder.start()
    elif change == orthanc.ChangeType.ORTHANC_STOPPED:
        forwarder.stop()
    elif change in {orthanc.ChangeType.STABLE_STUDY, orthanc.ChangeType.NEW_STUDY, orthanc.ChangeType.NEW_SERIES}:
        forwarder.hint(resource)


def study_status(metadata: str, output: Any, uri: str, **request: Any) -> None:
    """``GET /articula/studies/{id}``: the status record of one study, 404 where there is none."""
    del uri
    study_id = request["groups"][0]
    try:
        record = orthanc.RestApiGet(f"/studies/{study_id}/metadata/{metadata}")
    except orthanc.OrthancException:
        output.SendHttpStatusCode(404)
        return
    output.AnswerBuffer(record, "application/json")


def service_status(forwarder: Any, output: Any, uri: str, **request: Any) -> None:
    """``GET /articula/status``: whether the forwarder runs and how often it was started."""
    del uri, request
    _answer(output, forwarder_alive=forwarder.alive, starts=forwarder.starts, error=forwarder.error)


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
