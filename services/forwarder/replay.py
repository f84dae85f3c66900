"""Another analysis because somebody asked for it: a study that failed, had no result, or was read by an older pipeline.

The wish is a row in the ledger, so it outlives this process; the sweep fulfils it. What says why there was no result
goes first, the manifest before the report: what is stored under a UID stays as it is, so the new attempt could not
replace it. A result of the present pipeline stays: the same input would give the same bytes.
"""

import structlog

from services.common.errors import ServiceUnavailable
from services.common.status import StudyState, StudyStatus
from services.common.uids import result_uid
from services.forwarder.archive import Archive
from services.forwarder.dispatch import Dispatcher
from services.forwarder.inputs import Inputs
from services.forwarder.ledger import Ledger

log = structlog.get_logger()

_WITHOUT_FINDINGS = frozenset({StudyState.NO_RESULT, StudyState.FAILED})


class Replay:
    """Fulfils wishes."""

    def __init__(self, archive: Archive, ledger: Ledger, dispatcher: Dispatcher, inputs: Inputs) -> None:
        self._archive = archive
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._inputs = inputs

    async def fulfil(self) -> list[str]:
        """Make every study due again that somebody asked for; returns them. One that can't be now is kept."""
        fulfilled = []
        for study_id in self._ledger.asked_again():
            try:
                await self._again(study_id)
            except ServiceUnavailable as error:
                log.warning("retry is put off", reason=str(error))
            else:
                fulfilled.append(study_id)
        return fulfilled

    async def _again(self, study_id: str) -> None:
        status = await self._archive.shown(study_id)
        if status and not self._dispatcher.runs(study_id) and await self._worth_it(status):
            log.info("study is analysed again on request", state=status.state, code=status.code)
            self._ledger.forget(study_id, status.input_digest)
            if status.state in _WITHOUT_FINDINGS and status.input_digest:
                for kind in ("manifest", "report"):
                    await self._archive.forget(result_uid(status.input_digest, kind))
            self._dispatcher.pause_no_more(study_id)
            await self._archive.show(study_id, StudyStatus(StudyState.WAITING))
        self._ledger.answered(study_id)

    async def _worth_it(self, status: StudyStatus) -> bool:
        if status.state in _WITHOUT_FINDINGS:
            return True
        return status.state is StudyState.DONE and (await self._inputs.pipeline()).digest != status.pipeline
