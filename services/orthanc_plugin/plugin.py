"""The Orthanc plugin: hints out, status in, and the forwarder as its child. The only file that imports ``orthanc``.

It runs in Orthanc's own Python, where a failing import keeps Orthanc from starting and a lock taken in the wrong
callback hangs it: so standard library only, only change, REST and Explorer hooks, and no work in a callback.
"""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import orthanc

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from services.common.status import METADATA_NAME  # noqa: E402 - the path is set one line above
from services.orthanc_plugin.pages import EXPLORER_EXTENSION  # noqa: E402
from services.orthanc_plugin.settings import PluginSettings  # noqa: E402
from services.orthanc_plugin.supervision import Forwarder  # noqa: E402

HINTS = {orthanc.ChangeType.STABLE_STUDY, orthanc.ChangeType.NEW_STUDY, orthanc.ChangeType.NEW_SERIES}


class _OrthancLog(logging.Handler):
    """Our log lines in Orthanc's log."""

    def emit(self, record: logging.LogRecord) -> None:
        orthanc.LogWarning(f"Articula: {record.getMessage()}")


def on_change(change: Any, _level: Any, resource: str) -> None:
    """Start, stop and hints; returns within microseconds."""
    if change == orthanc.ChangeType.ORTHANC_STARTED:
        forwarder.start()
    elif change == orthanc.ChangeType.ORTHANC_STOPPED:
        forwarder.stop()
    elif change in HINTS:
        forwarder.hint(resource)


def study_status(output: Any, uri: str, **request: Any) -> None:
    """``GET /articula/studies/{id}``: the status record of one study, 404 where there is none."""
    del uri
    study_id = request["groups"][0]
    try:
        record = orthanc.RestApiGet(f"/studies/{study_id}/metadata/{METADATA_NAME}")
    except orthanc.OrthancException:
        output.SendHttpStatusCode(404)
        return
    output.AnswerBuffer(record, "application/json")


def service_status(output: Any, uri: str, **request: Any) -> None:
    """``GET /articula/status``: whether the forwarder runs and how often it was started."""
    del uri, request
    output.AnswerBuffer(
        json.dumps({"forwarder_alive": forwarder.alive, "starts": forwarder.starts}), "application/json"
    )


logging.getLogger("articula").addHandler(_OrthancLog())
settings = PluginSettings.from_configuration(json.loads(orthanc.GetConfiguration()))
forwarder = Forwarder([settings.python, "-m", "services.forwarder"], root=ROOT, environment=settings.environment())
orthanc.RegisterOnChangeCallback(on_change)
orthanc.RegisterRestCallback("/articula/studies/([0-9a-f-]{44})", study_status)
orthanc.RegisterRestCallback("/articula/status", service_status)
orthanc.ExtendOrthancExplorer(EXPLORER_EXTENSION)
