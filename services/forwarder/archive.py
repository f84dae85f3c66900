"""Orthanc over its REST API: the only place that speaks HTTP.

Every call has a deadline and asks for plain bytes: with the usual Accept-Encoding Orthanc compresses every reply, which
costs 25 times the transfer.
"""

import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Self

import httpx

from services.common.errors import ServiceUnavailable, StreamInvalid
from services.common.status import METADATA_NAME, StudyStatus
from services.forwarder.completeness import numbers
from services.forwarder.eligibility import StoredInstance, StoredStudy
from services.forwarder.settings import ForwarderSettings

Fence = Callable[[], Awaitable[None]]

# Orthanc ends a connection that was idle for a second; a request that it crosses fails
_IDLE = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=0.5)
_CLIENT_ERROR, _NOT_FOUND, _CONFLICT = 400, 404, 409


async def _open() -> None:
    """The only forwarder of an archive needs no fence."""


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
            limits=_IDLE,
            trust_env=False,
        )
        self.fence: Fence = _open  # asked before every change of results; raises where another forwarder leads
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
                series_id=each["ParentSeries"],
                source=each["Metadata"].get("RemoteAET", ""),
                orientation=numbers(each["MainDicomTags"].get("ImageOrientationPatient", ""), 6),
                position=numbers(each["MainDicomTags"].get("ImagePositionPatient", ""), 3),
            )
            for each in answer.json()
        ]

    async def attributes(self, instance_id: str) -> dict[str, Any]:
        """The attributes of one instance by keyword; none where it is gone."""
        answer = await self._get(f"/instances/{instance_id}/simplified-tags", missing_ok=True)
        return dict(answer.json()) if answer else {}

    async def md5(self, instance_id: str) -> str:
        """MD5 of the stored DICOM file."""
        answer = await self._get(f"/instances/{instance_id}/attachments/dicom/md5")
        return str(answer.text)

    async def file(self, instance_id: str) -> bytes:
        """The DICOM file."""
        answer = await self._get(f"/instances/{instance_id}/file")
        return bytes(answer.content)

    async def store(self, data: bytes, *, study_id: str, sop_instance_uid: str) -> None:
        """Store one DICOM file; one that is there already with the same bytes stays as it is.

        What the archive then holds is read back: on a full disk Orthanc says "Success" and keeps an empty file
        (decision 14). Other bytes are deleted and ``ServiceUnavailable`` raised, so that the set is stored again later.

        Raises ``StreamInvalid`` for an object of another study or patient or with another UID, and takes it back: a
        UID that is not ours would make the object a source, and the study its own new input for ever.
        """
        await self.fence()
        answer = (await self._call("POST", "/instances", content=data)).json()
        if answer.get("Status") not in {"Success", "AlreadyStored"}:
            message = "Orthanc did not store a result object"
            raise ServiceUnavailable(message)
        stored = (await self._get(f"/instances/{answer['ID']}")).json()
        if (answer["ParentStudy"], stored["MainDicomTags"].get("SOPInstanceUID")) != (study_id, sop_instance_uid):
            if answer["Status"] == "Success":  # ours, stored a moment ago; nothing older is touched
                await self.delete(answer["ID"])
            message = "a result object is not what the stream said it is"
            raise StreamInvalid(message)
        if await self.file(answer["ID"]) != data:  # it is ours, and nothing has committed it yet
            await self.delete(answer["ID"])
            message = "the archive holds other bytes than it was given; its disk may be full"
            raise ServiceUnavailable(message)

    async def create(self, data: bytes) -> bool:
        """Store one DICOM file that must be new; False where there was one with its identity. Not fenced."""
        answer = (await self._call("POST", "/instances", content=data)).json()
        return bool(answer.get("Status") == "Success")

    async def lookup(self, uid: str, level: str) -> list[str]:
        """Orthanc's ids of what has this UID at a level: Study, Series or Instance."""
        answer = await self._call("POST", "/tools/lookup", content=uid)
        return [str(each["ID"]) for each in answer.json() if each["Type"] == level]

    async def forget(self, sop_instance_uid: str) -> None:
        """Delete the instances with this UID, which is one of ours; nothing happens where there is none."""
        for instance_id in await self.lookup(sop_instance_uid, "Instance"):
            await self.delete(instance_id)

    async def delete(self, instance_id: str) -> None:
        """Delete one instance; nothing happens where it is gone."""
        await self.fence()
        await self._call("DELETE", f"/instances/{instance_id}", tolerated=(_NOT_FOUND,))

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
        await self.fence()
        await self.note(f"/studies/{study_id}", status.to_json())
        self._tell(study_id, status)

    async def note(self, resource: str, text: str) -> None:
        """Write our metadata on a resource; one that is gone needs none.

        Where Orthanc checks revisions, the one we replace is the one that is there now: ours alone write it.
        """
        path = f"{resource}/metadata/{METADATA_NAME}"
        if await self._call("PUT", path, content=text, tolerated=(_NOT_FOUND, _CONFLICT)) is not None:
            return
        current = await self._get(path, missing_ok=True)
        if current is not None:
            headers = {"If-Match": current.headers.get("ETag", "")}
            await self._call("PUT", path, content=text, headers=headers, tolerated=(_NOT_FOUND,))

    async def noted(self, resource: str) -> str | None:
        """Our metadata on a resource, None where there is none."""
        answer = await self._get(f"{resource}/metadata/{METADATA_NAME}", missing_ok=True)
        return str(answer.text) if answer else None

    async def shown(self, study_id: str) -> StudyStatus | None:
        """The status on the study, or None where there is none that can be read."""
        text = await self.noted(f"/studies/{study_id}")
        try:
            status = StudyStatus.from_json(text) if text else None
        except ValueError:
            return None
        if status:
            self._tell(study_id, status)
        return status

    def _tell(self, study_id: str, status: StudyStatus) -> None:
        for observer in self.observers:
            observer(study_id, status)

    async def _get(self, path: str, *, missing_ok: bool = False) -> Any:
        return await self._call("GET", path, tolerated=(_NOT_FOUND,) if missing_ok else ())

    async def _call(
        self,
        method: str,
        path: str,
        *,
        content: str | bytes | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        tolerated: Collection[int] = (),
    ) -> Any:
        """The answer, or None for a status code that is ``tolerated``."""
        try:
            answer = await self._http.request(method, path, content=content, headers=headers)
        except httpx.HTTPError as error:
            message = f"Orthanc: {type(error).__name__}"
            raise ServiceUnavailable(message) from error
        if answer.status_code in tolerated:
            return None
        if answer.status_code >= _CLIENT_ERROR:
            message = f"Orthanc answered {answer.status_code}"
            raise ServiceUnavailable(message)
        return answer
