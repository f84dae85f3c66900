"""The wire: chunking, messages, and generated code that matches its proto."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from services.common.finding import Finding, Location
from services.common.pb import analysis_pb2 as pb
from services.common.pb.analysis_pb2_grpc import AnalysisStub
from services.common.volume import Plane
from services.common.wire import CHUNK_BYTES, finding_message, open_channel, split
from tests.fakes.analysis_server import FakeAnalysis, fake_analysis

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_chunks_join_to_the_same_bytes_and_only_the_last_is_marked(size):
    """Any size is cut without loss, an empty file included."""
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    parts = list(split(data))
    assert b"".join(part for part, _ in parts) == data
    assert [last for _, last in parts] == [False] * (len(parts) - 1) + [True]


def test_a_finding_travels_with_its_deciding_image():
    """The summary names label, numbers and place."""
    message = finding_message(Finding("ACL", 0.8, 0.5, Location(Plane.SAGITTAL, 14, "1.2.3")))
    assert (message.label, message.positive, message.plane) == ("ACL", True, "sagittal")
    assert (message.slice_index, message.sop_instance_uid) == (14, "1.2.3")


def test_the_generated_code_is_the_protos(tmp_path):
    """Regenerating services/common/pb changes nothing."""
    subprocess.run([ROOT / "tools/install/generate_wire.sh", tmp_path], check=True)
    for generated in (tmp_path / "services/common/pb").iterdir():
        assert generated.read_text() == (ROOT / "services/common/pb" / generated.name).read_text(), generated.name


def test_studies_are_spread_over_all_servers_behind_a_name():
    """A headless Service names every pod; grpc's own habit is to send everything to the first."""

    async def digests():
        first, second = FakeAnalysis(pipeline_digest="a"), FakeAnalysis(pipeline_digest="b")
        async with (
            fake_analysis(first) as one,
            fake_analysis(second) as two,
            open_channel(f"ipv4:{one},{two}") as channel,
        ):
            stub = AnalysisStub(channel)
            calls = [await stub.Describe(pb.DescribeRequest(), timeout=10, wait_for_ready=True) for _ in range(20)]
            return {call.digest for call in calls}

    assert asyncio.run(digests()) == {"a", "b"}
