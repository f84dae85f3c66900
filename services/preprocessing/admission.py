"""Admission control: what is let in is bounded, what is not is told when to come back.

The bound on memory and disk follows from it: at most ``max_studies + urgent_places`` studies of at most
``max_study_bytes`` lie in the spool, and only as many as there are workers are in memory. The urgent places are for
STAT studies alone, so a full house never keeps one out.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from services.common.errors import RefusalCode, ServiceBusy, StudyRefused
from services.common.pb import analysis_pb2 as pb
from services.preprocessing.settings import PreprocessingSettings

RETRY_AFTER_SECONDS = 5.0


class Admission:
    """Counts studies in work. Used from one event loop only."""

    def __init__(self, settings: PreprocessingSettings) -> None:
        self._settings = settings
        self.in_work = 0

    @contextmanager
    def admitted(self, header: pb.StudyHeader) -> Iterator[None]:
        """Hold a place while the body runs.

        Raises ``StudyRefused`` (``TOO_LARGE``) for a study that never fits, ``ServiceBusy`` while all places that its
        priority may take are taken.
        """
        limits = self._settings
        if header.total_bytes > limits.max_study_bytes or header.instance_count > limits.max_instances:
            raise StudyRefused(RefusalCode.TOO_LARGE)
        urgent = header.priority == pb.PRIORITY_STAT
        if self.in_work >= limits.max_studies + (limits.urgent_places if urgent else 0):
            message = f"{self.in_work} studies are in work"
            raise ServiceBusy(message, retry_after_seconds=RETRY_AFTER_SECONDS)
        self.in_work += 1
        try:
            yield
        finally:
            self.in_work -= 1
