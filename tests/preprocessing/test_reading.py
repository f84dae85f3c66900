"""The files of one study: each instance once, one patient, nothing lost in silence."""

import copy

import pytest

from services.common.errors import RefusalCode, StudyRefused
from services.common.volume import Plane
from services.preprocessing.reading import read_study
from tests.studies import STUDY, series, write


def test_the_same_file_twice_counts_once(tmp_path):
    """A sender that repeats itself does no harm."""
    instances = series(Plane.SAGITTAL)
    files = read_study(write(tmp_path, [*instances, instances[3]]))
    assert (len(files.instances), files.refusal) == (8, None)


def test_one_uid_with_two_contents_is_refused(tmp_path):
    """Nobody can know which is right."""
    instances = series(Plane.SAGITTAL)
    other = copy.deepcopy(instances[3])
    other.PixelData = bytes(len(other.PixelData))
    assert read_study(write(tmp_path, [*instances, other])).refusal == RefusalCode.CONFLICTING_DUPLICATE


@pytest.mark.parametrize(
    ("attributes", "refusal"),
    [
        ({"PatientID": "SOMEBODY-ELSE"}, RefusalCode.IDENTITY_CONFLICT),
        ({"StudyInstanceUID": "1.2.3"}, RefusalCode.IDENTITY_CONFLICT),
        ({"PatientID": "CANARY-ID "}, None),
        ({"PatientName": "Canary^P"}, None),
    ],
)
def test_two_patients_or_studies_are_refused(tmp_path, attributes, refusal):
    """Names are spelt in many ways, an id is not; blanks at its end mean nothing."""
    others = series(Plane.CORONAL, number=2, **attributes)
    assert read_study(write(tmp_path, [*series(Plane.SAGITTAL), *others])).refusal == refusal


def test_without_an_id_the_names_must_agree(tmp_path):
    """Research archives leave the id empty, which is no conflict by itself."""
    nameless = series(Plane.SAGITTAL, PatientID="")
    assert read_study(write(tmp_path / "one", nameless)).refusal is None
    other = series(Plane.CORONAL, number=2, PatientID="", PatientName="Some^Body")
    assert read_study(write(tmp_path / "two", [*nameless, *other])).refusal == RefusalCode.IDENTITY_CONFLICT


def test_another_study_than_the_announced_one_is_refused(tmp_path):
    """The header of the stream and the files must agree."""
    paths = write(tmp_path, series(Plane.SAGITTAL))
    assert read_study(paths, STUDY).refusal is None
    assert read_study(paths, "1.2.3").refusal == RefusalCode.IDENTITY_CONFLICT


def test_unreadable_files_are_counted_by_reason(tmp_path):
    """The rest is read."""
    paths = write(tmp_path, series(Plane.SAGITTAL))
    for name in ("x", "y"):
        paths.append(tmp_path / name)
        paths[-1].write_bytes(b"no dicom")
    files = read_study(paths)
    assert (len(files.instances), files.left_out) == (8, {RefusalCode.UNREADABLE_DICOM: 2})


def test_without_a_readable_file_the_study_is_refused(tmp_path):
    """There is no patient to write a report for."""
    (tmp_path / "x").write_bytes(b"no dicom")
    with pytest.raises(StudyRefused) as caught:
        read_study([tmp_path / "x"])
    assert caught.value.code == RefusalCode.UNREADABLE_DICOM
