"""What the demo and the tests ask Orthanc, as its human user would."""

from typing import Any

import httpx

from services.common.status import METADATA_NAME, StudyStatus
from tools.stack.state import StackState


class Orthanc:
    """A session of the stack's user."""

    def __init__(self, stack: StackState) -> None:
        self._http = httpx.Client(
            base_url=stack.orthanc_url,
            auth=(stack.user, stack.password),
            headers={"Accept-Encoding": "identity"},
            timeout=60,
            trust_env=False,
        )

    def json(self, path: str) -> Any:
        """GET a JSON answer; raises ``httpx.HTTPStatusError``."""
        return self._http.get(path).raise_for_status().json()

    def content(self, path: str) -> bytes:
        """GET bytes; raises ``httpx.HTTPStatusError``."""
        return self._http.get(path).raise_for_status().content

    def store(self, data: bytes) -> None:
        """Store one DICOM file; raises ``httpx.HTTPStatusError``."""
        self._http.post("/instances", content=data).raise_for_status()

    def find_study(self, study_instance_uid: str) -> str | None:
        """Orthanc's id of a study, None while it has none."""
        return self._find(study_instance_uid, "Study")

    def find_instance(self, sop_instance_uid: str) -> str | None:
        """Orthanc's id of an instance, None where it is not stored."""
        return self._find(sop_instance_uid, "Instance")

    def _find(self, uid: str, level: str) -> str | None:
        found = self._http.post("/tools/lookup", content=uid).raise_for_status().json()
        return next((str(each["ID"]) for each in found if each["Type"] == level), None)

    def status(self, study_id: str) -> StudyStatus | None:
        """The analysis status shown on a study."""
        answer = self._http.get(f"/studies/{study_id}/metadata/{METADATA_NAME}")
        return StudyStatus.from_json(answer.text) if answer.is_success else None
