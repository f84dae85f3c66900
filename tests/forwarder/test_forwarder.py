"""The forwarder's parts: what is eligible, what the ledger remembers, what comes back over the stream."""

import asyncio

import pytest

from services.common.errors import RefusalCode, ServiceBusy, ServiceUnavailable, StreamInvalid, StudyRefused
from services.common.pb import analysis_pb2 as pb
from services.common.pb.analysis_pb2_grpc import AnalysisStub
from services.common.uids import is_result_uid, result_uid
from services.common.wire import CHUNK_BYTES, open_channel
from services.forwarder import stream
from services.forwarder.eligibility import StoredInstance, foreign, input_digest, sources
from services.forwarder.ledger import Entry, Ledger
from services.forwarder.sweep import Quiescence
from tests.fakes.analysis_server import FakeAnalysis, fake_analysis

CONTENTS = [("1.2.1", "aa"), ("1.2.2", "bb")]


def stored(uid: str, modality: str = "MR", file_uuid: str = "f") -> StoredInstance:
    return StoredInstance(f"id-{uid}", uid, modality, file_uuid, 10)


def test_only_foreign_mr_instances_are_sources():
    """Our own results and other modalities are left out; the order does not depend on the archive's."""
    own = stored(result_uid("d", "segmentation"), "MR")
    instances = [stored("1.2.9"), own, stored("1.2.3", "CT"), stored("1.2.1")]
    assert [each.sop_instance_uid for each in sources(instances)] == ["1.2.1", "1.2.9"]
    assert own not in foreign(instances)
    assert len(foreign(instances)) == 3


def test_the_digest_names_content_and_pipeline_and_nothing_else():
    """Order does not matter; a changed file, a missing file or another pipeline does."""
    digest = input_digest(CONTENTS, "p")
    assert digest == input_digest(reversed(CONTENTS), "p")
    others = {
        input_digest(CONTENTS[:1], "p"),
        input_digest([CONTENTS[0], ("1.2.2", "cc")], "p"),
        input_digest(CONTENTS, "q"),
    }
    assert len(others | {digest}) == 4


def test_result_uids_are_deterministic_valid_and_recognised():
    """Same digest, kind and index: same UID; at most 64 characters; under our root."""
    uids = [result_uid("d", kind, index) for kind in ("a", "b") for index in range(3)]
    assert len(set(uids)) == 6
    assert uids[0] == result_uid("d", "a", 0)
    assert all(len(uid) <= 64 and is_result_uid(uid) for uid in uids)
    assert all(part == "0" or not part.startswith("0") for uid in uids for part in uid.split("."))
    assert not is_result_uid("1.2.3")


def test_a_study_is_quiet_when_its_files_stopped_changing():
    """Our own clock decides; any new file starts the time anew."""
    watch = Quiescence(quiet_seconds=5)
    first, more = [stored("1")], [stored("1"), stored("2", file_uuid="g")]
    assert not watch.quiet("s", first, now=0)
    assert not watch.quiet("s", first, now=4.9)
    assert not watch.quiet("s", more, now=5.1)
    assert not watch.quiet("s", more, now=10)
    assert watch.quiet("s", more, now=10.2)


def test_the_ledger_remembers_attempts_and_verdicts_over_a_restart(tmp_path):
    """An attempt is on disk before it begins; forgiving takes it back; a verdict is final for its digest only."""
    ledger = Ledger(tmp_path / "folder" / "ledger.sqlite")
    assert [ledger.begin("s", "d"), ledger.begin("s", "d")] == [1, 2]
    ledger.close()
    ledger = Ledger(tmp_path / "folder" / "ledger.sqlite")
    assert ledger.entry("s", "d") == Entry(2, "")
    ledger.forgive("s", "d")
    ledger.judge("s", "d", "NO_SIGNAL")
    assert ledger.entry("s", "d") == Entry(1, "NO_SIGNAL")
    assert ledger.entry("s", "other") == Entry(0, "")
    ledger.close()


def call(answer: str, *, seconds: float = 10, sizes=(10, CHUNK_BYTES + 5)):
    """One stream against the fake service, which then answers as told."""
    servicer = FakeAnalysis([answer])
    files = {f"id-{index}": bytes([index]) * size for index, size in enumerate(sizes)}
    instances = [StoredInstance(name, name, "MR", name, len(data)) for name, data in files.items()]
    stages = []

    async def read_file(name):
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
    [("busy", ServiceBusy), ("die", ServiceUnavailable), ("no_manifest", StreamInvalid), ("NO_GEOMETRY", StudyRefused)],
)
def test_every_way_to_fail_is_typed(answer, error):
    """Busy, gone, incomplete and refused are different errors, because they are treated differently."""
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
