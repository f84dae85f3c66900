"""A sick Triton costs nobody anything for long."""

import asyncio

import pytest

from services.common.errors import ServiceUnavailable
from services.common.pb import analysis_pb2 as pb
from services.preprocessing.breaker import FAILURES_IN_A_ROW, Breaker
from tests.fakes.triton_server import FakeTriton, fake_triton
from tests.preprocessing.live_service import analyze, files_of, requests, service
from tests.studies import study


def test_a_few_failures_in_a_row_open_it_and_one_success_closes_it():
    """Single failures are life; a row of them is an illness."""
    breaker = Breaker(failures=3, seconds=60)
    for _ in range(2):
        breaker.failed()
    breaker.worked()
    for _ in range(2):
        breaker.failed()
    breaker.require_closed()
    breaker.failed()
    with pytest.raises(ServiceUnavailable) as caught:
        breaker.require_closed()
    assert 50 < caught.value.retry_after_seconds <= 60
    breaker.worked()
    breaker.require_closed()


def test_after_its_time_one_study_tries_and_the_others_wait_for_it():
    """Half open: a recovering Triton is not met by everybody at once."""
    breaker = Breaker(failures=1, seconds=0.05)
    breaker.failed()
    with pytest.raises(ServiceUnavailable):
        breaker.require_closed()
    asyncio.run(asyncio.sleep(0.06))
    breaker.require_closed()
    with pytest.raises(ServiceUnavailable):
        breaker.require_closed()


def test_the_service_refuses_at_the_header_while_triton_is_sick_and_recovers_by_itself(tmp_path):
    """No byte of a study is sent to a service whose models are down; the answer says when to come back."""

    async def once():
        async with service(tmp_path, "127.0.0.1:1") as stub:
            stream = requests(files_of(study()))
            for _ in range(FAILURES_IN_A_ROW):
                accepted = await analyze(stub, stream)
                assert accepted[0].WhichOneof("message") == "accepted"
                assert accepted[-1].rejection.code == "UNAVAILABLE"
            return await analyze(stub, stream)

    (refused,) = asyncio.run(once())
    assert refused.rejection.code == "UNAVAILABLE"
    assert "in a row" in refused.rejection.message
    assert 1 < refused.rejection.retry_after_seconds <= 10


def test_priority_and_deadline_reach_triton(tmp_path):
    """Each request says how urgent its study is, and no request outlives the caller's deadline."""
    triton = FakeTriton()

    async def once():
        with fake_triton(triton) as target:
            async with service(tmp_path, target) as stub:
                await analyze(stub, requests(files_of(study()), priority=pb.PRIORITY_STAT))
                await analyze(stub, requests(files_of(study()), priority=pb.PRIORITY_BACKFILL))

    asyncio.run(once())
    asked = len(triton.requests) // 2
    assert triton.priorities == [1] * asked + [3] * asked
    assert max(triton.seconds_left) <= 5.1
