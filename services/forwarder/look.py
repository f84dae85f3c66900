"""One look at one study: what it should be, what it is, and the step between.

A study is due when its files have been the same for a while on our own monotonic clock, when the manifest of its input
digest is missing, and when there is no verdict on that digest. Where every plane has a whole series already, it need
not wait for the rest: it starts early, once, with the series that are quiet. What comes later is another input, and its
result replaces the early one.
"""

import time
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

import structlog

from services.common.errors import ADVICE, RefusalCode, ServiceUnavailable
from services.common.pb import analysis_pb2 as pb
from services.common.status import StudyState, StudyStatus
from services.forwarder.actual import Actual, stored
from services.forwarder.archive import Archive
from services.forwarder.completeness import complete
from services.forwarder.dispatch import Dispatcher
from services.forwarder.eligibility import StoredInstance, StoredStudy, files_key, foreign, results, sources
from services.forwarder.inputs import Inputs
from services.forwarder.settings import ForwarderSettings
from services.forwarder.steadiness import Steadiness
from services.forwarder.supersession import remove_litter, remove_superseded
from services.forwarder.urgency import BACKFILL, ROUTINE, SENDER, STAT, is_old, read_rules, urgency
from services.forwarder.work import Work

log = structlog.get_logger()

_WAITING = StudyStatus(StudyState.WAITING)
_NOT_MR = StudyStatus(StudyState.NO_RESULT, code=RefusalCode.NOT_MR, advice=ADVICE[RefusalCode.NOT_MR])
_UNREACHABLE = StudyStatus(
    StudyState.RETRYING,
    code=ServiceUnavailable.code,
    advice="The analysis service does not answer. The study is tried again as soon as it does.",
)


@dataclass(frozen=True)
class _Seen:
    """A study as this look found it."""

    study: StoredStudy
    eligible: list[StoredInstance]
    ours: list[StoredInstance]
    shown: StudyStatus | None
    quiet: bool  # nothing arrived for as long as a study waits

    @property
    def final(self) -> bool:
        # it may be about these very files: after a restart nothing is quiet yet, and everything is done
        return self.shown is not None and self.shown.state.final


class Look:
    """Looks at studies and starts what is due. What it remembers may be lost at any time."""

    def __init__(
        self, settings: ForwarderSettings, archive: Archive, dispatcher: Dispatcher, *, inputs: Inputs, actual: Actual
    ) -> None:
        self._settings = settings
        self._archive = archive
        self.dispatcher = dispatcher
        self._inputs = inputs
        self._actual = actual
        self._rules = read_rules(settings.priorities)
        self._files = Steadiness()
        self._series: dict[str, Steadiness] = {}  # of each study that is not quiet
        self._started_early: set[str] = set()
        self.next_quiet = 0.0  # seconds until the next study or series may have been quiet long enough

    def begin(self, present: Collection[str]) -> None:
        """A sweep begins; forget all studies but these."""
        self.next_quiet = self._settings.sweep_seconds
        self._inputs.forget_pipeline()
        self._files.keep_only(present)
        self._series = {key: value for key, value in self._series.items() if key in present}
        self._started_early &= set(present)

    async def watch(self, study: StoredStudy) -> bool:
        """Only read how a study stands, for the worklist; whether that is final."""
        shown = await self._archive.shown(study.study_id)
        return shown is not None and shown.state.final

    async def at(self, study: StoredStudy) -> bool:
        """Bring one study nearer to what it should be; whether nothing is left to do."""
        instances = await self._archive.instances(study.study_id)
        others, eligible = foreign(instances), sources(instances)
        if not others:
            if self._actual.tried(study.study_id):  # else somebody sent results of another archive
                await remove_litter(self._archive, results(instances))
            return True
        quiet = self._quiet(study, eligible or others)
        shown = await self._archive.shown(study.study_id)
        if eligible:
            return await self._at_sources(_Seen(study, eligible, results(instances), shown, quiet))
        settled = quiet or shown == _NOT_MR
        await self._show(study, _NOT_MR if settled else _WAITING, shown)
        return settled

    async def _at_sources(self, seen: _Seen) -> bool:
        await self._triage(seen)
        early = [] if seen.quiet else self._early(seen)
        if not (seen.quiet or early or seen.final):
            await self._wait(seen)
            return False
        pipeline = await self._pipeline()
        if pipeline is None:
            if not seen.final:
                await self._show(seen.study, _UNREACHABLE, seen.shown)
            return False
        if (seen.quiet or seen.final) and await self._settled(seen, pipeline):
            return True
        if seen.quiet:
            await self._start(seen, seen.eligible, pipeline)
        elif early:
            self._started_early.add(seen.study.study_id)
            await self._start(seen, early, pipeline)
        else:
            await self._wait(seen)
        return False

    async def _settled(self, seen: _Seen, pipeline: pb.PipelineDescription) -> bool:
        """Whether the study's present input has ended; then that is shown, and nothing else of ours is left in it."""
        study_id = seen.study.study_id
        digest = await self._inputs.digest(study_id, seen.eligible, pipeline)
        ended = await self._actual.ended(study_id, digest, ours=seen.ours, shown=seen.shown)
        if ended is None:
            return await self._left_to_its_pipeline(seen)
        if stored(seen.ours, digest):
            await remove_superseded(self._archive, seen.ours, digest)
        await self._show(seen.study, ended, seen.shown)
        return True

    async def _left_to_its_pipeline(self, seen: _Seen) -> bool:
        """Whether an older pipeline read these very sources, and the hospital wants it to stay at that.

        Where it wants all of them read again, the study is backfill from now on.
        """
        study_id = seen.study.study_id
        if seen.shown is None or not await self._inputs.differs_by_pipeline(study_id, seen.eligible, seen.shown):
            return False
        if self._settings.upgrades == "new":
            return True
        _, source = self.dispatcher.board.triage(study_id) or ("", "")
        self.dispatcher.board.sort(study_id, BACKFILL, source)
        return False

    async def _start(self, seen: _Seen, instances: list[StoredInstance], pipeline: pb.PipelineDescription) -> None:
        study_id = seen.study.study_id
        priority, source = self.dispatcher.board.triage(study_id) or (ROUTINE, "")
        digest = await self._inputs.digest(study_id, instances, pipeline)
        if await self._actual.ended(study_id, digest, ours=seen.ours, shown=seen.shown):
            return
        if self.dispatcher.full and priority != STAT:
            return  # the next sweep finds it again
        work = Work(
            seen.study,
            tuple(instances),
            digest,
            pipeline,
            last_slice=self._files.since(study_id),
            priority=priority,
            source=source,
        )
        self.dispatcher.start(work, unchanged=partial(self._inputs.unchanged, work, part=not seen.quiet))

    def _early(self, seen: _Seen) -> list[StoredInstance]:
        """The series that have been quiet for long enough, where they are all that an analysis needs; else none."""
        if seen.study.study_id in self._started_early:
            return []
        by_series: dict[str, list[StoredInstance]] = defaultdict(list)
        for each in seen.eligible:
            by_series[each.series_id].append(each)
        steadiness = self._series.setdefault(seen.study.study_id, Steadiness())
        steady: list[StoredInstance] = []
        for key, series in by_series.items():
            same = steadiness.seconds(key, files_key(series), time.monotonic())
            steady += series if self._waited(self._settings.series_quiet_seconds - same) else []
        return sources(steady) if complete(steady) else []

    async def _triage(self, seen: _Seen) -> None:
        """Find out once how urgent the study is and who sent it."""
        study = seen.study
        if self.dispatcher.board.triage(study.study_id):
            return
        first = seen.eligible[0]
        attributes = await self._archive.attributes(first.instance_id)
        priority = urgency(self._rules, {**attributes, SENDER: first.source})
        old = is_old(study.version.partition("/")[0], days=self._settings.backfill_days, now=datetime.now(UTC))
        self.dispatcher.board.sort(study.study_id, BACKFILL if old else priority, first.source)

    async def _pipeline(self) -> pb.PipelineDescription | None:
        try:
            return await self._inputs.pipeline()
        except ServiceUnavailable as error:
            log.warning("service does not answer", reason=str(error))
            return None

    def _quiet(self, study: StoredStudy, instances: list[StoredInstance]) -> bool:
        same = self._files.seconds(study.study_id, files_key(instances), time.monotonic())
        return self._waited(self._settings.quiet_seconds - same)

    def _waited(self, remaining: float) -> bool:
        if remaining > 0:
            self.next_quiet = min(self.next_quiet, remaining)
        return remaining <= 0

    async def _wait(self, seen: _Seen) -> None:
        """Show that the study waits; what was found so far stays to be seen."""
        digest = seen.shown.input_digest if seen.shown and stored(seen.ours, seen.shown.input_digest) else ""
        await self._show(seen.study, replace(_WAITING, input_digest=digest), seen.shown)

    async def _show(self, study: StoredStudy, status: StudyStatus, shown: StudyStatus | None) -> None:
        if status != shown:
            log.info("study state", state=status.state, code=status.code)
            await self._archive.show(study.study_id, status)
