"""The oracle sees every violation that is made by hand, and none where there is none."""

import copy
from dataclasses import replace

import pydicom
import pytest

from tests.faults.deliveries import Delivery, make_study
from tests.faults.invariants import KEY_OBJECT, Found, outdated, violations

PIPELINE = "5" * 64
REPORT = "1.2.840.10008.5.1.4.1.1.88.33"


def sent(delivery: Delivery = Delivery.WHOLE):
    return make_study(3, 1, delivery)


def result(study, uid: str, sop_class_uid: str = REPORT) -> pydicom.Dataset:
    """An object of ours on the study of a source."""
    dataset = pydicom.Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class_uid, uid
    for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "PatientBirthDate", "PatientSex"):
        if keyword in study.instances[0]:
            dataset[keyword] = study.instances[0][keyword]
    return dataset


def manifest(study, uid: str, *, about: str, lists: tuple[str, ...]) -> pydicom.Dataset:
    """A manifest of the given objects."""
    dataset = result(study, uid, KEY_OBJECT)
    purpose = pydicom.Dataset()
    purpose.TextValue = f"Result set of input {about}."
    series, evidence = pydicom.Dataset(), pydicom.Dataset()
    series.ReferencedSOPSequence = []
    for each in lists:
        item = pydicom.Dataset()
        item.ReferencedSOPInstanceUID = each
        series.ReferencedSOPSequence.append(item)
    evidence.ReferencedSeriesSequence = [series]
    dataset.ContentSequence, dataset.CurrentRequestedProcedureEvidenceSequence = [purpose], [evidence]
    return dataset


def found(study, state: str = "done") -> Found:
    """The study as it must be: one report, one manifest that lists it."""
    whole = study.input_digest(PIPELINE)
    results = (result(study, "2.25.1"), manifest(study, "2.25.2", about=whole, lists=("2.25.1",)))
    sources = tuple(str(each.SOPInstanceUID) for each in study.instances)
    return Found(state, whole, 1, sources, results)


def without(each: Found, uid: str) -> Found:
    return replace(each, results=tuple(one for one in each.results if uid != one.SOPInstanceUID))


def changed(each: Found, uid: str, **attributes) -> Found:
    """The same with other attributes of one result."""
    results = copy.deepcopy(each.results)
    for one in results:
        if uid == one.SOPInstanceUID:
            for keyword, value in attributes.items():
                setattr(one, keyword, value)
    return replace(each, results=results)


def test_nothing_is_seen_where_everything_is_right():
    """A whole set of the whole study, and nothing else."""
    assert violations(sent(), found(sent()), PIPELINE) == []
    assert not outdated(sent(), found(sent()), PIPELINE)


@pytest.mark.parametrize("state", ["", "waiting", "running", "retrying"])
def test_a_study_without_a_final_state_is_lost(state):
    """Whatever else is there: nobody was told how it ended."""
    assert "lost" in violations(sent(), found(sent(), state), PIPELINE)


def test_a_study_that_is_gone_is_lost():
    """The sender was told that it is stored."""
    assert violations(sent(), None, PIPELINE) == ["lost"]


def test_a_source_that_is_gone_is_lost():
    """One acknowledged instance is missing."""
    study = sent()
    assert violations(study, replace(found(study), sources=found(study).sources[1:]), PIPELINE) == ["lost"]


def test_a_done_study_without_a_manifest_is_lost_and_partial():
    """The commit is missing, so the set does not count, and its objects are litter."""
    assert violations(sent(), without(found(sent()), "2.25.2"), PIPELINE) == ["lost", "partial"]


def test_an_end_for_an_older_state_of_the_study_is_lost():
    """The late files are in the archive, and no result knows them."""
    study = sent(Delivery.LATE)
    old = study.input_digest(PIPELINE, 4)
    results = (result(study, "2.25.1"), manifest(study, "2.25.2", about=old, lists=("2.25.1",)))
    assert violations(study, replace(found(study), input_digest=old, results=results), PIPELINE) == ["lost"]


def test_a_set_beside_the_one_that_replaced_it_is_doubled():
    """A study that grew has had a result before, and people can't know which one counts."""
    study = sent(Delivery.LATE)
    old = manifest(study, "2.25.4", about=study.input_digest(PIPELINE, 4), lists=("2.25.3",))
    grown = replace(found(study), results=(*found(study).results, result(study, "2.25.3"), old))
    assert violations(study, grown, PIPELINE) == ["doubled"]
    assert outdated(study, grown, PIPELINE)


def test_two_sets_of_one_input_are_doubled():
    """The same digest has two manifests."""
    study = sent()
    again = manifest(study, "2.25.4", about=study.input_digest(PIPELINE), lists=("2.25.3",))
    assert violations(
        study, replace(found(study), results=(*found(study).results, result(study, "2.25.3"), again)), PIPELINE
    ) == ["doubled"]


def test_one_uid_twice_is_doubled():
    """Two instances carry one UID."""
    study = sent()
    assert violations(
        study, replace(found(study), results=(*found(study).results, result(study, "2.25.1"))), PIPELINE
    ) == ["doubled"]


def test_a_set_of_an_input_that_never_was_is_doubled():
    """The study has held the files in the order sent, and no others."""
    study = sent()
    stranger = manifest(study, "2.25.4", about="7" * 64, lists=("2.25.3",))
    assert violations(
        study, replace(found(study), results=(*found(study).results, result(study, "2.25.3"), stranger)), PIPELINE
    ) == ["doubled"]


def test_a_listed_object_that_is_not_there_is_partial():
    """A manifest promises what the archive does not hold."""
    assert violations(sent(), without(found(sent()), "2.25.1"), PIPELINE) == ["partial"]


def test_an_object_that_no_manifest_lists_is_partial():
    """Somebody stored it and did not come to the commit."""
    study = sent()
    assert violations(
        study, replace(found(study), results=(*found(study).results, result(study, "2.25.3"))), PIPELINE
    ) == ["partial"]


@pytest.mark.parametrize(
    "attributes",
    [
        {"PatientID": "SOMEBODY"},
        {"PatientName": "Some^Body"},
        {"StudyInstanceUID": "1.2.3"},
        {"FrameOfReferenceUID": "1.2.3"},
    ],
)
def test_a_result_about_somebody_or_somewhere_else_is_wrong(attributes):
    """Identity and frame of reference are the source's, byte for byte."""
    assert violations(sent(), changed(found(sent()), "2.25.1", **attributes), PIPELINE) == ["wrong_patient"]


def test_a_segmentation_that_lies_elsewhere_is_wrong():
    """Every frame lies where a source slice lies."""
    study = sent()
    place, frame = pydicom.Dataset(), pydicom.Dataset()
    place.ImagePositionPatient = list(study.instances[0].ImagePositionPatient)
    frame.PlanePositionSequence = [place]
    there = changed(found(study), "2.25.1", PerFrameFunctionalGroupsSequence=[frame])
    assert violations(study, there, PIPELINE) == []
    elsewhere = copy.deepcopy(frame)
    elsewhere.PlanePositionSequence[0].ImagePositionPatient = [1000, 0, 0]
    moved = changed(found(study), "2.25.1", PerFrameFunctionalGroupsSequence=[frame, elsewhere])
    assert violations(study, moved, PIPELINE) == ["wrong_patient"]


@pytest.mark.parametrize(
    ("delivery", "state"),
    [
        (Delivery.WHOLE, "failed"),
        (Delivery.WHOLE, "no_result"),
        (Delivery.BROKEN, "done"),
        (Delivery.BROKEN, "failed"),
        (Delivery.DEADLY, "done"),
    ],
)
def test_an_end_that_the_study_does_not_deserve_is_wrong(delivery, state):
    """Readable studies have findings, unreadable ones say so, deadly ones are set aside."""
    assert "wrong_outcome" in violations(sent(delivery), found(sent(delivery), state), PIPELINE)


def test_a_deadly_study_is_set_aside_without_a_result():
    """That is its right end, after at most three attempts."""
    study = sent(Delivery.DEADLY)
    aside = replace(found(study), state="failed", results=(), attempts=3)
    assert violations(study, aside, PIPELINE) == []
    assert violations(study, replace(aside, attempts=4), PIPELINE) == ["unbounded"]


def test_a_deleted_study_must_stay_away():
    """A result that comes too late would bring it back."""
    study = sent(Delivery.DELETED)
    assert violations(study, None, PIPELINE) == []
    assert violations(study, found(study), PIPELINE) == ["orphaned"]
