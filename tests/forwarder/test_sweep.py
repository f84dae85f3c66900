"""What the forwarder does to an archive: every study ends in one visible state, once, whatever happens on the way."""

import asyncio
from datetime import UTC, datetime

from services.common.pb import analysis_pb2 as pb
from services.common.status import StudyState, StudyStatus
from services.common.uids import is_result_uid, result_uid
from services.common.volume import Plane
from services.forwarder.sweep import _VERSION_SECONDS
from tests.fakes.orthanc_server import orthanc_id
from tests.fakes.result_objects import result_objects
from tests.studies import series, study

CT = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "Modality": "CT"}
OTHER_STUDY = {"StudyInstanceUID": "1.2.3.77", "PatientID": "OTHER"}


def now() -> str:
    """As Orthanc dates changes."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S")


def results(orthanc) -> list[str]:
    return [uid for uid in orthanc.uids() if is_result_uid(uid)]


def shown(orthanc, study_id) -> StudyStatus:
    return StudyStatus.from_json(orthanc.statuses[study_id])


def test_a_study_is_sent_once_and_its_results_are_stored_manifest_last(site):
    """One stream; states in order; our own results are no new input."""

    async def body(bench):
        bench.receive(study())
        await bench.settle(5)
        assert [state for state, _ in bench.states] == ["running", "done"]

    site.run(body)
    assert len(site.service.headers) == 1
    assert len(results(site.orthanc)) == 2
    manifest = site.orthanc.datasets[list(site.orthanc.datasets)[-1]]
    assert manifest.SeriesDescription == "Articula manifest"


def test_a_study_waits_until_nothing_arrived_for_a_while(site):
    """Waiting is shown, and nothing is sent before the quiet time is over."""

    async def body(bench):
        bench.receive(series(Plane.SAGITTAL))
        await bench.settle(2)
        assert bench.states == [("waiting", "")]
        assert site.service.headers == []
        await asyncio.sleep(0.35)
        await bench.settle(2)
        assert bench.states[-1] == ("done", "")

    site.run(body, quiet_seconds=0.3)


def test_a_study_without_mr_images_is_shown_as_such_once_it_is_quiet(site):
    """The code and advice are on the study; nothing is sent, and a CT that comes before its MR is not judged early."""

    async def body(bench):
        study_id = bench.receive(series(Plane.AXIAL, **CT))
        await bench.settle(1)
        assert bench.states == [("waiting", "")]
        await asyncio.sleep(0.35)
        await bench.settle(2)
        assert bench.states == [("waiting", ""), ("no_result", "NOT_MR")]
        assert "MR" in shown(site.orthanc, study_id).advice

    site.run(body, quiet_seconds=0.3)
    assert site.service.headers == []


def test_images_of_other_classes_in_an_mr_series_are_no_input(site):
    """A screenshot says Modality MR too; it is neither sent nor a reason to analyse again."""
    screenshot = series(Plane.SAGITTAL, slices=1, number=7, SOPClassUID="1.2.840.10008.5.1.4.1.1.7")

    async def body(bench):
        bench.receive(series(Plane.SAGITTAL))
        await bench.settle()
        bench.orthanc.clock = "20250101T000005"
        bench.receive(screenshot)
        await bench.settle()

    site.run(body)
    assert [header.instance_count for header in site.service.headers] == [8]


def test_a_study_that_holds_only_our_results_is_left_alone(site):
    """It gets no state: there is nothing to say about it."""

    async def body(bench):
        study_id = bench.receive(series(Plane.SAGITTAL, slices=1))
        await bench.settle()
        site.orthanc.delete(site.orthanc.of_study(study_id)[0])
        site.orthanc.statuses.clear()
        bench.sweep._visits.unsettle(study_id)
        await bench.settle()

    site.run(body)
    assert site.orthanc.statuses == {}
    assert len(site.service.headers) == 1


def test_a_restart_changes_no_final_state(site):
    """After a restart nothing is quiet yet, but what ended has ended: no flicker, and no result is still no result."""
    site.service.answers = ["no_result"]
    site.run(lambda bench: _receive_and_settle(bench, study()))
    before = len(site.orthanc.shown)

    async def again(bench):
        await bench.settle(2)

    site.run(again, quiet_seconds=0.2)
    site.run(again, quiet_seconds=60)
    assert site.orthanc.shown[before:] == []
    assert site.orthanc.shown[-1]["code"] == "NO_GEOMETRY"
    assert len(site.service.headers) == 1


def test_a_lost_ledger_costs_nothing_where_the_archive_has_the_result(site):
    """The result and the state on the study are enough."""
    site.service.answers = ["no_result"]
    site.run(lambda bench: _receive_and_settle(bench, study()))
    for file in site.folder.glob("ledger.sqlite*"):
        file.unlink()
    before = len(site.orthanc.shown)
    site.run(lambda bench: bench.settle(3))
    assert site.orthanc.shown[before:] == []
    assert len(site.service.headers) == 1


def test_a_lost_state_comes_back_as_it_was(site):
    """Orthanc drops metadata when the only instance of a study is overwritten; the ledger still knows the outcome."""
    site.service.answers = ["no_result"]
    site.run(lambda bench: _receive_and_settle(bench, study()))
    last = site.orthanc.shown[-1]
    site.orthanc.statuses.clear()
    site.run(lambda bench: bench.settle(2))
    assert site.orthanc.shown[-1] == last
    assert last["state"] == "no_result"
    assert len(site.service.headers) == 1


def test_a_late_series_makes_a_new_result_that_replaces_the_old(site):
    """Another input has another digest and other result UIDs; one set is visible in the end, the new one."""

    async def body(bench):
        bench.receive(series(Plane.SAGITTAL))
        await bench.settle()
        bench.orthanc.clock = "20250101T000005"
        bench.receive(series(Plane.CORONAL, number=2))
        await bench.settle()

    site.run(body)
    assert [header.instance_count for header in site.service.headers] == [8, 16]
    newest = site.service.headers[-1].input_digest
    assert results(site.orthanc) == [result_uid(newest, "object"), result_uid(newest, "manifest")]


def test_an_instance_within_the_same_second_is_not_lost(site):
    """Orthanc's date of the last change has whole seconds; a study is settled only when its date can't hide more."""

    async def body(bench):
        bench.receive(series(Plane.SAGITTAL))
        await bench.settle()
        bench.receive(series(Plane.SAGITTAL, slices=9)[8:])  # same series, same second
        await bench.settle()

    site.run(body)
    assert [header.instance_count for header in site.service.headers] == [8, 9]


def test_a_settled_study_costs_nothing_and_an_audit_finds_deletions(site):
    """Sweeps list the archive only; the audit looks again, and fewer images are another input."""

    async def body(bench):
        study_id = bench.receive(series(Plane.SAGITTAL))
        await bench.settle()
        await asyncio.sleep(_VERSION_SECONDS)
        await bench.settle(1)
        bench.orthanc.calls.clear()
        site.orthanc.delete(site.orthanc.of_study(study_id)[0])
        await bench.settle(3)
        assert set(bench.orthanc.calls) == {"GET /studies?expand"}
        bench.sweep._visits._audit_seconds = 0
        await bench.settle(2)

    site.run(body)
    assert [header.instance_count for header in site.service.headers] == [8, 7]


def test_file_hashes_are_asked_for_once_even_over_a_restart(site):
    """The ledger keeps the digest of a set of files."""
    site.run(lambda bench: _receive_and_settle(bench, study()))
    site.run(lambda bench: bench.settle(3))
    assert sum(call.endswith("/md5") for call in site.orthanc.calls) == 24


def test_another_pipeline_is_another_input(site):
    """A new model looks at every study again, after all that is new, and its result replaces the old one."""
    site.orthanc.clock = now()
    site.run(lambda bench: _receive_and_settle(bench, study()))
    site.service.pipeline_digest = "e" * 64
    site.run(lambda bench: bench.settle(3))
    assert [header.priority for header in site.service.headers] == [pb.PRIORITY_ROUTINE, pb.PRIORITY_BACKFILL]
    newest = site.service.headers[-1].input_digest
    assert results(site.orthanc) == [result_uid(newest, "object"), result_uid(newest, "manifest")]


def test_a_service_that_is_down_is_said_and_waited_for(site):
    """The study says why nothing happens, other studies get their state, and no attempt is used up."""
    site.service.describes = False

    async def body(bench):
        bench.receive(series(Plane.SAGITTAL))
        bench.receive(series(Plane.AXIAL, **CT, **OTHER_STUDY))
        await bench.settle()
        assert bench.states == [("retrying", "UNAVAILABLE"), ("no_result", "NOT_MR")]
        site.service.describes = True
        await bench.settle()
        assert bench.states[-1] == ("done", "")

    site.run(body)


def test_one_broken_study_does_not_hold_up_the_next(site):
    """The archive fails for one study only; the other one is done, and so is the first once it is whole."""
    broken, whole = series(Plane.SAGITTAL), series(Plane.SAGITTAL, **OTHER_STUDY)
    site.orthanc.broken = {f"{orthanc_id(broken[0], 4)}/attachments": 500}

    async def body(bench):
        first, second = bench.receive(broken), bench.receive(whole)
        await bench.settle()
        assert first not in site.orthanc.statuses
        assert shown(site.orthanc, second).state == StudyState.DONE
        site.orthanc.broken.clear()
        await bench.settle()
        assert shown(site.orthanc, first).state == StudyState.DONE

    site.run(body)


def test_hints_and_quiet_times_end_the_pause_early(site):
    """With an hour between sweeps a new study is still done in a moment, hints or not."""
    sent = asyncio.Event()

    def make_objects(header, instances):
        sent.set()
        return result_objects(header, instances)

    site.service.make_objects = make_objects

    async def body(bench):
        loop = asyncio.create_task(bench.sweep.run())
        await asyncio.sleep(0.1)
        bench.receive(series(Plane.SAGITTAL))
        bench.sweep.hint()
        async with asyncio.timeout(5):
            await sent.wait()
        loop.cancel()

    site.run(body, quiet_seconds=0.5, sweep_seconds=3600)


async def _receive_and_settle(bench, instances) -> None:
    bench.receive(instances)
    await bench.settle()
