"""Orthanc over its REST API: the only place that speaks HTTP.

Every call has a deadline and asks for plain bytes: with the usual Accept-Encoding Orthanc compresses every reply, which
costs 25 times the transfer.
"""

import json
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import httpx

from services.common.errors import ServiceUnavailable, StreamInvalid
from services.common.status import METADATA_NAME, StudyStatus
from services.forwarder.eligibility import StoredInstance, StoredStudy
from services.forwarder.settings import ForwarderSettings

_CLIENT_ERROR, _NOT_FOUND = 400, 404


class NotStored(Exception):
    """The archive has nothing at this path."""


class Archive:
    """An HTTP session with Orthanc; an async context manager.

    Every method raises ``ServiceUnavailable`` where Orthanc does not answer as it should.
    """

    def __init__(self, settings: ForwarderSettings) -> None:
        self._http = httpx.AsyncClient(
            base_url=settings.orthanc_url,
            auth=(settings.user, settings.password.get_secret_value()),
            headers={"Accept-Encoding": "identity"},
            timeout=settings.rest_seconds,
            trust_env=False,
        )
        self.observers: list[Callable[[str, StudyStatus], None]] = []  # hear every status that passes through

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def studies(self) -> list[StoredStudy]:
        """All studies, with what tells whether one changed."""
        answer = await self._get("/studies?expand")
        return [
            StoredStudy(
                each["ID"],
                each["MainDicomTags"].get("StudyInstanceUID", ""),
                f"{each.get('LastUpdate', '')}/{len(each['Series'])}",
                each["MainDicomTags"].get("StudyDate", ""),
                each["MainDicomTags"].get("StudyDescription", ""),
            )
            for each in answer.json()
        ]

    async def instances(self, study_id: str) -> list[StoredInstance]:
        """All instances of a study in one call; empty where the study is gone."""
        wanted = {"Resources": [study_id], "Level": "Instance", "Metadata": True}
        answer = await self._call("POST", "/tools/bulk-content", content=json.dumps(wanted))
        return [
            StoredInstance(
                instance_id=each["ID"],
                sop_instance_uid=each["MainDicomTags"].get("SOPInstanceUID", ""),
                sop_class_uid=each["Metadata"].get("SopClassUid", ""),
                file_uuid=each["FileUuid"],
                file_bytes=int(each["FileSize"]),
            )
            for each in answer.json()
        ]

    async def md5(self, instance_id: str) -> str:
        """MD5 of the stored DICOM file."""
        answer = await self._get(f"/instances/{instance_id}/attachments/dicom/md5")
        return str(answer.text)

    async def file(self, instance_id: str) -> bytes:
        """The DICOM file."""
        answer = await self._get(f"/instances/{instance_id}/file")
        return bytes(answer.content)

    async def holds(self, sop_instance_uid: str) -> bool:
        """Whether an instance with this UID is stored."""
        answer = await self._call("POST", "/tools/lookup", content=sop_instance_uid)
        return any(each["Type"] == "Instance" for each in answer.json())

    async def store(self, data: bytes, *, study_id: str, sop_instance_uid: str) -> None:
        """Store one DICOM file; one that is there already stays as it is, first write wins.

        Raises ``StreamInvalid`` for an object of another study or patient or with another UID, and takes it back: a
        UID that is not ours would make the object a source, and the study its own new input for ever.
        """
        answer = (await self._call("POST", "/instances", content=data)).json()
        if answer.get("Status") not in {"Success", "AlreadyStored"}:
            message = "Orthanc did not store a result object"
            raise ServiceUnavailable(message)
        stored = (await self._get(f"/instances/{answer['ID']}")).json()
        if (answer["ParentStudy"], stored["MainDicomTags"].get("SOPInstanceUID")) != (study_id, sop_instance_uid):
            if answer["Status"] == "Success":  # ours, stored a moment ago; nothing older is touched
                await self._call("DELETE", f"/instances/{answer['ID']}", missing_ok=True)
            message = "a result object is not what the stream said it is"
            raise StreamInvalid(message)

    async def forget(self, sop_instance_uid: str) -> None:
        """Delete the instances with this UID, which is one of ours; nothing happens where there is none."""
        answer = await self._call("POST", "/tools/lookup", content=sop_instance_uid)
        for each in answer.json():
            if each["Type"] == "Instance":
                await self._call("DELETE", f"/instances/{each['ID']}", missing_ok=True)

    async def json(self, path: str) -> Any:
        """GET any route that answers with JSON; raises ``NotStored`` where there is nothing."""
        return json.loads(await self.content(path))

    async def content(self, path: str) -> bytes:
        """GET any route; raises ``NotStored`` where there is nothing."""
        answer = await self._get(path, missing_ok=True)
        if answer is None:
            raise NotStored(path)
        return bytes(answer.content)

    async def show(self, study_id: str, status: StudyStatus) -> None:
        """Write the status on the study; a study that is gone needs none."""
        await self._call(
            "PUT", f"/studies/{study_id}/metadata/{METADATA_NAME}", content=status.to_json(), missing_ok=True
        )
        self._tell(study_id, status)

    async def shown(self, study_id: str) -> StudyStatus | None:
        """The status on the study, or None where there is none that can be read."""
        answer = await self._get(f"/studies/{study_id}/metadata/{METADATA_NAME}", missing_ok=True)
        try:
            status = StudyStatus.from_json(answer.text) if answer else None
        except ValueError:
            return None
        if status:
            self._tell(study_id, status)
        return status

    def _tell(self, study_id: str, status: StudyStatus) -> None:
        for observer in self.observers:
            observer(study_id, status)

    async def _get(self, path: str, *, missing_ok: bool = False) -> Any:
        return await self._call("GET", path, missing_ok=missing_ok)

    async def _call(
        self, method: str, path: str, *, content: str | bytes | None = None, missing_ok: bool = False
    ) -> Any:
        try:
            answer = await self._http.request(method, path, content=content)
        except httpx.HTTPError as error:
            message = f"Orthanc: {type(error).__name__}"
            raise ServiceUnavailable(message) from error
        if missing_ok and answer.status_code == _NOT_FOUND:
            return None
        if answer.status_code >= _CLIENT_ERROR:
            message = f"Orthanc answered {answer.status_code}"
            raise ServiceUnavailable(message)
        return answer
