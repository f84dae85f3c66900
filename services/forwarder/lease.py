"""One leader where several Orthancs share one index: a lease with a fencing number, kept in the archive itself.

A term of leadership is a tiny DICOM object whose UID is made of its number. Orthanc stores an identity once, so of all
who try to begin term n exactly one succeeds: that is the compare-and-set, and it needs no setting of Orthanc, only an
index whose transactions are serializable. The leader writes a beat on its term every few seconds. Who sees the same
beat for a whole lease, on its own monotonic clock, begins the next term. The highest term leads; before every change of
results the leader asks whether its own still is. No clock is compared with another.

A leader that sleeps between that question and the change can still store a set of an old input. It is a whole and right
set of that input, since results are named by their content, and the new leader's next look removes it.
"""

import json
import time
from dataclasses import dataclass
from io import BytesIO
from typing import Protocol

import pydicom
import structlog
from pydicom.uid import ExplicitVRLittleEndian, RawDataStorage

from services.common.errors import ServiceUnavailable
from services.common.uids import result_uid
from services.forwarder.archive import Archive, NotStored

log = structlog.get_logger()

STUDY_UID = result_uid("lease", "lease-study")
_SERIES_UID = result_uid("lease", "lease-series")
_BEATS_A_LEASE = 4
_RELEASED = "released"


class Leadership(Protocol):
    """Whether this forwarder works or only watches."""

    async def leads(self) -> bool:
        """Asked at the begin of each sweep."""

    async def release(self) -> None:
        """Said at the end of this forwarder."""


class Alone:
    """The only forwarder of an archive."""

    async def leads(self) -> bool:
        """Always."""
        return True

    async def release(self) -> None:
        """There is nobody to leave it to."""


@dataclass(frozen=True)
class _Term:
    """The highest term there is, and what its leader wrote last."""

    number: int
    instance_id: str
    beat: str


class Lease:
    """This forwarder's part in the election. ``archive`` is fenced by it from now on."""

    def __init__(self, archive: Archive, *, holder: str, seconds: float) -> None:
        self._archive = archive
        self._holder = holder
        self._seconds = seconds
        self._mine: _Term | None = None
        self._beats = 0
        self._beaten_at = 0.0
        self._seen: tuple[_Term | None, float] = (None, time.monotonic())  # of others, and since when it is so
        archive.fence = self.confirm

    async def leads(self) -> bool:
        """Renew or win the lease; raises ``ServiceUnavailable``."""
        if self._mine and time.monotonic() - self._beaten_at < self._seconds / _BEATS_A_LEASE:
            return True
        asked_at = time.monotonic()
        highest = await self._highest()
        if self._mine and highest and highest.number == self._mine.number:
            await self._beat(self._mine, asked_at)
            return True
        if self._mine:
            log.warning("another forwarder leads", term=highest.number if highest else 0)
            self._mine = None
        return await self._try(highest, asked_at)

    async def release(self) -> None:
        """Leave the lead to whoever asks next, so that a planned stop keeps nobody waiting."""
        if self._mine:
            mine, self._mine = self._mine, None
            await self._archive.note(f"/instances/{mine.instance_id}", _RELEASED)

    async def confirm(self) -> None:
        """Raises ``ServiceUnavailable`` unless this forwarder leads, by its own clock and by the archive."""
        mine = self._mine
        if mine is None or time.monotonic() - self._beaten_at >= self._seconds:
            message = "the lease is over; another forwarder may lead"
            raise ServiceUnavailable(message)
        highest = await self._highest()
        if highest is None or highest.number != mine.number:
            self._mine = None
            message = "another forwarder leads"
            raise ServiceUnavailable(message)

    async def _try(self, highest: _Term | None, asked_at: float) -> bool:
        """Begin the next term where there is none, or the last one's leader was silent for a whole lease."""
        if highest != self._seen[0]:
            self._seen = (highest, time.monotonic())  # not before it was seen, lest it ends before the leader's own
        if highest and highest.beat != _RELEASED and asked_at - self._seen[1] < self._seconds:
            return False
        number = highest.number + 1 if highest else 1
        if not await self._archive.create(_term_object(number)):
            return False
        won = await self._highest()
        if won is None or won.number != number:
            return False
        self._mine = won
        await self._beat(won, asked_at)
        log.warning("this forwarder leads", term=number)
        if highest:
            await self._archive.delete(highest.instance_id)
        return True

    async def _beat(self, term: _Term, asked_at: float) -> None:
        self._beats += 1
        beat = json.dumps({"holder": self._holder, "beat": self._beats})
        await self._archive.note(f"/instances/{term.instance_id}", beat)
        self._beaten_at = asked_at  # the lease counts from before the archive was asked

    async def _highest(self) -> _Term | None:
        found = []
        for study_id in await self._archive.lookup(STUDY_UID, "Study"):
            try:
                found += await self._archive.json(f"/studies/{study_id}/instances")
            except NotStored:
                continue  # the last old term went while we asked
        if not found:
            return None
        latest = max(found, key=lambda each: int(each["MainDicomTags"]["InstanceNumber"]))
        beat = await self._archive.noted(f"/instances/{latest['ID']}")
        return _Term(int(latest["MainDicomTags"]["InstanceNumber"]), str(latest["ID"]), beat or "")


def _term_object(number: int) -> bytes:
    """A term as DICOM: raw data of nobody, in a study of its own."""
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.file_meta.MediaStorageSOPClassUID = RawDataStorage, RawDataStorage
    dataset.SOPInstanceUID = result_uid("lease", "lease", number)
    dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.UID(dataset.SOPInstanceUID)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY_UID, _SERIES_UID
    dataset.PatientID, dataset.PatientName = "ARTICULA-LEASE", "Articula lease, no patient"
    dataset.StudyDescription = "Which Articula forwarder leads"
    dataset.Modality, dataset.InstanceNumber = "OT", number
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
