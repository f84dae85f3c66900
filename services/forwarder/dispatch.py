"""Studies on their way through the service: a few at a time, each attempt counted before it begins.

Trouble of the service (busy, down, too slow) costs no attempt and is tried again after a growing, jittered pause.
Trouble that may be the study's (it kills its worker, a model breaks its contract) costs one; after ``max_attempts`` the
study is set aside with its code, visible on the study.
"""

import asyncio
import random
import time
from dataclasses import dataclass
from typing import Any

import structlog

from services.common.errors import (
    ADVICE,
    DEFECTS,
    TRANSIENT,
    ArticulaError,
    RefusalCode,
    ServiceBusy,
    ServiceUnavailable,
    StudyRefused,
)
from services.common.pb import analysis_pb2 as pb
from services.common.pb.analysis_pb2_grpc import AnalysisStub
from services.common.status import StudyState, StudyStatus
from services.common.uids import result_uid
from services.forwarder import stream
from services.forwarder.archive import Archive
from services.forwarder.board import Board
from services.forwarder.eligibility import StoredInstance, StoredStudy
from services.forwarder.ledger import Ledger
from services.forwarder.metrics import STUDY_SECONDS
from services.forwarder.settings import ForwarderSettings
from services.forwarder.store import Unchanged, store_result_set

log = structlog.get_logger()

RETRIABLE = frozenset({StudyState.NO_RESULT, StudyState.FAILED})
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 60.0


@dataclass(frozen=True)
class Work:
    """One study's input, ready to be sent."""

    study: StoredStudy
    instances: tuple[StoredInstance, ...]
    input_digest: str
    pipeline: str
    last_slice: float  # when its last file was first seen, on the monotonic clock

    @property
    def header(self) -> pb.StudyHeader:
        """The first message of its stream."""
        return pb.StudyHeader(
            study_instance_uid=self.study.study_instance_uid,
            pipeline=self.pipeline,
            input_digest=self.input_digest,
            priority=pb.PRIORITY_ROUTINE,
            instance_count=len(self.instances),
            total_bytes=sum(each.file_bytes for each in self.instances),
        )


class Dispatcher:
    """Runs work; knows what is running and what must pause."""

    def __init__(self, settings: ForwarderSettings, archive: Archive, stub: AnalysisStub, ledger: Ledger) -> None:
        self._settings = settings
        self._archive = archive
        self._stub = stub
        self._ledger = ledger
        self._running: dict[str, asyncio.Task[None]] = {}
        self._pauses: dict[str, tuple[float, float]] = {}  # study -> (not before, length of the pause)
        self._places = asyncio.Semaphore(settings.parallel_studies)
        archive.observers.append(ledger.board.note)

    @property
    def board(self) -> Board:
        """What the worklist shows."""
        return self._ledger.board

    def has(self, study_id: str) -> bool:
        """Whether the study is on its way or has to pause."""
        return study_id in self._running or self._pauses.get(study_id, (0.0, 0.0))[0] > time.monotonic()

    def verdict(self, study_id: str, digest: str) -> StudyStatus | None:
        """The final word on an input that has no result, or None while it may be tried."""
        entry = self._ledger.entry(study_id, digest)
        if entry.verdict:
            return _refused(RefusalCode(entry.verdict), digest, entry.attempts)
        if entry.attempts >= self._settings.max_attempts:  # the forwarder itself died in each of them
            return _refused(RefusalCode.PROCESSING_CRASHED, digest, entry.attempts)
        return None

    def outcome(self, study_id: str, digest: str) -> StudyStatus | None:
        """How a stored result set of this input reads, None where it is not remembered."""
        return self._ledger.outcome(study_id, digest)

    def start(self, work: Work, *, unchanged: Unchanged) -> None:
        """Run the work in the background; ``unchanged`` is asked before results are stored."""
        study_id = work.study.study_id
        task = asyncio.create_task(self._run(work, unchanged))
        self._running[study_id] = task
        task.add_done_callback(lambda _: self._running.pop(study_id, None))

    async def stop(self) -> None:
        """Cancel what runs; the service stops working on it, and the next start takes it up again."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, work: Work, unchanged: Unchanged) -> None:
        waited = self._places.locked()
        async with self._places:
            try:
                if waited and not await unchanged():
                    return
                await self._attempt(work, unchanged)
            except ServiceUnavailable as error:  # Orthanc; the next sweep takes the study up again
                log.warning("archive does not answer", reason=str(error))

    async def _attempt(self, work: Work, unchanged: Unchanged) -> None:
        study_id = work.study.study_id
        attempt = self._ledger.begin(study_id, work.input_digest)
        try:
            await self._analyze(work, attempt, unchanged)
            self._pauses.pop(study_id, None)
        except StudyRefused as refusal:
            await self._refuse(work, refusal, attempt)
        except asyncio.CancelledError:
            self._ledger.forgive(study_id, work.input_digest)
            raise
        except (ServiceBusy, ServiceUnavailable) as error:
            self._ledger.forgive(study_id, work.input_digest)
            await self._retry_later(work, error, attempt - 1)
        except Exception as error:  # noqa: BLE001 - a defect must not end the loop; its text may quote the study
            known = isinstance(error, ArticulaError)
            log.critical("unexpected error", error=str(error) if known else type(error).__name__)
            await self._refuse(work, StudyRefused(RefusalCode.PROCESSING_CRASHED), attempt)

    async def _analyze(self, work: Work, attempt: int, unchanged: Unchanged) -> None:
        async def on_stage(stage: str) -> None:
            await self._show(work, StudyState.RUNNING, stage=stage, attempts=attempt)

        log.info("study sent", instances=len(work.instances), attempt=attempt)
        await on_stage("send")
        results = await stream.analyze(
            self._stub,
            stream.Upload(work.header, work.instances, self._archive.file),
            on_stage=on_stage,
            seconds=self._settings.study_seconds,
        )
        await on_stage("store")
        if await store_result_set(self._archive, results, work.study.study_id, unchanged=unchanged):
            await self._finish(work, results.summary)
        else:
            log.info("study changed meanwhile, result dropped")
            self._ledger.forgive(work.study.study_id, work.input_digest)

    async def _finish(self, work: Work, summary: pb.Summary) -> None:
        done = summary.outcome == pb.OUTCOME_FINDINGS
        status = StudyStatus(
            StudyState.DONE if done else StudyState.NO_RESULT,
            work.input_digest,
            code=summary.refusal_code,
            advice=summary.advice,
            seconds=dict(summary.stage_seconds),
        )
        log.info("study finished", state=status.state, code=summary.refusal_code)
        self._ledger.finish(work.study.study_id, work.input_digest, status)
        self.board.findings(work.study.study_id, _brief(summary))
        await self._archive.show(work.study.study_id, status)
        STUDY_SECONDS.observe(time.monotonic() - work.last_slice)

    async def retry(self, study_id: str) -> None:
        """Make a study that ended without findings due again; raises ``ServiceUnavailable`` with the wish kept.

        The objects that say why there was no result go first, the manifest before the report: what is stored under a
        UID stays as it is, so the new attempt could not replace them.
        """
        status = await self._archive.shown(study_id)
        if status and status.state in RETRIABLE and study_id not in self._running:
            log.info("study is analysed again on request", state=status.state, code=status.code)
            self._ledger.forget(study_id, status.input_digest)
            for kind in ("manifest", "report") if status.input_digest else ():
                await self._archive.forget(result_uid(status.input_digest, kind))
            self._pauses.pop(study_id, None)
            await self._archive.show(study_id, StudyStatus(StudyState.WAITING))
        self._ledger.answered(study_id)

    def asked_again(self) -> list[str]:
        """The studies that somebody wants analysed again."""
        return self._ledger.asked_again()

    async def _refuse(self, work: Work, refusal: StudyRefused, attempt: int) -> None:
        if refusal.code in TRANSIENT and attempt < self._settings.max_attempts:
            await self._retry_later(work, refusal, attempt)
            return
        log.warning("study refused", code=refusal.code, attempts=attempt)
        self._pauses.pop(work.study.study_id, None)
        self._ledger.judge(work.study.study_id, work.input_digest, refusal.code)
        await self._archive.show(work.study.study_id, _refused(refusal.code, work.input_digest, attempt))

    async def _retry_later(self, work: Work, error: ArticulaError, attempts: int) -> None:
        study_id = work.study.study_id
        pause = min(2 * self._pauses.get(study_id, (0.0, _FIRST_PAUSE_SECONDS / 2))[1], _LONGEST_PAUSE_SECONDS)
        if isinstance(error, ServiceBusy):
            pause = max(pause, error.retry_after_seconds)
        jittered = pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
        self._pauses[study_id] = (time.monotonic() + jittered, pause)
        log.warning("study is tried again", code=error.code, reason=str(error), seconds=round(jittered, 1))
        await self._show(work, StudyState.RETRYING, code=str(error.code), attempts=attempts)

    async def _show(self, work: Work, state: StudyState, **fields: str | int) -> None:
        """Show a passing state; that this fails is no reason to give up the work."""
        status = StudyStatus(state, work.input_digest, **fields)  # type: ignore[arg-type]
        try:
            await self._archive.show(work.study.study_id, status)
        except ServiceUnavailable as error:
            log.warning("state not shown", reason=str(error))


def _brief(summary: pb.Summary) -> list[dict[str, Any]]:
    """The findings of a summary for the worklist, the most probable first."""
    ordered = sorted(summary.findings, key=lambda each: -each.probability)
    return [
        {"label": each.label, "probability": round(each.probability, 4), "positive": each.positive} for each in ordered
    ]


def _refused(code: RefusalCode, digest: str, attempts: int) -> StudyStatus:
    """A verdict on the bytes is a missing result; one on repeated runs is a failure that an engineer should see."""
    state = StudyState.FAILED if code in DEFECTS else StudyState.NO_RESULT
    return StudyStatus(state, digest, code=code, advice=ADVICE[code], attempts=attempts)
