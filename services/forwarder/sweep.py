"""Desired against actual, again and again: every eligible study carries the result set of its current input.

Nothing here depends on events. A sweep lists the archive's studies and looks at those whose turn it is; hints only end
the pause early. Trouble with one study never keeps a sweep from the next one.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable

import structlog

from services.common.errors import ArticulaError
from services.common.telemetry import bind_study
from services.common.wire import PATIENCE_SECONDS, PRIORITY_NAMES
from services.forwarder.archive import Archive
from services.forwarder.eligibility import StoredStudy
from services.forwarder.lease import Leadership
from services.forwarder.look import Look
from services.forwarder.replay import Replay
from services.forwarder.settings import ForwarderSettings
from services.forwarder.steadiness import Steadiness
from services.forwarder.urgency import BACKFILL
from services.forwarder.visits import Visits

log = structlog.get_logger()

# Orthanc dates changes to the second: a version this young may still gain files without changing its name
_VERSION_SECONDS = 2.0
_SHORTEST_PAUSE_SECONDS = 0.2
_PAUSE_PER_LISTING = 4.0  # listing a large archive takes seconds; a fifth of the time is Orthanc's share for it
_OTHERS_SECONDS = 1.0  # for studies that are not on their way, or as long as the pause where that is longer


class Sweep:
    """The loop and its memory, which may be lost at any time."""

    def __init__(
        self, settings: ForwarderSettings, archive: Archive, look: Look, *, replay: Replay, leadership: Leadership
    ) -> None:
        self._settings = settings
        self._archive = archive
        self._look = look
        self._dispatcher = look.dispatcher
        self._replay = replay
        self._leadership = leadership
        self._versions = Steadiness()
        self._visits = Visits(audit_seconds=settings.audit_seconds)
        self._hinted = asyncio.Event()
        self._shortest_pause = _SHORTEST_PAUSE_SECONDS
        self._behind = False  # some studies did not get their turn
        self.beat: Callable[[], None] = lambda: None  # called often while all is well

    def hint(self) -> None:
        """Something may have happened: end the pause."""
        self._hinted.set()

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            self._hinted.clear()
            self.beat()
            try:
                await self.once()
            except ArticulaError as error:
                log.warning("sweep interrupted", code=error.code, reason=str(error))
            await asyncio.sleep(self._shortest_pause)  # a burst of hints is one
            if self._behind:
                continue
            with contextlib.suppress(TimeoutError):
                pause = min(self._settings.sweep_seconds, self._look.next_quiet)
                await asyncio.wait_for(self._hinted.wait(), pause)

    async def once(self) -> None:
        """Look at the studies whose turn it is, and start what is due; one that does not lead only watches."""
        self._behind = False
        leads = await self._leadership.leads()
        if leads:
            for study_id in await self._replay.fulfil():
                self._visits.unsettle(study_id)
        started = time.monotonic()
        studies = await self._archive.studies()
        listed = time.monotonic()
        self._shortest_pause = max(_SHORTEST_PAUSE_SECONDS, _PAUSE_PER_LISTING * (listed - started))
        ages = self._begin(studies, leads=leads)
        on_their_way, others = self._visits.order(studies, listed, is_backfill=self._is_backfill)
        for study in sorted(on_their_way, key=self._urgency):
            await self._visit(study, ages[study.study_id], leads=leads)
        ends = time.monotonic() + max(_OTHERS_SECONDS, self._shortest_pause)
        for study in others:
            if time.monotonic() > ends:
                self._behind = True
                return
            await self._visit(study, ages[study.study_id], leads=leads)

    def _begin(self, studies: list[StoredStudy], *, leads: bool) -> dict[str, float]:
        """Forget what is gone; for how long each study has had its present version, in seconds."""
        present = {study.study_id for study in studies}
        self._dispatcher.board.see(studies)
        self._dispatcher.keep_only(present if leads else ())
        self._versions.keep_only(present)
        self._visits.keep_only(present)
        self._look.begin(present)
        now = time.monotonic()
        return {each.study_id: self._versions.seconds(each.study_id, each.version, now) for each in studies}

    async def _visit(self, study: StoredStudy, age: float, *, leads: bool) -> None:
        self.beat()
        if self._dispatcher.has(study.study_id):
            return
        with structlog.contextvars.bound_contextvars():
            bind_study(study.study_instance_uid, self._settings.log_key)
            ended = await self._look_safely(study, leads=leads)
        if ended:
            self._dispatcher.board.finish(study.study_id)
        self._visits.made(study, time.monotonic(), settled=ended and age >= _VERSION_SECONDS)

    async def _look_safely(self, study: StoredStudy, *, leads: bool) -> bool:
        """Look at one study; whatever goes wrong concerns this study only."""
        try:
            return await (self._look.at(study) if leads else self._look.watch(study))
        except ArticulaError as error:
            log.warning("study not looked at", code=error.code, reason=str(error))
        except Exception as error:  # noqa: BLE001 - its text may quote the study
            log.critical("unexpected error", code=type(error).__name__)
        return False

    def _is_backfill(self, study_id: str) -> bool:
        known = self._dispatcher.board.triage(study_id)
        return known is not None and known[0] == BACKFILL

    def _urgency(self, study: StoredStudy) -> float:
        """Urgent studies are looked at first, then those that nobody has looked at yet."""
        known = self._dispatcher.board.triage(study.study_id)
        return PATIENCE_SECONDS[PRIORITY_NAMES[known[0]]] if known else 1.0
