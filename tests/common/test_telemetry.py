"""Logs name a study by a keyed hash only."""

import json

import structlog

from services.common.settings import ServiceSettings
from services.common.telemetry import bind_study, configure_logging, hash_uid

UID = "1.2.826.0.1.3680043.8.498.123456789"


def test_a_log_line_is_json_with_the_service_and_the_study_hash(capsys):
    """One line is one JSON object; the UID itself is not in it."""
    configure_logging(ServiceSettings(log_key="k"), service="probe")
    bind_study(UID, "k")
    structlog.get_logger().info("study accepted", instances=3)
    text = capsys.readouterr().err
    line = json.loads(text)
    assert (line["service"], line["event"], line["instances"]) == ("probe", "study accepted", 3)
    assert line["study"] == hash_uid(UID, "k")
    assert UID not in text


def test_the_hash_depends_on_the_key():
    """Two installations name the same study differently, so their logs can't be joined by a stranger."""
    assert hash_uid(UID, "one") != hash_uid(UID, "two")
    assert hash_uid(UID, "one") == hash_uid(UID, "one")
