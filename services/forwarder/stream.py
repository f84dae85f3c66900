"""One study over the wire: instances up, progress and result objects down, errors typed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import grpc

from services.common.errors import RefusalCode, ServiceBusy, ServiceUnavailable, StreamInvalid, StudyRefused
from services.common.pb import analysis_pb2 as pb
from services.common.pb.analysis_pb2_grpc import AnalysisStub
from services.common.wire import split
from services.forwarder.eligibility import StoredInstance

ReadFile = Callable[[str], Awaitable[bytes]]
OnStage = Callable[[str], Awaitable[None]]


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
        raise _unavailable(error) from error
    return description


async def analyze(stub: AnalysisStub, upload: Upload, *, on_stage: OnStage, seconds: float) -> ResultSet:
    """Stream one study and collect its results.

    Raises ``StudyRefused``, ``ServiceBusy``, ``ServiceUnavailable``, or ``StreamInvalid`` for an answer that is
    incomplete.
    """
    received: dict[str, ReceivedObject] = {}
    accepted = asyncio.Event()
    call = stub.Analyze(_requests(upload, accepted), timeout=seconds)
    try:
        async for response in call:
            match response.WhichOneof("message"):
                case "accepted":
                    accepted.set()
                case "progress":
                    await on_stage(response.progress.stage)
                case "result":
                    _receive(received, response.result)
                case "rejection":
                    raise _rejection(response.rejection)
                case "summary":
                    return ResultSet(_complete(received), response.summary)
    except grpc.aio.AioRpcError as error:
        raise _unavailable(error) from error
    finally:
        call.cancel()
    message = "the stream ended without a summary"
    raise ServiceUnavailable(message)


async def _requests(upload: Upload, accepted: asyncio.Event) -> AsyncIterator[pb.AnalyzeRequest]:
    """The study's messages; nothing follows the header until the service has taken it, or a refusal would be lost."""
    yield pb.AnalyzeRequest(header=upload.header)
    await accepted.wait()
    for index, instance in enumerate(upload.instances):
        for data, last in split(await upload.read_file(instance.instance_id)):
            yield pb.AnalyzeRequest(chunk=pb.InstanceChunk(instance_index=index, data=data, last=last))
    yield pb.AnalyzeRequest(end=pb.EndOfStudy(instance_count=len(upload.instances)))


def _receive(received: dict[str, ReceivedObject], chunk: pb.ResultChunk) -> None:
    uid = chunk.sop_instance_uid
    result = received.setdefault(uid, ReceivedObject(uid, chunk.manifest))
    result.data += chunk.data
    result.complete = chunk.last


def _complete(received: dict[str, ReceivedObject]) -> tuple[ReceivedObject, ...]:
    """The objects with the one manifest last; anything else is no result set."""
    objects = sorted(received.values(), key=lambda each: each.manifest)
    if not all(each.complete for each in objects) or sum(each.manifest for each in objects) != 1:
        message = "the result set is incomplete or has no manifest"
        raise StreamInvalid(message)
    return tuple(objects)


def _rejection(rejection: pb.Rejection) -> Exception:
    if rejection.code in RefusalCode.__members__:
        return StudyRefused(RefusalCode(rejection.code))
    if rejection.code == ServiceBusy.code:
        return ServiceBusy(rejection.message, retry_after_seconds=rejection.retry_after_seconds)
    if rejection.code == ServiceUnavailable.code:
        return ServiceUnavailable(rejection.message)
    return StreamInvalid(rejection.code)


def _unavailable(error: grpc.aio.AioRpcError) -> ServiceUnavailable:
    return ServiceUnavailable(f"Analysis service: {error.code().name}")
