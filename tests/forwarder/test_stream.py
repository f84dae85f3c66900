"""One study over the wire, against a real gRPC server."""

import asyncio

import pytest

from services.common.errors import RefusalCode, ServiceBusy, ServiceUnavailable, StreamInvalid, StudyRefused
from services.common.pb import analysis_pb2 as pb
from services.common.pb.analysis_pb2_grpc import AnalysisStub
from services.common.wire import CHUNK_BYTES, open_channel
from services.forwarder import stream
from services.forwarder.eligibility import StoredInstance
from tests.fakes.analysis_server import FakeAnalysis, fake_analysis


def call(answer: str, *, seconds: float = 10, sizes=(10, CHUNK_BYTES + 5), unreadable: str = ""):
    """One stream against the fake service, which then answers as told."""
    servicer = FakeAnalysis([answer])
    files = {f"id-{index}": bytes([index]) * size for index, size in enumerate(sizes)}
    instances = [StoredInstance(name, name, "MR", name, len(data)) for name, data in files.items()]
    stages = []

    async def read_file(name):
        if name == unreadable:
            message = "the archive does not answer"
            raise ServiceUnavailable(message)
        return files[name]

    async def on_stage(stage):
        stages.append(stage)

    async def once():
        async with fake_analysis(servicer) as address, open_channel(address) as channel:
            header = pb.StudyHeader(study_instance_uid="1.2", input_digest="d", instance_count=len(files))
            upload = stream.Upload(header, instances, read_file)
            return await stream.analyze(AnalysisStub(channel), upload, on_stage=on_stage, seconds=seconds)

    return asyncio.run(once()), servicer, files, stages


def test_a_stream_delivers_every_byte_and_returns_the_manifest_last():
    """What the service received is what the archive holds; stages are passed on."""
    results, servicer, files, stages = call("findings")
    assert servicer.received == [list(files.values())]
    assert [each.manifest for each in results.objects] == [False, True]
    assert bytes(results.objects[0].data) == b"object"
    assert stages == ["infer"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("busy", ServiceBusy),
        ("die", ServiceUnavailable),
        ("crash", StreamInvalid),
        ("no_manifest", StreamInvalid),
        ("foreign_manifest", StreamInvalid),
        ("NO_GEOMETRY", StudyRefused),
        ("A_CODE_NOBODY_KNOWS", StreamInvalid),
    ],
)
def test_every_way_to_fail_is_typed(answer, error):
    """Busy, gone, broken, incomplete and refused are different errors, because they are treated differently."""
    with pytest.raises(error):
        call(answer)


def test_a_refusal_keeps_its_code():
    """The code of the service is the code on the study."""
    with pytest.raises(StudyRefused) as caught:
        call("UNEVEN_SLICES")
    assert caught.value.code == RefusalCode.UNEVEN_SLICES


def test_the_deadline_holds():
    """A service that hangs is given up."""
    with pytest.raises(ServiceUnavailable, match="DEADLINE"):
        call("slow", seconds=0.5)


def test_an_archive_that_fails_in_the_middle_is_not_taken_for_a_cancellation():
    """An error of the sender reaches us from gRPC as a cancelled call; the error itself comes out."""
    with pytest.raises(ServiceUnavailable, match="archive"):
        call("findings", unreadable="id-1")


def test_a_service_that_is_not_there_is_unavailable():
    """Nobody listens on the port."""

    async def once():
        async with open_channel("127.0.0.1:1") as channel:
            await stream.describe(AnalysisStub(channel), seconds=5)

    with pytest.raises(ServiceUnavailable):
        asyncio.run(once())
