"""What was lost comes back from what the archive holds, and what changed in the archive is followed."""

import asyncio
import time
from datetime import UTC, datetime
from io import BytesIO

import pydicom
import pytest

from services.common.errors import RefusalCode
from services.common.status import StudyState, StudyStatus
from services.common.study import Provenance
from services.common.uids import is_result_uid, result_uid
from services.common.volume import Plane
from services.forwarder.ledger import LedgerInUse, only_one
from services.forwarder.sweep import _VERSION_SECONDS
from services.results.feedback import Opinion, Verdict, feedback_object
from services.results.manifest import manifest_object
from services.results.no_result import no_result_object
from services.results.part10 import to_bytes
from tests.fakes.orthanc_server import orthanc_id
from tests.forwarder.test_sweep import results
from tests.studies import series


def lose_ledger(site) -> None:
    for file in site.folder.glob("ledger.sqlite*"):
        file.unlink()


def last(site) -> StudyStatus:
    return StudyStatus.from_json(list(site.orthanc.statuses.values())[-1])


async def receive_and_settle(bench) -> None:
    bench.receive(series(Plane.SAGITTAL))
    await bench.settle(4)


def put_real_no_result(site, digest: str) -> None:
    """Store what the service stores where there is nothing to find: a report with its code, and the manifest."""
    source = next(iter(site.orthanc.datasets.values()))
    provenance = Provenance(digest, "knee", "1", "p", {})
    report = no_result_object(source, RefusalCode.NO_SIGNAL, provenance=provenance)
    manifest = manifest_object([report], source, provenance=provenance)
    for each in (report, manifest):
        site.orthanc.put(to_bytes(each))


def delete_results(site) -> None:
    for instance, each in list(site.orthanc.datasets.items()):
        if is_result_uid(str(each.SOPInstanceUID)):
            site.orthanc.delete(instance)


def test_with_ledger_and_state_lost_the_stored_report_says_how_it_ended(site):
    """A missing result is still one, with its code and advice, and nothing is sent again."""
    site.service.answers = ["no_result"]
    site.run(receive_and_settle)
    delete_results(site)
    put_real_no_result(site, site.service.headers[0].input_digest)
    lose_ledger(site)
    site.orthanc.statuses.clear()
    site.run(lambda bench: bench.settle(2))
    assert (last(site).state, last(site).code) == (StudyState.NO_RESULT, "NO_SIGNAL")
    assert "Check the acquisition" in last(site).advice
    assert len(site.service.headers) == 1


@pytest.mark.parametrize("code", ["OTHER_ANATOMY", "PROCESSING_ERROR"])
def test_with_the_ledger_lost_a_refusal_without_objects_stands(site, code):
    """What is shown on the study is the only trace; the study is not sent again."""
    site.service.answers = [code]
    site.run(receive_and_settle)
    before = last(site)
    lose_ledger(site)
    site.run(lambda bench: bench.settle(3))
    assert last(site) == before
    assert len(site.service.headers) == 1


def test_with_the_ledger_lost_a_deadly_study_does_not_get_its_attempts_back(site):
    """Each forwarder that takes over goes on counting where the last one was."""
    site.service.answers = ["PROCESSING_CRASHED"] * 9

    async def one_attempt(bench):
        if not bench.orthanc.files:
            bench.receive(series(Plane.SAGITTAL))
        await bench.settle(1)

    for _ in range(5):
        site.run(one_attempt)
        lose_ledger(site)
    assert len(site.service.headers) == 3
    assert last(site).state == StudyState.FAILED


def test_a_result_that_somebody_deleted_is_made_again_whatever_is_shown(site):
    """A final state is not believed where its objects are missing."""
    site.service.answers = ["no_result"]
    site.run(receive_and_settle)
    delete_results(site)
    lose_ledger(site)
    site.run(lambda bench: bench.settle(3))
    assert len(site.service.headers) == 2
    assert last(site).state == StudyState.DONE


def test_an_overwritten_one_instance_study_is_analysed_as_it_is_now(site):
    """Orthanc deletes and makes anew such a study, its state among it; the new bytes are another input."""
    first, second = (series(Plane.SAGITTAL, slices=1, SeriesDescription=each) for each in ("one", "two"))

    async def body(bench):
        study_id = bench.receive(first)
        await bench.settle(3)
        (source,) = [key for key, each in site.orthanc.datasets.items() if not is_result_uid(each.SOPInstanceUID)]
        site.orthanc.delete(source)
        site.orthanc.statuses.clear()
        site.orthanc.clock = "20250101T000009"
        assert bench.receive(second) == study_id
        await bench.settle(3)

    site.run(body)
    digests = [header.input_digest for header in site.service.headers]
    assert len(set(digests)) == 2
    assert results(site.orthanc) == [result_uid(digests[1], "object"), result_uid(digests[1], "manifest")]
    assert last(site).input_digest == digests[1]


def test_work_on_a_deleted_study_is_stopped(site):
    """The sweep that misses the study ends its stream; the place is free at once."""

    async def body(bench):
        site.service.gate = asyncio.Event()
        study_id = bench.receive(series(Plane.SAGITTAL))
        await bench.sweep.once()
        await asyncio.sleep(0.2)
        assert bench.dispatcher.runs(study_id)
        for instance in site.orthanc.of_study(study_id):
            site.orthanc.delete(instance)
        await bench.sweep.once()
        await asyncio.sleep(0.1)
        assert not bench.dispatcher.runs(study_id)
        assert bench.ledger.board.rows() == []

    site.run(body)


def test_a_clock_that_steps_back_hides_nothing_for_longer_than_an_audit(site):
    """An image may come at the very second at which the study was last changed before the step."""

    async def body(bench):
        bench.receive(series(Plane.SAGITTAL))
        await bench.settle(2)
        await asyncio.sleep(_VERSION_SECONDS)
        await bench.settle(1)
        site.orthanc.clock = "20241231T230000"  # an hour back: another version, though an older one
        bench.receive(series(Plane.SAGITTAL, slices=9)[8:])
        await bench.settle(2)
        assert [header.instance_count for header in site.service.headers] == [8, 9]
        await asyncio.sleep(_VERSION_SECONDS)
        await bench.settle(1)
        bench.receive(series(Plane.SAGITTAL, slices=10)[9:])  # the same second as before
        bench.sweep._visits._audit_seconds = 0
        await bench.settle(2)

    site.run(body)
    assert [header.instance_count for header in site.service.headers] == [8, 9, 10]


def test_a_new_pipeline_may_be_for_new_studies_alone(site):
    """What an older one read stays as it is, until somebody asks for it; a new study gets the new one."""

    async def after_the_upgrade(bench):
        await bench.settle(2)
        assert len(site.service.headers) == 1
        bench.receive(series(Plane.SAGITTAL, StudyInstanceUID="1.2.3.4"))
        await bench.settle(2)
        assert [header.study_instance_uid for header in site.service.headers][1:] == ["1.2.3.4"]
        (first,) = [row["id"] for row in bench.ledger.board.rows() if row["id"] != orthanc_id_of("1.2.3.4", site)]
        bench.ledger.ask_again(first, "anna")
        await bench.settle(3)

    site.run(receive_and_settle)
    site.service.pipeline_digest = "e" * 64
    site.run(after_the_upgrade, upgrades="new")
    assert len(site.service.headers) == 3
    assert site.service.headers[2].study_instance_uid == site.service.headers[0].study_instance_uid
    assert len(results(site.orthanc)) == 4  # two sets: one a study


def test_new_images_make_a_study_new_whatever_the_policy(site):
    """New images make a study new, whatever the policy."""
    site.run(receive_and_settle)
    site.service.pipeline_digest = "e" * 64

    async def more(bench):
        site.orthanc.clock = "20250101T000009"
        bench.receive(series(Plane.CORONAL, number=2))
        await bench.settle(3)

    site.run(more, upgrades="new")
    assert [header.instance_count for header in site.service.headers] == [8, 16]


def test_what_a_crash_left_of_an_older_set_is_removed_and_opinions_stay(site):
    """Only the current manifest's objects may stay beside what people said."""
    site.run(receive_and_settle)
    source = next(iter(site.orthanc.datasets.values()))
    old = "0" * 64
    provenance = Provenance(old, "knee", "1", "p", {})
    report = no_result_object(source, RefusalCode.NO_SIGNAL, provenance=provenance)
    opinion = Opinion("ACL", Verdict.AGREE, "anna", datetime.now(UTC), "1")
    feedback = feedback_object(pydicom.dcmread(BytesIO(to_bytes(report))), [opinion])
    for each in (to_bytes(report), to_bytes(feedback)):
        site.orthanc.put(each)
    site.run(lambda bench: bench.settle(2))
    digest = site.service.headers[0].input_digest
    kept = {result_uid(digest, "object"), result_uid(digest, "manifest"), feedback.SOPInstanceUID}
    assert set(results(site.orthanc)) == kept
    assert len(site.service.headers) == 1


def test_a_full_service_is_asked_again_no_sooner_than_it_said(site):
    """The pause counts from what the service asked for, with jitter on top."""
    site.service.answers = ["exhausted"]

    async def body(bench):
        study_id = bench.receive(series(Plane.SAGITTAL))
        await bench.sweep.once()
        await asyncio.gather(*bench.dispatcher._running.values())
        not_before, _ = bench.dispatcher._pauses[study_id]
        assert not_before - time.monotonic() > 6.9
        assert (last(site).state, last(site).code) == (StudyState.RETRYING, "BUSY")

    site.run(body)


def test_a_stop_lets_what_runs_end_within_its_time(site):
    """Drained, not cut: the result is stored, and no attempt is left open."""

    async def body(bench):
        site.service.gate = asyncio.Event()
        bench.receive(series(Plane.SAGITTAL))
        await bench.sweep.once()
        await asyncio.sleep(0.2)
        asyncio.get_running_loop().call_later(0.3, site.service.gate.set)
        await bench.dispatcher.stop(drain_seconds=5)

    site.run(body)
    assert last(site).state == StudyState.DONE
    assert len(results(site.orthanc)) == 2


def test_two_forwarders_never_count_in_one_ledger(tmp_path):
    """The kernel holds the lock and gives it back when its holder dies."""
    path = tmp_path / "ledger.sqlite"
    with only_one(path), pytest.raises(LedgerInUse), only_one(path):
        pass
    with only_one(path):
        pass


def orthanc_id_of(study_instance_uid: str, site) -> str:
    found = [each for each in site.orthanc.datasets.values() if each.StudyInstanceUID == study_instance_uid]
    return orthanc_id(found[0], 2)
