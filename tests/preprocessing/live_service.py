"""The preprocessing service in this process, its workers in theirs, a fake Triton behind it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path

import grpc
import pydicom

from services.common.pb import analysis_pb2 as pb
from services.common.pb.analysis_pb2_grpc import AnalysisStub, add_AnalysisServicer_to_server
from services.common.server import new_server, serving
from services.common.wire import RETRY_AFTER, open_channel, split
from services.preprocessing.servicer import AnalysisServicer
from services.preprocessing.settings import PreprocessingSettings
from services.preprocessing.worker import WorkerPool
from tests.fakes.triton_server import FakeTriton, fake_triton
from tests.studies import STUDY, part10

DIGEST = "d" * 64
SECONDS = 60


@asynccontextmanager
async def service(folder: Path, triton: str, **settings) -> AsyncIterator[AnalysisStub]:
    """The preprocessing service in this process, its workers in theirs."""
    configured = PreprocessingSettings(triton=triton, spool=folder / "spool", workers=1, infer_seconds=5, **settings)
    pool = WorkerPool(configured)
    server = new_server()
    add_AnalysisServicer_to_server(AnalysisServicer(configured, pool), server)
    try:
        async with serving(server, "127.0.0.1:0", drain_seconds=0.1) as address, open_channel(address) as channel:
            yield AnalysisStub(channel)
    finally:
        pool.close()


def requests(files: Sequence[bytes], **header) -> list[pb.AnalyzeRequest]:
    """A well-formed stream."""
    fields = {
        "study_instance_uid": STUDY,
        "input_digest": DIGEST,
        "instance_count": len(files),
        "total_bytes": sum(map(len, files)),
    }
    stream = [pb.AnalyzeRequest(header=pb.StudyHeader(**{**fields, **header}))]
    for index, data in enumerate(files):
        for part, last in split(data):
            chunk = pb.InstanceChunk(instance_index=index, data=part, last=last)
            stream.append(pb.AnalyzeRequest(chunk=chunk))
    return [*stream, pb.AnalyzeRequest(end=pb.EndOfStudy(instance_count=len(files)))]


async def analyze(stub: AnalysisStub, stream: Sequence[pb.AnalyzeRequest]) -> list[pb.AnalyzeResponse]:
    """Send the header, then, once it is accepted, the rest; returns all responses."""
    accepted = asyncio.Event()

    async def sending():
        yield stream[0]
        await accepted.wait()
        for request in stream[1:]:
            yield request

    responses = []
    try:
        async for response in stub.Analyze(sending(), timeout=SECONDS):
            responses.append(response)
            if response.HasField("accepted"):
                accepted.set()
    except grpc.aio.AioRpcError as error:
        if not _says_it_is_busy(error, responses):
            raise
    return responses


def _says_it_is_busy(error: grpc.aio.AioRpcError, responses: Sequence[pb.AnalyzeResponse]) -> bool:
    """Twice: in a rejection, and in the status with the time to wait."""
    told = dict(error.trailing_metadata()).get(RETRY_AFTER)
    rejection = responses[-1].rejection
    status = error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and rejection.code == "BUSY"
    return status and float(told) == rejection.retry_after_seconds > 0


def objects_of(responses) -> dict[str, pydicom.Dataset]:
    data: dict[str, bytes] = {}
    for result in (response.result for response in responses if response.HasField("result")):
        data[result.sop_instance_uid] = data.get(result.sop_instance_uid, b"") + result.data
    return {uid: pydicom.dcmread(BytesIO(each)) for uid, each in data.items()}


def run(folder: Path, stream: Sequence[pb.AnalyzeRequest], triton: FakeTriton | None = None, **settings):
    """One stream against a fresh service; returns its responses."""

    async def once():
        with fake_triton(triton or FakeTriton()) as target:
            async with service(folder, target, **settings) as stub:
                return await analyze(stub, stream)

    return asyncio.run(once())


def files_of(instances) -> list[bytes]:
    return [part10(each) for each in instances]
