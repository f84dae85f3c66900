"""Studies on their way through the service: a few at a time, urgent ones first, each attempt counted before it begins.

Trouble of the service (busy, down, too slow) costs no attempt and is tried again after a growing, jittered pause, as
long as the retry budget allows. Trouble that may be the study's (it kills its worker, a model breaks its contract)
costs one; after ``max_attempts`` the study is set aside with its code, visible on the study.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

import structlog

from services.common.errors import (
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
from services.common.turns import Turns
from services.forwarder import stream
from services.forwarder.actual import refused
from services.forwarder.archive import Archive
from services.forwarder.board import Board
from services.forwarder.budget import RetryBudget
from services.forwarder.eligibility import results
from services.forwarder.ledger import Ledger
from services.forwarder.metrics import STUDY_SECONDS
from services.forwarder.settings import ForwarderSettings
from services.forwarder.store import store_result_set
from services.forwarder.supersession import remove_superseded
from services.forwarder.work import Unchanged, Work

log = structlog.get_logger()

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 60.0
_MOST_WAITING = 200  # studies that wait for a place, with the lists of their files; the sweep knows the others


class Dispatcher:
    """Runs work; knows what is running and what must pause."""

    def __init__(self, settings: ForwarderSettings, archive: Archive, stub: AnalysisStub, ledger: Ledger) -> None:
        self._settings = settings
        self._archive = archive
        self._stub = stub
        self._ledger = ledger
        self._running: dict[str, asyncio.Task[None]] = {}
        self._pauses: dict[str, tuple[float, float]] = {}  # study -> (not before, length of the pause)
        self._budget = RetryBudget()
        self._places, self._urgent_places = Turns[None](quota=settings.studies_per_source), Turns[None]()
        for _ in range(settings.parallel_studies):
            self._places.add(None)
        for _ in range(settings.urgent_places):
            self._urgent_places.add(None)
        archive.observers.append(ledger.board.note)

    @property
    def board(self) -> Board:
        """What the worklist shows."""
        return self._ledger.board

    @property
    def full(self) -> bool:
        """Whether so many studies wait that no more should be started."""
        return len(self._running) >= _MOST_WAITING

    def has(self, study_id: str) -> bool:
        """Whether the study is on its way or has to pause."""
        return study_id in self._running or self._pauses.get(study_id, (0.0, 0.0))[0] > time.monotonic()

    def runs(self, study_id: str) -> bool:
        """Whether the study is on its way."""
        return study_id in self._running

    def pause_no_more(self, study_id: str) -> None:
        """The study may be tried at once."""
        self._pauses.pop(study_id, None)

    def start(self, work: Work, *, unchanged: Unchanged) -> None:
        """Run the work in the background; ``unchanged`` is asked before results are stored."""
        study_id = work.study.study_id
        task = asyncio.create_task(self._run(work, unchanged))
        self._running[study_id] = task
        task.add_done_callback(lambda _: self._running.pop(study_id, None))

    def keep_only(self, study_ids: Collection[str]) -> None:
        """Stop working on all other studies: they are gone, or somebody else works on them."""
        for study_id, task in self._running.items():
            if study_id not in study_ids:
                task.cancel()
        self._pauses = {key: value for key, value in self._pauses.items() if key in study_ids}

    async def stop(self, *, drain_seconds: float = 0.0) -> None:
        """Let what runs end within the time, then cancel it; the next start takes up the rest."""
        if self._running and drain_seconds:
            log.info("draining", studies=len(self._running), seconds=drain_seconds)
            await asyncio.wait(list(self._running.values()), timeout=drain_seconds)
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, work: Work, unchanged: Unchanged) -> None:
        async with self._place(work) as waited:
            try:
                if waited and not await unchanged():
                    return
                await self._attempt(work, unchanged)
            except ServiceUnavailable as error:  # Orthanc; the next sweep takes the study up again
                log.warning("archive does not answer", reason=str(error))

    @asynccontextmanager
    async def _place(self, work: Work) -> AsyncIterator[bool]:
        """Hold a place; yields whether it had to be waited for."""
        urgent = work.urgent and not self._places.free and bool(self._urgent_places.free)
        places = self._urgent_places if urgent else self._places
        waited = not places.free
        await places.take(work.patience_seconds, work.source)
        try:
            yield waited
        finally:
            places.give(None, work.source)

    async def _attempt(self, work: Work, unchanged: Unchanged) -> None:
        study_id = work.study.study_id
        attempt = self._ledger.begin(study_id, work.input_digest)
        try:
            await self._analyze(work, attempt, unchanged)
            self.pause_no_more(study_id)
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

        log.info("study sent", instances=len(work.instances), attempt=attempt, priority=work.priority)
        await on_stage("send")
        answer = await stream.analyze(
            self._stub,
            stream.Upload(work.header, work.instances, self._archive.file),
            on_stage=on_stage,
            seconds=self._settings.study_seconds,
        )
        await on_stage("store")
        if await store_result_set(self._archive, answer, work.study.study_id, unchanged=unchanged):
            await self._finish(work, answer.summary)
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
            pipeline=work.pipeline.digest,
        )
        log.info("study finished", state=status.state, code=summary.refusal_code)
        self._budget.succeeded()
        self._ledger.finish(work.study.study_id, work.input_digest, status)
        self.board.findings(work.study.study_id, _brief(summary))
        ours = results(await self._archive.instances(work.study.study_id))
        await remove_superseded(self._archive, ours, work.input_digest)
        await self._archive.show(work.study.study_id, status)
        STUDY_SECONDS.observe(time.monotonic() - work.last_slice)

    async def _refuse(self, work: Work, refusal: StudyRefused, attempt: int) -> None:
        if refusal.code in TRANSIENT and attempt < self._settings.max_attempts:
            await self._retry_later(work, refusal, attempt)
            return
        log.warning("study refused", code=refusal.code, attempts=attempt)
        self.pause_no_more(work.study.study_id)
        self._ledger.judge(work.study.study_id, work.input_digest, refusal.code)
        await self._archive.show(work.study.study_id, refused(refusal.code, work.input_digest, attempt))

    async def _retry_later(self, work: Work, error: ArticulaError, attempts: int) -> None:
        study_id = work.study.study_id
        pause = min(2 * self._pauses.get(study_id, (0.0, _FIRST_PAUSE_SECONDS / 2))[1], _LONGEST_PAUSE_SECONDS)
        if not self._budget.spend():
            pause = _LONGEST_PAUSE_SECONDS
        jittered = pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
        if isinstance(error, ServiceBusy | ServiceUnavailable):  # never sooner than it asked for
            jittered += error.retry_after_seconds
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
