"""Trouble on the way: what is tried again, what counts against the study, and what is never stored."""

import asyncio
from functools import partial

import pytest

from services.common.status import StudyState, StudyStatus
from services.common.uids import is_result_uid
from services.common.volume import Plane
from tests.fakes.orthanc_server import FakeOrthanc
from tests.fakes.result_objects import result_objects
from tests.studies import series


def results(orthanc) -> list[str]:
    return [uid for uid in orthanc.uids() if is_result_uid(uid)]


def last(orthanc) -> StudyStatus:
    (text,) = orthanc.statuses.values()
    return StudyStatus.from_json(text)


async def receive_and_settle(bench, sweeps=3) -> None:
    bench.receive(series(Plane.SAGITTAL))
    await bench.settle(sweeps)


@pytest.mark.parametrize("trouble", ["die", "busy"])
def test_trouble_of_the_service_is_never_the_studys(site, trouble):
    """More failures than a study has attempts, and still it is done in the end."""
    site.service.answers = [trouble] * 5
    site.run(partial(receive_and_settle, sweeps=8))
    assert last(site.orthanc).state == StudyState.DONE
    assert len(site.service.headers) == 6


def test_the_state_says_that_a_study_is_tried_again(site):
    """Retrying is visible with its reason, and the next try has to wait."""
    site.service.answers = ["die"]

    async def body(bench):
        study_id = bench.receive(series(Plane.SAGITTAL))
        await bench.sweep.once()
        await asyncio.gather(*bench.dispatcher._running.values())
        assert (last(site.orthanc).state, last(site.orthanc).code) == (StudyState.RETRYING, "UNAVAILABLE")
        assert bench.dispatcher.has(study_id)

    site.run(body)


def test_a_defect_that_the_same_bytes_would_meet_again_is_not_retried(site):
    """Failed at once, and loud; a retry would only cost what the first attempt did."""
    site.service.answers = ["PROCESSING_ERROR"] * 3
    site.run(receive_and_settle)
    assert (last(site.orthanc).state, last(site.orthanc).code) == (StudyState.FAILED, "PROCESSING_ERROR")
    assert len(site.service.headers) == 1


@pytest.mark.parametrize("trouble", ["crash", "no_manifest", "foreign_manifest", "PROCESSING_CRASHED"])
def test_a_study_that_breaks_the_service_is_set_aside_after_three_attempts(site, trouble):
    """Failed with a code that asks for an engineer; nothing of it is stored; a restart does not begin anew."""
    site.service.answers = [trouble] * 9
    site.run(partial(receive_and_settle, sweeps=6))
    site.run(lambda bench: bench.settle(2))
    assert (last(site.orthanc).state, last(site.orthanc).code) == (StudyState.FAILED, "PROCESSING_CRASHED")
    assert "engineer" in last(site.orthanc).advice
    assert len(site.service.headers) == 3
    assert results(site.orthanc) == []


def test_a_forwarder_that_dies_with_the_study_is_stopped_from_doing_so_for_ever(site):
    """Attempts are on disk before they begin, so three deaths are counted although nobody saw them."""

    async def die(bench):
        study_id = bench.receive(series(Plane.SAGITTAL))
        site.service.gate, before = asyncio.Event(), len(site.service.headers)
        await bench.sweep.once()
        async with asyncio.timeout(30):
            while len(site.service.headers) == before:  # noqa: ASYNC110 - the fake has no event for it
                await asyncio.sleep(0.01)
        bench.ledger.begin(study_id, site.service.headers[-1].input_digest)  # what a kill leaves behind

    for _ in range(3):
        site.run(die)
    site.service.gate = None
    site.run(lambda bench: bench.settle(2))
    assert last(site.orthanc).state == StudyState.FAILED
    assert len(site.service.headers) == 3


def test_a_refusal_is_final_and_shown_with_its_advice(site):
    """The same bytes get the same answer, so they are sent once."""
    site.service.answers = ["TOO_LARGE"]
    site.run(receive_and_settle)
    site.run(lambda bench: bench.settle(2))
    status = last(site.orthanc)
    assert (status.state, status.code, status.attempts) == (StudyState.NO_RESULT, "TOO_LARGE", 1)
    assert "knee" in status.advice
    assert len(site.service.headers) == 1


def test_a_file_that_can_not_be_read_is_the_archives_trouble(site):
    """The stream is given up, nothing counts against the study, and it is done when the file is readable again."""
    site.orthanc.broken = {"/file": 500}

    async def body(bench):
        await receive_and_settle(bench, sweeps=5)
        assert last(site.orthanc).state == StudyState.RETRYING
        site.orthanc.broken.clear()
        await bench.settle()

    site.run(body)
    assert last(site.orthanc).state == StudyState.DONE


def test_a_state_that_can_not_be_shown_does_not_stop_the_work(site):
    """Display is not worth a result."""
    site.orthanc.broken = {"PUT /studies": 500}
    site.run(receive_and_settle)
    assert len(results(site.orthanc)) == 2


def test_results_of_a_study_that_changed_meanwhile_are_dropped(site):
    """An image more while the study is analysed: that analysis stores nothing, the next one is of all images."""

    async def body(bench):
        site.service.gate = asyncio.Event()
        bench.receive(series(Plane.SAGITTAL))
        await bench.sweep.once()
        await asyncio.sleep(0.2)
        bench.receive(series(Plane.CORONAL, number=2))
        site.service.gate.set()
        await asyncio.gather(*bench.dispatcher._running.values())
        assert results(site.orthanc) == []
        await bench.settle()

    site.run(body)
    assert [header.instance_count for header in site.service.headers] == [8, 16]
    assert len(results(site.orthanc)) == 2


def test_results_of_a_study_that_was_deleted_meanwhile_are_dropped(site):
    """A deleted study does not come back as a shell of results."""

    async def body(bench):
        site.service.gate = asyncio.Event()
        study_id = bench.receive(series(Plane.SAGITTAL))
        await bench.sweep.once()
        await asyncio.sleep(0.2)
        for instance in site.orthanc.of_study(study_id):
            site.orthanc.delete(instance)
        site.service.gate.set()
        await bench.settle()

    site.run(body)
    assert site.orthanc.files == {}


def test_a_study_that_is_deleted_while_its_results_are_stored_leaves_nothing(site, monkeypatch):
    """The objects that were stored afterwards have made a new study; nobody else would ever clear it away."""
    put = FakeOrthanc.put

    def put_and_delete(orthanc, data):
        answer = put(orthanc, data)
        if is_result_uid(str(orthanc.datasets[answer["ID"]].SOPInstanceUID)):
            for instance in orthanc.of_study(answer["ParentStudy"]):
                if instance != answer["ID"]:
                    orthanc.delete(instance)
        return answer

    async def body(bench):
        bench.receive(series(Plane.SAGITTAL))
        monkeypatch.setattr(FakeOrthanc, "put", put_and_delete)
        await bench.settle(4)

    site.run(body)
    assert len(site.service.headers) == 1
    assert site.orthanc.files == {}


def test_an_object_of_another_patient_is_taken_back(site):
    """Nothing of a result set that names another patient stays in the archive."""
    site.service.make_objects = partial(result_objects, PatientID="SOMEBODY-ELSE")
    site.run(partial(receive_and_settle, sweeps=6))
    assert results(site.orthanc) == []
    assert last(site.orthanc).state == StudyState.FAILED


def test_a_manifest_whose_bytes_carry_another_uid_is_noticed(site):
    """Else the set would never be found and be made for ever."""
    site.service.make_objects = partial(result_objects, SOPInstanceUID="1.2.3.4.5")
    site.run(partial(receive_and_settle, sweeps=6))
    assert last(site.orthanc).state == StudyState.FAILED
    assert len(site.service.headers) == 3


def test_results_that_somebody_deleted_are_made_again_each_time(site):
    """Successes are no attempts used up."""

    async def body(bench):
        study_id = bench.receive(series(Plane.SAGITTAL))
        for _ in range(5):
            await bench.settle(2)
            for instance in site.orthanc.of_study(study_id):
                if is_result_uid(site.orthanc.datasets[instance].SOPInstanceUID):
                    site.orthanc.delete(instance)
            bench.sweep._visits.unsettle(study_id)
        await bench.settle(2)

    site.run(body)
    assert len(site.service.headers) == 6
    assert last(site.orthanc).state == StudyState.DONE


def test_a_set_that_was_stored_in_part_is_completed(site):
    """The archive failed after the first object; what is there already stays, and the manifest follows."""

    async def body(bench):
        site.service.gate = asyncio.Event()
        bench.receive(series(Plane.SAGITTAL))
        await bench.sweep.once()
        async with asyncio.timeout(30):
            while not site.service.received:  # noqa: ASYNC110 - the fake has no event for it
                await asyncio.sleep(0.01)
        site.orthanc.broken = {"POST /instances": 507}
        header = site.service.headers[0]
        site.orthanc.put(result_objects(header, list(site.orthanc.files.values()))[0])
        site.service.gate.set()
        await asyncio.gather(*bench.dispatcher._running.values())
        assert len(results(site.orthanc)) == 1
        assert last(site.orthanc).state == StudyState.RETRYING
        site.orthanc.broken.clear()
        await bench.settle()

    site.run(body)
    assert len(results(site.orthanc)) == 2
    assert last(site.orthanc).state == StudyState.DONE


def test_only_so_many_studies_are_streamed_at_once(site):
    """The third waits for a place, and is sent as it is by then."""

    async def body(bench):
        site.service.gate = asyncio.Event()
        for number in range(3):
            bench.receive(series(Plane.SAGITTAL, StudyInstanceUID=f"1.2.3.{number}"))
        await bench.sweep.once()
        await asyncio.sleep(0.3)
        assert len(site.service.headers) == 2
        third = next(uid for uid in ("1.2.3.0", "1.2.3.1", "1.2.3.2") if uid not in sent(site))
        bench.receive(series(Plane.CORONAL, number=2, StudyInstanceUID=third))
        site.service.gate.set()
        await bench.settle()
        assert max(header.instance_count for header in site.service.headers) == 16
        assert all(h.instance_count == 16 for h in site.service.headers if h.study_instance_uid == third)

    site.run(body)


def test_a_stopped_forwarder_gives_its_attempt_back(site):
    """A restart in the middle is nobody's fault."""

    async def body(bench):
        site.service.gate = asyncio.Event()
        study_id = bench.receive(series(Plane.SAGITTAL))
        await bench.sweep.once()
        await asyncio.sleep(0.2)
        await bench.dispatcher.stop()
        assert bench.ledger.entry(study_id, site.service.headers[0].input_digest).attempts == 0

    site.run(body)


def sent(site) -> set[str]:
    return {header.study_instance_uid for header in site.service.headers}
