"""One study over the wire: instances up, progress and result objects down, errors typed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import grpc

from services.common.errors import RefusalCode, ServiceBusy, ServiceUnavailable, StreamInvalid, StudyRefused
from services.common.pb import analysis_pb2 as pb
from services.common.pb.analysis_pb2_grpc import AnalysisStub
from services.common.uids import is_result_uid, result_uid
from services.common.wire import RETRY_AFTER, split
from services.forwarder.eligibility import StoredInstance

ReadFile = Callable[[str], Awaitable[bytes]]
OnStage = Callable[[str], Awaitable[None]]

_RESULT_BYTES = 512 * 1024 * 1024  # of one study, held in memory until the set is complete
_LONGEST_RETRY_AFTER_SECONDS = 300.0
# the server failed at this study; every other code says that it could not be reached or has no room
_MAYBE_THE_STUDY = frozenset({grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT})


@dataclass(frozen=True)
class Upload:
    """A study to send: its header, its instances in order, and how to read one."""

    header: pb.StudyHeader
    instances: Sequence[StoredInstance]
    read_file: ReadFile


@dataclass
class ReceivedObject:
    """A result object as it arrives."""

    sop_instance_uid: str
    manifest: bool
    data: bytearray = field(default_factory=bytearray)
    complete: bool = False


@dataclass(frozen=True)
class ResultSet:
    """Everything the service sent about one study."""

    objects: tuple[ReceivedObject, ...]
    summary: pb.Summary


async def describe(stub: AnalysisStub, *, seconds: float) -> pb.PipelineDescription:
    """The pipeline the service would run; raises ``ServiceUnavailable``."""
    try:
        description: pb.PipelineDescription = await stub.Describe(pb.DescribeRequest(), timeout=seconds)
    except grpc.aio.AioRpcError as error:
        message = f"Analysis service: {error.code().name}"
        raise ServiceUnavailable(message) from error
    return description


async def analyze(stub: AnalysisStub, upload: Upload, *, on_stage: OnStage, seconds: float) -> ResultSet:
    """Stream one study and collect its results.

    Raises ``StudyRefused``, ``ServiceBusy``, ``ServiceUnavailable``, or ``StreamInvalid`` for an answer that is
    incomplete or not about this input; what ``read_file`` raises comes through.
    """
    received: dict[str, ReceivedObject] = {}
    sending = _Sending(upload)
    call = stub.Analyze(sending.requests(), timeout=seconds)
    try:
        async for response in call:
            match response.WhichOneof("message"):
                case "accepted":
                    sending.accepted.set()
                case "progress":
                    await on_stage(response.progress.stage)
                case "result":
                    _receive(received, response.result)
                case "rejection":
                    raise _rejection(response.rejection)
                case "summary":
                    return ResultSet(_complete(received, upload.header.input_digest), response.summary)
    except grpc.aio.AioRpcError as error:
        raise _failure(error) from error
    except asyncio.CancelledError:
        if sending.error:  # gRPC turns an error of the request iterator into a cancellation of the call
            raise sending.error from None
        raise
    finally:
        call.cancel()
    message = "the stream ended without a summary"
    raise ServiceUnavailable(message)


class _Sending:
    """The request half of one stream, and what went wrong in it."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self.accepted = asyncio.Event()
        self.error: Exception | None = None

    async def requests(self) -> AsyncIterator[pb.AnalyzeRequest]:
        """The study's messages; nothing follows the header until the service has taken it, or a refusal is lost."""
        try:
            yield pb.AnalyzeRequest(header=self._upload.header)
            await self.accepted.wait()  # as long as the call lives, which has a deadline
            for index, instance in enumerate(self._upload.instances):
                for data, last in split(await self._upload.read_file(instance.instance_id)):
                    yield pb.AnalyzeRequest(chunk=pb.InstanceChunk(instance_index=index, data=data, last=last))
            yield pb.AnalyzeRequest(end=pb.EndOfStudy(instance_count=len(self._upload.instances)))
        except Exception as error:
            self.error = error
            raise


def _receive(received: dict[str, ReceivedObject], chunk: pb.ResultChunk) -> None:
    uid = chunk.sop_instance_uid
    result = received.setdefault(uid, ReceivedObject(uid, chunk.manifest))
    result.data += chunk.data
    result.complete = chunk.last
    if sum(len(each.data) for each in received.values()) > _RESULT_BYTES:
        message = "the result set is larger than any real one"
        raise StreamInvalid(message)


def _complete(received: dict[str, ReceivedObject], input_digest: str) -> tuple[ReceivedObject, ...]:
    """The objects with the one manifest last; anything else is no result set of this input."""
    objects = tuple(sorted(received.values(), key=lambda each: each.manifest))
    manifests = [each.sop_instance_uid for each in objects if each.manifest]
    if manifests != [result_uid(input_digest, "manifest")] or not all(
        each.complete and is_result_uid(each.sop_instance_uid) for each in objects
    ):
        message = "the result set is incomplete, has foreign objects or not the manifest of this input"
        raise StreamInvalid(message)
    return objects


def _rejection(rejection: pb.Rejection) -> Exception:
    if rejection.code in RefusalCode.__members__:
        return StudyRefused(RefusalCode(rejection.code))
    if rejection.code == ServiceBusy.code:
        return ServiceBusy(rejection.message, retry_after_seconds=rejection.retry_after_seconds)
    if rejection.code == ServiceUnavailable.code:
        return ServiceUnavailable(rejection.message, retry_after_seconds=rejection.retry_after_seconds)
    return StreamInvalid(rejection.code)


def _failure(error: grpc.aio.AioRpcError) -> ServiceBusy | ServiceUnavailable | StreamInvalid:
    """Only what may be the study's doing counts against it; a full service may say when to come back."""
    message = f"Analysis service: {error.code().name}"
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return ServiceBusy(message, retry_after_seconds=_retry_after(error))
    ended_under_us = "execute_batch" in (error.debug_error_string() or "")  # the stream ended while we wrote
    blamed = error.code() in _MAYBE_THE_STUDY and not ended_under_us
    return StreamInvalid(message) if blamed else ServiceUnavailable(message)


def _retry_after(error: grpc.aio.AioRpcError) -> float:
    told = dict(error.trailing_metadata() or ()).get(RETRY_AFTER, "0")
    try:
        return min(max(float(told), 0.0), _LONGEST_RETRY_AFTER_SECONDS)
    except ValueError:
        return 0.0
