"""One study's input, ready to be sent."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from services.common.pb import analysis_pb2 as pb
from services.common.wire import PATIENCE_SECONDS, PRIORITY_NAMES
from services.forwarder.eligibility import StoredInstance, StoredStudy

Unchanged = Callable[[], Awaitable[bool]]


@dataclass(frozen=True)
class Work:
    """What is analysed, by what, and how urgently."""

    study: StoredStudy
    instances: tuple[StoredInstance, ...]
    input_digest: str
    pipeline: pb.PipelineDescription
    last_slice: float  # when its last file was first seen, on the monotonic clock
    priority: str = "routine"
    source: str = ""  # whose quota it counts against

    @property
    def header(self) -> pb.StudyHeader:
        """The first message of its stream."""
        return pb.StudyHeader(
            study_instance_uid=self.study.study_instance_uid,
            pipeline=self.pipeline.pipeline,
            input_digest=self.input_digest,
            priority=PRIORITY_NAMES[self.priority],
            instance_count=len(self.instances),
            total_bytes=sum(each.file_bytes for each in self.instances),
            source=self.source,
        )

    @property
    def urgent(self) -> bool:
        """Whether it may take the places that are kept for such work."""
        return PRIORITY_NAMES[self.priority] == pb.PRIORITY_STAT

    @property
    def patience_seconds(self) -> float:
        """How much later than an urgent study it is due that came at the same time."""
        return PATIENCE_SECONDS[PRIORITY_NAMES[self.priority]]
