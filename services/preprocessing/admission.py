"""Admission control: what is let in is bounded, what is not is told when to come back.

The bounds on memory and disk follow from it: at most ``max_studies + urgent_places`` studies lie in the spool, together
of at most ``max_spool_bytes``, and only as many as there are workers are in memory. The urgent places are for STAT
studies alone, so a full house never keeps one out; neither does a full spool, in which they have a share of their own.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from services.common.errors import RefusalCode, ServiceBusy, StudyRefused
from services.common.pb import analysis_pb2 as pb
from services.preprocessing.breaker import Breaker
from services.preprocessing.settings import PreprocessingSettings

RETRY_AFTER_SECONDS = 5.0


class Admission:
    """Counts studies in work and their bytes. Used from one event loop only."""

    def __init__(self, settings: PreprocessingSettings, breaker: Breaker) -> None:
        self._settings = settings
        self._breaker = breaker
        self.in_work = 0
        self.bytes_in_work = 0

    @contextmanager
    def admitted(self, header: pb.StudyHeader) -> Iterator[None]:
        """Hold a place while the body runs.

        Raises ``StudyRefused`` (``TOO_LARGE``) for a study that never fits, ``ServiceBusy`` while all places that its
        priority may take are taken, ``ServiceUnavailable`` while the models don't answer.
        """
        limits = self._settings
        if header.total_bytes > limits.max_study_bytes or header.instance_count > limits.max_instances:
            raise StudyRefused(RefusalCode.TOO_LARGE)
        self._require_room(header)
        self._breaker.require_closed()
        self.in_work += 1
        self.bytes_in_work += header.total_bytes
        try:
            yield
        finally:
            self.in_work -= 1
            self.bytes_in_work -= header.total_bytes

    def _require_room(self, header: pb.StudyHeader) -> None:
        limits = self._settings
        urgent = header.priority == pb.PRIORITY_STAT
        places = limits.max_studies + (limits.urgent_places if urgent else 0)
        room = limits.max_spool_bytes * (1.0 if urgent else limits.max_studies / (limits.max_studies + 1))
        full = self.in_work > 0 and self.bytes_in_work + header.total_bytes > room  # the first always fits
        if self.in_work >= places or full:
            message = f"{self.in_work} studies of {self.bytes_in_work // 2**20} MB are in work"
            raise ServiceBusy(message, retry_after_seconds=RETRY_AFTER_SECONDS)
