"""Desired against actual, again and again: every eligible study carries the result set of its current input.

Nothing here depends on events. A sweep lists the archive's studies and looks at those that changed since the last look;
hints only end the pause early. Trouble with one study never keeps a sweep from the next one.
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

log = structlog.get_logger()

# Orthanc dates changes to the second: a version this young may still gain files without changing its name
_VERSION_SECONDS = 2.0
_SHORTEST_PAUSE_SECONDS = 0.2
_PAUSE_PER_LISTING = 4.0  # listing a large archive takes seconds; a fifth of the time is Orthanc's share for it


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
        self._settled: dict[str, str] = {}  # study -> the version at which nothing was left to do
        self._hinted = asyncio.Event()
        self._audited = time.monotonic()
        self._shortest_pause = _SHORTEST_PAUSE_SECONDS
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
            with contextlib.suppress(TimeoutError):
                pause = min(self._settings.sweep_seconds, self._look.next_quiet)
                await asyncio.wait_for(self._hinted.wait(), pause)

    async def once(self) -> None:
        """Look at every study that is not settled, and start what is due; one that does not lead only watches."""
        leads = await self._leadership.leads()
        self._audit()
        if leads:
            for study_id in await self._replay.fulfil():
                self._settled.pop(study_id, None)
        started = time.monotonic()
        studies = await self._archive.studies()
        self._shortest_pause = max(_SHORTEST_PAUSE_SECONDS, _PAUSE_PER_LISTING * (time.monotonic() - started))
        self._begin(studies, leads=leads)
        for study in sorted(studies, key=self._urgency):
            self.beat()
            await self._visit(study, leads=leads)

    def _begin(self, studies: list[StoredStudy], *, leads: bool) -> None:
        present = {study.study_id for study in studies}
        self._dispatcher.board.see(studies)
        self._dispatcher.keep_only(present if leads else ())
        self._versions.keep_only(present)
        self._settled = {key: value for key, value in self._settled.items() if key in present}
        self._look.begin(present)

    async def _visit(self, study: StoredStudy, *, leads: bool) -> None:
        version_seconds = self._versions.seconds(study.study_id, study.version, time.monotonic())
        if self._settled.get(study.study_id) == study.version or self._dispatcher.has(study.study_id):
            return
        with structlog.contextvars.bound_contextvars():
            bind_study(study.study_instance_uid, self._settings.log_key)
            if await self._look_safely(study, leads=leads):
                self._dispatcher.board.finish(study.study_id)
                if version_seconds >= _VERSION_SECONDS:
                    self._settled[study.study_id] = study.version

    async def _look_safely(self, study: StoredStudy, *, leads: bool) -> bool:
        """Look at one study; whatever goes wrong concerns this study only."""
        try:
            return await (self._look.at(study) if leads else self._look.watch(study))
        except ArticulaError as error:
            log.warning("study not looked at", code=error.code, reason=str(error))
        except Exception as error:  # noqa: BLE001 - its text may quote the study
            log.critical("unexpected error", code=type(error).__name__)
        return False

    def _audit(self) -> None:
        """Now and then trust nothing remembered: the archive does not tell of deletions."""
        if time.monotonic() - self._audited > self._settings.audit_seconds:
            self._settled.clear()
            self._audited = time.monotonic()

    def _urgency(self, study: StoredStudy) -> float:
        """Urgent studies are looked at first, then those that nobody has looked at yet."""
        known = self._dispatcher.board.triage(study.study_id)
        return PATIENCE_SECONDS[PRIORITY_NAMES[known[0]]] if known else 1.0
