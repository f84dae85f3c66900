"""Desired against actual, again and again: every eligible study carries the result set of its current input.

Nothing here depends on events. A sweep lists the archive's studies and looks at those that changed since the last look;
hints only end the pause early. A study is due when its files have been the same for a while on our own monotonic clock,
when the manifest of its input digest is missing, and when the ledger has no verdict on that digest. Trouble with one
study never keeps a sweep from the next one.
"""

import asyncio
import contextlib
import time
from functools import partial

import structlog

from services.common.errors import ADVICE, ArticulaError, RefusalCode, ServiceUnavailable
from services.common.pb import analysis_pb2 as pb
from services.common.status import StudyState, StudyStatus
from services.common.telemetry import bind_study
from services.common.uids import result_uid
from services.forwarder.archive import Archive
from services.forwarder.dispatch import Dispatcher, Work
from services.forwarder.eligibility import StoredInstance, StoredStudy, files_key, foreign, sources
from services.forwarder.inputs import Inputs
from services.forwarder.settings import ForwarderSettings
from services.forwarder.steadiness import Steadiness

log = structlog.get_logger()

_WAITING = StudyStatus(StudyState.WAITING)
_NOT_MR = StudyStatus(StudyState.NO_RESULT, code=RefusalCode.NOT_MR, advice=ADVICE[RefusalCode.NOT_MR])
_UNREACHABLE = StudyStatus(
    StudyState.RETRYING,
    code=ServiceUnavailable.code,
    advice="The analysis service does not answer. The study is tried again as soon as it does.",
)
# Orthanc dates changes to the second: a version this young may still gain files without changing its name
_VERSION_SECONDS = 2.0
_SHORTEST_PAUSE_SECONDS = 0.2
_PAUSE_PER_LISTING = 4.0  # listing a large archive takes seconds; a fifth of the time is Orthanc's share for it


class Sweep:
    """The loop and its memory, which may be lost at any time."""

    def __init__(self, settings: ForwarderSettings, archive: Archive, dispatcher: Dispatcher, inputs: Inputs) -> None:
        self._settings = settings
        self._archive = archive
        self._dispatcher = dispatcher
        self._inputs = inputs
        self._versions, self._files = Steadiness(), Steadiness()
        self._settled: dict[str, str] = {}  # study -> the version at which nothing was left to do
        self._hinted = asyncio.Event()
        self._audited = time.monotonic()
        self._shortest_pause = _SHORTEST_PAUSE_SECONDS
        self._next_quiet = 0.0

    def hint(self) -> None:
        """Something may have happened: end the pause."""
        self._hinted.set()

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            self._hinted.clear()
            try:
                await self.once()
            except ArticulaError as error:
                log.warning("sweep interrupted", code=error.code, reason=str(error))
            await asyncio.sleep(self._shortest_pause)  # a burst of hints is one
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hinted.wait(), min(self._settings.sweep_seconds, self._next_quiet))

    async def once(self) -> None:
        """Look at every study that is not settled, and start what is due."""
        self._audit()
        await self._retry()
        started = time.monotonic()
        studies = await self._archive.studies()
        self._shortest_pause = max(_SHORTEST_PAUSE_SECONDS, _PAUSE_PER_LISTING * (time.monotonic() - started))
        self._dispatcher.board.see(studies)
        self._next_quiet = self._settings.sweep_seconds
        self._inputs.forget_pipeline()
        self._forget_all_but({study.study_id for study in studies})
        for study in studies:
            version_seconds = self._versions.seconds(study.study_id, study.version, time.monotonic())
            if self._settled.get(study.study_id) == study.version or self._dispatcher.has(study.study_id):
                continue
            with structlog.contextvars.bound_contextvars():
                bind_study(study.study_instance_uid, self._settings.log_key)
                if await self._look_safely(study):
                    self._dispatcher.board.finish(study.study_id)
                    if version_seconds >= _VERSION_SECONDS:
                        self._settled[study.study_id] = study.version

    async def _retry(self) -> None:
        """Fulfil what people asked for; a wish that can't be fulfilled now is kept for the next sweep."""
        for study_id in self._dispatcher.asked_again():
            try:
                await self._dispatcher.retry(study_id)
            except ServiceUnavailable as error:
                log.warning("retry is put off", reason=str(error))
            else:
                self._settled.pop(study_id, None)

    def _audit(self) -> None:
        """Now and then trust nothing remembered: the archive does not tell of deletions."""
        if time.monotonic() - self._audited > self._settings.audit_seconds:
            self._settled.clear()
            self._audited = time.monotonic()

    def _forget_all_but(self, present: set[str]) -> None:
        self._versions.keep_only(present)
        self._files.keep_only(present)
        self._settled = {key: value for key, value in self._settled.items() if key in present}

    async def _look_safely(self, study: StoredStudy) -> bool:
        """Look at one study; whatever goes wrong concerns this study only."""
        try:
            return await self._look(study)
        except ArticulaError as error:
            log.warning("study not looked at", code=error.code, reason=str(error))
        except Exception as error:  # noqa: BLE001 - its text may quote the study
            log.critical("unexpected error", code=type(error).__name__)
        return False

    async def _look(self, study: StoredStudy) -> bool:
        """Bring one study nearer to what it should be; whether nothing is left to do."""
        instances = await self._archive.instances(study.study_id)
        others, eligible = foreign(instances), sources(instances)
        if not others:
            return True
        quiet = self._quiet(study, eligible or others)
        shown = await self._archive.shown(study.study_id)
        if eligible:
            return await self._look_at_sources(study, eligible, shown=shown, quiet=quiet)
        settled = quiet or shown == _NOT_MR
        await self._show(study, _NOT_MR if settled else _WAITING, shown)
        return settled

    async def _look_at_sources(
        self, study: StoredStudy, eligible: list[StoredInstance], *, shown: StudyStatus | None, quiet: bool
    ) -> bool:
        # a final status may be about these very files: after a restart nothing is quiet yet, and everything is done
        final = shown is not None and shown.state.final
        if not quiet and not final:
            await self._show(study, _WAITING, shown)
            return False
        pipeline = await self._pipeline()
        if pipeline is None:
            if not final:
                await self._show(study, _UNREACHABLE, shown)
            return False
        digest = await self._inputs.digest(study.study_id, eligible, pipeline)
        if ended := await self._ended(study, digest, shown):
            await self._show(study, ended, shown)
            return True
        if quiet:
            since = self._files.since(study.study_id)
            work = Work(study, tuple(eligible), digest, pipeline.pipeline, since)
            self._dispatcher.start(work, unchanged=partial(self._inputs.unchanged, study.study_id, digest, pipeline))
        else:
            await self._show(study, _WAITING, shown)
        return False

    async def _ended(self, study: StoredStudy, digest: str, shown: StudyStatus | None) -> StudyStatus | None:
        """How this input ended, None where it has not.

        The archive says whether there is a result, the ledger how it reads; where the ledger was lost, what is shown.
        """
        if not await self._archive.holds(result_uid(digest, "manifest")):
            return self._dispatcher.verdict(study.study_id, digest)
        if known := self._dispatcher.outcome(study.study_id, digest):
            return known
        about_this = shown is not None and shown.state.final and shown.input_digest == digest
        return shown if about_this else StudyStatus(StudyState.DONE, digest)

    async def _pipeline(self) -> pb.PipelineDescription | None:
        try:
            return await self._inputs.pipeline()
        except ServiceUnavailable as error:
            log.warning("service does not answer", reason=str(error))
            return None

    def _quiet(self, study: StoredStudy, instances: list[StoredInstance]) -> bool:
        same = self._files.seconds(study.study_id, files_key(instances), time.monotonic())
        remaining = self._settings.quiet_seconds - same
        if remaining > 0:
            self._next_quiet = min(self._next_quiet, remaining)
        return remaining <= 0

    async def _show(self, study: StoredStudy, status: StudyStatus, shown: StudyStatus | None) -> None:
        if status != shown:
            log.info("study state", state=status.state, code=status.code)
            await self._archive.show(study.study_id, status)
