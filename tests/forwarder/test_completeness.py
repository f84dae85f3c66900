"""When a study has all that an analysis needs, and that it then starts."""

import asyncio

import pytest

from services.common.status import StudyState, StudyStatus
from services.common.uids import result_uid
from services.common.volume import Plane
from services.forwarder.completeness import complete, numbers
from services.forwarder.eligibility import StoredInstance
from tests.forwarder.test_sweep import results
from tests.studies import series, study

SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
AXIS = {SAGITTAL: 0, CORONAL: 1, AXIAL: 2}


def stack(orientation, places, name="") -> list[StoredInstance]:
    def at(depth):
        return tuple(float(depth) if axis == AXIS[orientation] else 0.0 for axis in range(3))

    return [
        StoredInstance(
            f"{name}{orientation}{each}", "u", "c", "f", 1, name or str(orientation), "", orientation, at(each)
        )
        for each in places
    ]


@pytest.mark.parametrize(
    ("instances", "expected"),
    [
        (stack(SAGITTAL, range(8)) + stack(CORONAL, range(8)) + stack(AXIAL, range(8)), True),
        (stack(SAGITTAL, range(8)) + stack(CORONAL, range(8)), False),
        (stack(SAGITTAL, range(8)) + stack(CORONAL, range(8)) + stack(AXIAL, range(7)), False),
        (stack(SAGITTAL, range(9)) + stack(CORONAL, range(8)) + stack(AXIAL, [0, 1, 2, 3, 5, 6, 7, 8]), False),
        (stack(SAGITTAL, [0, 0.4] * 4) + stack(CORONAL, range(8)) + stack(AXIAL, range(8)), False),
        # one plane's slices in two series are two stacks, each with gaps
        (
            stack(SAGITTAL, range(0, 8, 2), "a")
            + stack(SAGITTAL, range(1, 8, 2), "b")
            + stack(CORONAL, range(8))
            + stack(AXIAL, range(8)),
            False,
        ),
        ([StoredInstance("i", "u", "c", "f", 1)] * 30, False),
        ([], False),
    ],
    ids=["all", "a plane is missing", "few slices", "a gap", "one place twice", "two series", "no geometry", "nothing"],
)
def test_a_study_is_complete_when_every_plane_has_a_stack_without_gaps(instances, expected):
    """Told by what Orthanc has indexed, without a look into a file."""
    assert complete(instances) is expected


@pytest.mark.parametrize("text", ["", "1\\2", "1\\2\\x", "1\\2\\nan", "1\\2\\3\\4"])
def test_what_is_no_position_is_none(text):
    """Bad input makes a study wait for its quiet time, nothing else."""
    assert numbers(text, 3) == ()


def test_a_study_starts_when_its_series_are_quiet_whatever_else_arrives(site):
    """The early result is visible while more comes; what comes later replaces it, once the study is quiet."""

    async def body(bench):
        study_id = bench.receive(study())
        await bench.settle(1)
        assert bench.states == [("waiting", "")]
        await asyncio.sleep(0.25)
        for number in range(4, 7):  # localizers and the like go on arriving
            site.orthanc.clock = f"20250101T00000{number}"
            bench.receive(series(Plane.AXIAL, number=number))
            await bench.settle(1)
        assert [header.instance_count for header in site.service.headers] == [24]
        early = site.service.headers[0].input_digest
        assert result_uid(early, "manifest") in results(site.orthanc)
        waits = StudyStatus.from_json(site.orthanc.statuses[study_id])
        assert (waits.state, waits.input_digest) == (StudyState.WAITING, early)
        await asyncio.sleep(1.1)
        await bench.settle(2)
        assert [header.instance_count for header in site.service.headers] == [24, 48]
        assert len(results(site.orthanc)) == 2
        assert bench.states[-1] == ("done", "")

    site.run(body, quiet_seconds=1.0, series_quiet_seconds=0.2)


def test_a_study_without_all_planes_waits_for_its_own_quiet_time(site):
    """The timeout of the study is the fallback."""

    async def body(bench):
        bench.receive(series(Plane.SAGITTAL))
        await bench.settle(1)
        await asyncio.sleep(0.25)
        await bench.settle(1)
        assert site.service.headers == []
        await asyncio.sleep(0.6)
        await bench.settle(2)
        assert bench.states[-1] == ("done", "")

    site.run(body, quiet_seconds=0.7, series_quiet_seconds=0.1)


def test_a_complete_study_is_analysed_once_where_nothing_follows(site):
    """The early input and the whole one are the same."""

    async def body(bench):
        bench.receive(study())
        await bench.settle(1)
        await asyncio.sleep(0.2)
        await bench.settle(2)
        assert bench.states[-1] == ("done", "")
        await asyncio.sleep(0.6)
        await bench.settle(2)

    site.run(body, quiet_seconds=0.6, series_quiet_seconds=0.1)
    assert len(site.service.headers) == 1
