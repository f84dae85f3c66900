"""A wish for another analysis: durable, fulfilled by the sweep, and harmless where there is nothing to retry."""

import pytest

from services.common.uids import result_uid
from services.common.volume import Plane
from tests.studies import series, study


def test_a_failed_study_is_analysed_again(site):
    """Its attempts begin anew, and the second answer stands."""
    site.service.answers = ["PROCESSING_CRASHED"]

    async def body(bench):
        study_id = bench.receive(study())
        await bench.settle()
        assert bench.states[-1] == ("failed", "PROCESSING_CRASHED")
        bench.ledger.ask_again(study_id, "anna")
        await bench.settle()
        return bench.states[-1], bench.ledger.asked_again()

    assert site.run(body, max_attempts=1) == (("done", ""), [])


def test_a_stored_no_result_makes_room_for_the_next_answer(site):
    """Its manifest and report go first: what lies under a UID is never overwritten."""
    site.service.answers = ["no_result", "no_result"]

    async def body(bench):
        study_id = bench.receive(series(Plane.SAGITTAL))
        await bench.settle()
        manifest = result_uid(bench.service.headers[0].input_digest, "manifest")
        assert manifest in bench.orthanc.uids()
        bench.ledger.ask_again(study_id, "anna")
        await bench.settle()
        deleted = [call for call in bench.orthanc.calls if call.startswith("DELETE")]
        return len(bench.service.headers), len(deleted), manifest in bench.orthanc.uids(), bench.states[-1]

    assert site.run(body) == (2, 1, True, ("no_result", "NO_GEOMETRY"))


def test_a_wish_survives_a_forwarder_that_dies(site):
    """Written before anything is done, it is fulfilled by the next one."""
    site.service.answers = ["no_result"]

    async def ask(bench):
        study_id = bench.receive(series(Plane.SAGITTAL))
        await bench.settle()
        bench.ledger.ask_again(study_id, "anna")

    async def settle(bench):
        await bench.settle()
        return bench.states[-1]

    site.run(ask)
    assert site.run(settle) == ("done", "")


def test_a_wish_is_kept_while_the_archive_does_not_answer(site):
    """Trouble puts it off and loses nothing; the study itself is not touched."""
    site.service.answers = ["no_result"]

    async def body(bench):
        study_id = bench.receive(series(Plane.SAGITTAL))
        await bench.settle()
        bench.ledger.ask_again(study_id, "anna")
        bench.orthanc.broken["DELETE"] = 500
        await bench.settle()
        kept = bench.ledger.asked_again() == [study_id]
        bench.orthanc.broken.clear()
        await bench.settle()
        return kept, bench.states[-1]

    assert site.run(body) == (True, ("done", ""))


@pytest.mark.parametrize("known", [True, False])
def test_there_is_nothing_to_retry_about_a_result_or_an_unknown_study(site, known):
    """Findings are never thrown away, and the wish does not stay for ever."""

    async def body(bench):
        study_id = bench.receive(study())
        await bench.settle()
        bench.ledger.ask_again(study_id if known else "no-such-study", "anna")
        await bench.settle()
        return len(bench.service.headers), bench.ledger.asked_again(), bench.states[-1]

    assert site.run(body) == (1, [], ("done", ""))
