"""The input digest of a study as it is stored now: asked for often, so what cannot have changed is remembered.

The service is asked once a sweep what it would run; while it does not answer, one failure stands for all studies. A
stored file never changes, so its hash is asked for once, and the ledger keeps the digest of a whole set of files.
"""

import asyncio

from services.common.errors import ServiceUnavailable
from services.common.pb import analysis_pb2 as pb
from services.common.pb.analysis_pb2_grpc import AnalysisStub
from services.common.status import StudyStatus
from services.forwarder import stream
from services.forwarder.archive import Archive
from services.forwarder.eligibility import StoredInstance, content_digest, files_key, input_digest, sources
from services.forwarder.ledger import Ledger
from services.forwarder.work import Work

_PARALLEL_HASHES = 4
_DESCRIBE_SECONDS = 10.0


class Inputs:
    """Digests, from the archive, the service and the ledger's memory."""

    def __init__(self, archive: Archive, stub: AnalysisStub, ledger: Ledger) -> None:
        self._archive = archive
        self._stub = stub
        self._ledger = ledger
        self._pipeline: pb.PipelineDescription | ServiceUnavailable | None = None
        self._hashing = asyncio.Semaphore(_PARALLEL_HASHES)

    def forget_pipeline(self) -> None:
        """Ask the service again when it is next needed."""
        self._pipeline = None

    async def pipeline(self) -> pb.PipelineDescription:
        """What the service would run now; raises ``ServiceUnavailable``."""
        if self._pipeline is None:
            try:
                self._pipeline = await stream.describe(self._stub, seconds=_DESCRIBE_SECONDS)
            except ServiceUnavailable as error:
                self._pipeline = error
        if isinstance(self._pipeline, ServiceUnavailable):
            raise self._pipeline
        return self._pipeline

    async def digest(self, study_id: str, eligible: list[StoredInstance], pipeline: pb.PipelineDescription) -> str:
        """The input digest of these sources under a pipeline; raises ``ServiceUnavailable``."""
        return input_digest(await self._content(study_id, eligible), pipeline.digest)

    async def differs_by_pipeline(self, study_id: str, eligible: list[StoredInstance], shown: StudyStatus) -> bool:
        """Whether a final status is about these very sources, read by another pipeline than the present one."""
        if not (shown.state.final and shown.pipeline):
            return False
        return input_digest(await self._content(study_id, eligible), shown.pipeline) == shown.input_digest

    async def unchanged(self, work: Work, *, part: bool) -> bool:
        """Whether the study still is what was analysed; a result of other bytes must not be stored.

        Of an early start, which was about a ``part``, only that part counts: the rest is still arriving.
        """
        study_id, sent = work.study.study_id, {each.instance_id for each in work.instances}
        eligible = sources(await self._archive.instances(study_id))
        if part:
            eligible = [each for each in eligible if each.instance_id in sent]
        return bool(eligible) and await self.digest(study_id, eligible, work.pipeline) == work.input_digest

    async def _content(self, study_id: str, eligible: list[StoredInstance]) -> str:
        key = files_key(eligible)
        content = self._ledger.content(study_id, key)
        if content is None:
            hashes = await asyncio.gather(*(self._hash(each) for each in eligible))
            content = content_digest((each.sop_instance_uid, md5) for each, md5 in zip(eligible, hashes, strict=True))
            self._ledger.remember_content(study_id, key, content)
        return content

    async def _hash(self, instance: StoredInstance) -> str:
        async with self._hashing:
            return await self._archive.md5(instance.instance_id)
