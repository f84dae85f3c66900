"""What a study's analysis looks like from outside: the record that the forwarder keeps and the plugin shows.

Standard library only, because the plugin reads it inside Orthanc's own Python.
"""

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum

METADATA_NAME = "ArticulaStatus"
METADATA_NUMBER = 1024  # Orthanc leaves 1024 and above to users


class StudyState(StrEnum):
    """Where a study stands. The last three are final for its current input digest."""

    WAITING = "waiting"
    RUNNING = "running"
    RETRYING = "retrying"
    DONE = "done"
    NO_RESULT = "no_result"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """Whether nothing more is done about it, as long as the study stays as it is."""
        return self in {StudyState.DONE, StudyState.NO_RESULT, StudyState.FAILED}


@dataclass(frozen=True)
class StudyStatus:
    """One study's state. ``code`` and ``advice`` explain every state that is not a success."""

    state: StudyState
    input_digest: str = ""
    stage: str = ""
    code: str = ""
    advice: str = ""
    attempts: int = 0
    seconds: dict[str, float] = field(default_factory=dict)  # by stage, as the service measured them
    pipeline: str = ""  # digest of the pipeline that a final state is about

    def to_json(self) -> str:
        """One line of JSON, keys in a fixed order."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> "StudyStatus":
        """Parse what ``to_json`` wrote; raises ``ValueError`` on anything else."""
        fields = json.loads(text)
        if not isinstance(fields, dict):
            message = "a study status is a JSON object"
            raise ValueError(message)  # noqa: TRY004 - one error type for all malformed text
        try:
            return cls(**{**fields, "state": StudyState(fields.get("state", ""))})
        except TypeError as error:
            message = "a study status has unknown fields"
            raise ValueError(message) from error
