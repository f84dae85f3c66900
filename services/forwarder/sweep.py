"""Desired against actual, again and again: every eligible study carries the result set of its current input.

Nothing here depends on events. A sweep lists the archive's studies and looks at those that changed since the last look;
hints only end the pause early. A study is due when nothing arrived for a while on our own monotonic clock, when the
manifest of its input digest is missing, and when the ledger has no verdict on that digest.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field

import structlog

from services.common.errors import ADVICE, ArticulaError, RefusalCode
from services.common.pb import analysis_pb2 as pb
from services.common.status import StudyState, StudyStatus
from services.common.telemetry import bind_study
from services.common.uids import result_uid
from services.forwarder.archive import Archive
from services.forwarder.dispatch import Dispatcher, Work
from services.forwarder.eligibility import StoredInstance, StoredStudy, foreign, input_digest, sources
from services.forwarder.settings import ForwarderSettings

log = structlog.get_logger()

DONE = StudyState.DONE
_FINAL = frozenset({StudyState.DONE, StudyState.NO_RESULT, StudyState.FAILED})


@dataclass
class Quiescence:
    """When each study's files were first seen as they are now; in memory only, so a restart waits anew."""

    quiet_seconds: float
    _since: dict[str, tuple[frozenset[str], float]] = field(default_factory=dict)

    def quiet(self, study_id: str, instances: list[StoredInstance], now: float) -> bool:
        """Whether the study's source files have been the same for ``quiet_seconds``."""
        files = frozenset(each.file_uuid for each in instances)
        seen, since = self._since.get(study_id, (None, now))
        if seen != files:
            since = now
        self._since[study_id] = (files, since)
        return now - since >= self.quiet_seconds


class Sweep:
    """The loop and its memory, which may be lost at any time."""

    def __init__(self, settings: ForwarderSettings, archive: Archive, dispatcher: Dispatcher) -> None:
        self._settings = settings
        self._archive = archive
        self._dispatcher = dispatcher
        self._quiescence = Quiescence(settings.quiet_seconds)
        self._settled: dict[str, str] = {}  # study -> the version at which nothing was left to do
        self._md5: dict[str, str] = {}  # file -> its hash; a file never changes
        self._hinted = asyncio.Event()
        self._audited = time.monotonic()

    def hint(self) -> None:
        """Something may have happened: end the pause."""
        self._hinted.set()

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            try:
                await self.once()
            except ArticulaError as error:
                log.warning("sweep interrupted", code=error.code, reason=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hinted.wait(), self._settings.sweep_seconds)
            self._hinted.clear()

    async def once(self) -> None:
        """Look at every study that is not settled, and start what is due."""
        if time.monotonic() - self._audited > self._settings.audit_seconds:
            self._settled.clear()
            self._audited = time.monotonic()
        studies = await self._archive.studies()
        for study in studies:
            if self._settled.get(study.study_id) != study.version and not self._dispatcher.has(study.study_id):
                with structlog.contextvars.bound_contextvars():
                    bind_study(study.study_instance_uid, self._settings.log_key)
                    await self._look(study)
        present = {study.study_id for study in studies}
        self._settled = {key: value for key, value in self._settled.items() if key in present}

    async def _look(self, study: StoredStudy) -> None:
        instances = await self._archive.instances(study.study_id)
        eligible = sources(instances)
        if not eligible:
            if foreign(instances):
                await self._show_once(study, _status(StudyState.NO_RESULT, code=RefusalCode.NOT_MR))
            self._settled[study.study_id] = study.version
        elif not self._quiescence.quiet(study.study_id, eligible, time.monotonic()):
            await self._show_once(study, StudyStatus(StudyState.WAITING))
        else:
            await self._look_at_digest(study, eligible)

    async def _look_at_digest(self, study: StoredStudy, eligible: list[StoredInstance]) -> None:
        pipeline = await self._dispatcher.pipeline()
        digest = await self.digest(eligible, pipeline.digest)
        if await self._archive.holds(result_uid(digest, "manifest")):
            await self._show_result(study, digest)
        elif verdict := self._dispatcher.verdict(study.study_id, digest):
            await self._show_once(study, verdict)
        else:
            work = Work(study, tuple(eligible), digest, pipeline.pipeline)
            self._dispatcher.start(work, unchanged=lambda: self._unchanged(work, pipeline))
            return
        self._settled[study.study_id] = study.version

    async def digest(self, eligible: list[StoredInstance], pipeline_digest: str) -> str:
        """The input digest; hashes are asked for once a file."""
        for each in eligible:
            if each.file_uuid not in self._md5:
                self._md5[each.file_uuid] = await self._archive.md5(each.instance_id)
        return input_digest([(each.sop_instance_uid, self._md5[each.file_uuid]) for each in eligible], pipeline_digest)

    async def _unchanged(self, work: Work, pipeline: pb.PipelineDescription) -> bool:
        """Whether the study still is what was analysed; a result of other bytes must not be stored."""
        eligible = sources(await self._archive.instances(work.study.study_id))
        return bool(eligible) and await self.digest(eligible, pipeline.digest) == work.input_digest

    async def _show_result(self, study: StoredStudy, digest: str) -> None:
        """The archive has the result; put the status back where it is lost or out of date."""
        shown = await self._archive.shown(study.study_id)
        if shown is None or shown.state not in _FINAL or shown.input_digest != digest:
            await self._archive.show(study.study_id, StudyStatus(DONE, digest))

    async def _show_once(self, study: StoredStudy, status: StudyStatus) -> None:
        if await self._archive.shown(study.study_id) != status:
            log.info("study state", state=status.state, code=status.code)
            await self._archive.show(study.study_id, status)


def _status(state: StudyState, *, code: RefusalCode) -> StudyStatus:
    return StudyStatus(state, code=code, advice=ADVICE[code])
