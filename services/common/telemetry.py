"""Logs that engineers can follow and that never name a patient.

Every line is one JSON object. A study is named by a keyed hash of its UID, because a UID identifies a patient to anyone
with access to the archive; bind it once with ``bind_study`` and every later line of that task carries it.
"""

import hashlib
import hmac
import logging
import sys

import structlog

from services.common.settings import ServiceSettings

_HASH_CHARACTERS = 16


def configure_logging(settings: ServiceSettings, *, service: str) -> None:
    """Write JSON lines to standard error, each with the service's name."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # as it is at the time of the line
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(service=service)


def hash_uid(uid: str, key: str) -> str:
    """HMAC-SHA256 of a UID, 16 hex characters: the same study has the same name in every service's log."""
    return hmac.new(key.encode(), uid.encode(), hashlib.sha256).hexdigest()[:_HASH_CHARACTERS]


def bind_study(study_instance_uid: str, key: str) -> None:
    """Name the study in every later log line of this task or thread."""
    structlog.contextvars.bind_contextvars(study=hash_uid(study_instance_uid, key))
