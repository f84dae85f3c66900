"""The bounds that docs/durability.md states, held under two hundred studies at once."""

import asyncio
import gc
import time

import psutil
import pytest

from services.common.errors import ServiceBusy, StudyRefused
from services.common.pb import analysis_pb2 as pb
from services.common.volume import Plane
from services.preprocessing.admission import Admission
from services.preprocessing.breaker import Breaker
from services.preprocessing.settings import PreprocessingSettings
from tests.fakes.triton_server import FakeTriton, fake_triton
from tests.preprocessing.live_service import analyze, files_of, requests, service
from tests.studies import series, study

STUDIES = 200
STUDY_MEGABYTES = 8
PARENT_MEGABYTES = 100  # by which the service's own process may grow, whatever knocks at its door


def header(megabytes: int, priority: pb.Priority = pb.PRIORITY_ROUTINE) -> pb.StudyHeader:
    return pb.StudyHeader(total_bytes=megabytes * 2**20, instance_count=1, priority=priority)


def test_the_spool_is_bounded_in_bytes_and_urgent_studies_have_a_share():
    """Together the admitted studies never exceed the bound; the first always fits; bytes are given back."""
    settings = PreprocessingSettings(max_studies=4, max_spool_bytes=100 * 2**20, max_study_bytes=200 * 2**20)
    admission = Admission(settings, Breaker())
    with admission.admitted(header(150)), pytest.raises(ServiceBusy), admission.admitted(header(1)):
        pass
    with admission.admitted(header(70)):
        with pytest.raises(ServiceBusy) as caught, admission.admitted(header(20)):
            pass
        assert caught.value.retry_after_seconds > 0
        with admission.admitted(header(20, pb.PRIORITY_STAT)):
            assert admission.bytes_in_work == 90 * 2**20
    with pytest.raises(StudyRefused), admission.admitted(header(201)):
        pass
    assert (admission.in_work, admission.bytes_in_work) == (0, 0)


@pytest.mark.timeout(200)
def test_two_hundred_studies_at_once_all_end_within_the_stated_memory(tmp_path):
    """Sixteen hundred megabytes knock; a few are let in, the others come back when told, and none is lost."""
    instances = series(Plane.SAGITTAL, PixelData=b"\0\0" * 64 * 72)  # no signal: answered without a model
    ballast = b"x" * (STUDY_MEGABYTES * 2**20)  # a damaged file: left out, but sent and spooled
    stream = requests([*files_of(instances), ballast])
    process = psutil.Process()
    peak, spooled = [0.0], [0.0]

    async def watch(before: float) -> None:
        while True:
            peak[0] = max(peak[0], process.memory_info().rss / 2**20 - before)
            held = [path.stat().st_size for path in (tmp_path / "spool").rglob("*.dcm") if path.exists()]
            spooled[0] = max(spooled[0], sum(held) / 2**20)
            await asyncio.sleep(0.05)

    async def send(stub) -> str:
        async with asyncio.timeout(180):
            while True:
                last = (await analyze(stub, stream))[-1]
                if last.rejection.code != "BUSY":
                    return last.summary.refusal_code
                await asyncio.sleep(0.2 * last.rejection.retry_after_seconds)

    async def once():
        with fake_triton(FakeTriton()) as target:
            async with service(tmp_path, target, max_studies=4) as stub:
                await analyze(stub, stream)
                gc.collect()
                watching = asyncio.create_task(watch(process.memory_info().rss / 2**20))
                ended = await asyncio.gather(*(send(stub) for _ in range(STUDIES)))
                watching.cancel()
                return ended

    assert set(asyncio.run(once())) == {"NO_SIGNAL"}
    assert peak[0] < PARENT_MEGABYTES
    assert spooled[0] < 4 * (STUDY_MEGABYTES + 1)
    assert not list((tmp_path / "spool").iterdir())


def test_work_that_nobody_waits_for_is_stopped(tmp_path):
    """The caller goes away while the worker waits for Triton: the worker is ended, its place and its spool are free."""

    async def once():
        with fake_triton(FakeTriton(delay_seconds=20)) as target:
            async with service(tmp_path, target) as stub:
                call = stub.Analyze(iter(requests(files_of(study()))), timeout=60)
                async for response in call:
                    if response.progress.stage == "infer":
                        break
                call.cancel()
                started = time.monotonic()
                answer = await analyze(stub, requests(files_of(series(Plane.SAGITTAL, PixelData=None))))
                return time.monotonic() - started, answer[-1].summary.refusal_code, list((tmp_path / "spool").iterdir())

    seconds, code, left = asyncio.run(once())
    assert code == "NO_PIXEL_DATA"
    assert seconds < 15
    assert left == []
