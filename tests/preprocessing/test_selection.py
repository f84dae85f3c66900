"""Which series is read, which is not, and the code that says why."""

import numpy as np
import pytest

from services.common.errors import RefusalCode, StudyRefused
from services.common.finding import Laterality
from services.common.uids import result_uid
from services.common.volume import Plane
from services.preprocessing.geometry import affine_of, laterality_of, sort_slices
from services.preprocessing.selection import select_series
from tests.studies import GAP_MM, series, study


def refusal_of(instances) -> RefusalCode:
    with pytest.raises(StudyRefused) as caught:
        select_series(instances)
    return caught.value.code


def test_one_stack_is_chosen_for_each_plane():
    """Three complete series fill the three slots."""
    selection = select_series(study())
    assert set(selection.chosen) == set(Plane)
    assert selection.missing == ()


def test_a_missing_plane_is_named():
    """What is not there is said, not guessed."""
    selection = select_series(series(Plane.SAGITTAL))
    assert selection.missing == (Plane.CORONAL, Plane.AXIAL)


def test_the_fluid_sensitive_fat_suppressed_series_wins():
    """PD-FS beats PD beats T1 in the same plane, whatever the order they came in."""
    t1 = series(Plane.SAGITTAL, number=1, RepetitionTime=600, EchoTime=12, ScanOptions=None)
    plain = series(Plane.SAGITTAL, number=2, ScanOptions=None)
    suppressed = series(Plane.SAGITTAL, number=3)
    chosen = select_series([*t1, *suppressed, *plain]).chosen[Plane.SAGITTAL]
    assert chosen.slices[0].SeriesNumber == 3
    assert select_series([*t1, *plain]).chosen[Plane.SAGITTAL].slices[0].SeriesNumber == 2


def test_echoes_of_one_series_are_separate_stacks():
    """A multi-echo series is split, and the echo nearest to intermediate weighting is read."""
    echoes = [each for time in (6.3, 12.6, 37.9, 50.5) for each in series(Plane.SAGITTAL, EchoTime=time)]
    chosen = select_series(echoes).chosen[Plane.SAGITTAL]
    assert len(chosen.slices) == 8
    assert {float(each.EchoTime) for each in chosen.slices} == {37.9}


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, RefusalCode.NO_USABLE_SERIES),
        ({"ImageType": ["DERIVED", "SECONDARY"]}, RefusalCode.NO_USABLE_SERIES),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, RefusalCode.NOT_MR),
        ({"ImageOrientationPatient": None}, RefusalCode.NO_GEOMETRY),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, RefusalCode.NO_GEOMETRY),
        ({"ImagePositionPatient": None}, RefusalCode.NO_GEOMETRY),
        ({"PixelSpacing": None}, RefusalCode.NO_GEOMETRY),
        ({"PixelSpacing": [0, 1]}, RefusalCode.NO_GEOMETRY),
        ({"PixelData": None}, RefusalCode.NO_PIXEL_DATA),
        ({"ImagePositionPatient": [0, 0, 0]}, RefusalCode.UNEVEN_SLICES),
    ],
)
def test_a_study_without_a_usable_series_is_refused_by_its_most_telling_reason(attributes, code):
    """Every reason has its own code."""
    assert refusal_of(series(Plane.SAGITTAL, **attributes)) == code


def test_too_few_and_missing_slices_are_refused():
    """Two slices are no volume, and a gap is never filled in silence."""
    assert refusal_of(series(Plane.SAGITTAL, slices=2)) == RefusalCode.TOO_FEW_SLICES
    with_gap = series(Plane.SAGITTAL)
    del with_gap[4]
    assert refusal_of(with_gap) == RefusalCode.UNEVEN_SLICES


def test_a_bad_series_does_not_take_the_good_ones_along():
    """The others are read and the rejection is kept with its code."""
    selection = select_series([*series(Plane.SAGITTAL), *series(Plane.CORONAL, number=2, PixelSpacing=None)])
    assert set(selection.chosen) == {Plane.SAGITTAL}
    assert [each.code for each in selection.rejected] == [RefusalCode.NO_GEOMETRY]


def test_our_own_results_are_no_input():
    """An instance under our UID root is not read, whatever it looks like."""
    assert refusal_of(series(Plane.SAGITTAL, SOPInstanceUID=result_uid("d", "x"))) == RefusalCode.NOT_MR


def test_slices_are_sorted_by_position_not_by_number():
    """A shuffled series comes back in order along its normal, with the affine that belongs to it."""
    instances = series(Plane.AXIAL)
    shuffled = [instances[index] for index in (3, 0, 7, 1, 5, 2, 6, 4)]
    ordered = sort_slices(shuffled)
    assert [each.InstanceNumber for each in ordered] == list(range(1, 9))
    affine = affine_of(ordered)
    assert np.allclose(affine[:3, 0], [0, 0, GAP_MM])
    assert np.allclose(affine @ [7, 0, 0, 1], [*ordered[7].ImagePositionPatient, 1])


@pytest.mark.parametrize(
    ("tags", "side"),
    [
        (("R", "R"), Laterality.RIGHT),
        (("L", ""), Laterality.LEFT),
        (("L", "R"), Laterality.UNKNOWN),
        (("", ""), Laterality.UNKNOWN),
        (("B", "B"), Laterality.UNKNOWN),
    ],
)
def test_the_side_is_known_only_where_all_tags_agree(tags, side):
    """A conflict or an unknown value is unknown, never a guess."""
    first = series(Plane.SAGITTAL, slices=1, Laterality=tags[0])
    second = series(Plane.CORONAL, slices=1, ImageLaterality=tags[1])
    assert laterality_of([*first, *second]) == side
