"""How an input ended, as the archive and the ledger know it.

The archive decides whether there is a result: its manifest is there or not. How it reads, and what was refused for
good, the ledger knows; where the ledger was lost, what is shown on the study; where that is lost too, the stored report
itself. So a new machine with an empty ledger takes over an archive without analysing anything again.
"""

from collections.abc import Sequence

from services.common.errors import ADVICE, DEFECTS, RefusalCode
from services.common.status import StudyState, StudyStatus
from services.common.uids import result_uid
from services.forwarder.archive import Archive, NotStored
from services.forwarder.eligibility import StoredInstance
from services.forwarder.ledger import Ledger
from services.viewer.document import Item

_REASON = "NO-RESULT"  # concept in a report of a missing result whose answer is the code


class Actual:
    """Knows how inputs ended; changes nothing but the ledger's memory."""

    def __init__(self, archive: Archive, ledger: Ledger, *, max_attempts: int) -> None:
        self._archive = archive
        self._ledger = ledger
        self._max_attempts = max_attempts

    async def ended(
        self, study_id: str, digest: str, *, ours: Sequence[StoredInstance], shown: StudyStatus | None
    ) -> StudyStatus | None:
        """How this input ended, None where it has not; raises ``ServiceUnavailable``."""
        about_this = shown if shown is not None and shown.input_digest == digest else None
        if not stored(ours, digest):
            return self._verdict(study_id, digest, about_this)
        if known := self._ledger.outcome(study_id, digest):
            return known
        if about_this is not None and about_this.state.final:
            return about_this
        return await self._told_by_its_report(ours, digest)

    def tried(self, study_id: str) -> bool:
        """Whether an analysis of any input of this study was ever begun."""
        return self._ledger.tried(study_id)

    def _verdict(self, study_id: str, digest: str, shown: StudyStatus | None) -> StudyStatus | None:
        """The final word on an input without a result, or None while it may be tried."""
        if shown is not None and shown.attempts and not self._ledger.knows(study_id, digest):
            self._ledger.recall(study_id, digest, shown.attempts)
            if shown.state.final and shown.code in RefusalCode.__members__:
                self._ledger.judge(study_id, digest, shown.code)
        entry = self._ledger.entry(study_id, digest)
        if entry.verdict:
            return refused(RefusalCode(entry.verdict), digest, entry.attempts)
        if entry.attempts >= self._max_attempts:  # the forwarder itself died in each of them
            return refused(RefusalCode.PROCESSING_CRASHED, digest, entry.attempts)
        return None

    async def _told_by_its_report(self, ours: Sequence[StoredInstance], digest: str) -> StudyStatus:
        report = next((each for each in ours if each.sop_instance_uid == result_uid(digest, "report")), None)
        code = await self._missing_result(report) if report else ""
        if code not in RefusalCode.__members__:
            return StudyStatus(StudyState.DONE, digest)
        return StudyStatus(StudyState.NO_RESULT, digest, code=code, advice=ADVICE[RefusalCode(code)])

    async def _missing_result(self, report: StoredInstance) -> str:
        """The code of a report that says why there is no result, '' for one of findings."""
        try:
            reason = Item(await self._archive.json(f"/instances/{report.instance_id}/tags?simplify")).first(_REASON)
        except NotStored:
            return ""
        return reason.code if reason else ""


def stored(ours: Sequence[StoredInstance], digest: str) -> bool:
    """Whether the result set of an input is committed."""
    manifest = result_uid(digest, "manifest")
    return any(each.sop_instance_uid == manifest for each in ours)


def refused(code: RefusalCode, digest: str, attempts: int) -> StudyStatus:
    """A verdict on the bytes is a missing result; one on repeated runs is a failure that an engineer should see."""
    state = StudyState.FAILED if code in DEFECTS else StudyState.NO_RESULT
    return StudyStatus(state, digest, code=code, advice=ADVICE[code], attempts=attempts)
