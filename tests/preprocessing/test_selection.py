"""Which series is read, which is not, and the code that says why."""

import pytest

from services.common.errors import RefusalCode
from services.common.uids import result_uid
from services.common.volume import Plane
from services.preprocessing.rules import load_rules
from services.preprocessing.selection import Selection, select_series
from tests.studies import COSINES, enhanced, series, study

CT, SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.7"
# two of three planes are in the way of a stack whose slices drift sideways or lie unevenly
SAGITTAL_NORMAL = (-1.0, 0.0, 0.0)


def select(instances) -> Selection:
    return select_series(instances, load_rules("knee"))


def numbers(selection: Selection) -> dict[Plane, int]:
    return {plane: int(each.frames[0].number("SeriesNumber")) for plane, each in selection.chosen.items()}


def moved(instances, offsets_mm):
    """Each instance moved by its own offset in LPS."""
    for instance, offset in zip(instances, offsets_mm, strict=True):
        position = [float(a) + b for a, b in zip(instance.ImagePositionPatient, offset, strict=True)]
        instance.ImagePositionPatient = [round(value, 4) for value in position]
    return instances


def test_one_stack_is_chosen_for_each_plane():
    """Three complete series fill the three slots."""
    selection = select(study())
    assert set(selection.chosen) == set(Plane)
    assert (selection.missing, selection.refusal) == ((), None)


def test_a_missing_plane_is_named():
    """What is not there is said, not guessed."""
    assert select(series(Plane.SAGITTAL)).missing == (Plane.CORONAL, Plane.AXIAL)


def test_the_fluid_sensitive_fat_suppressed_series_wins():
    """PD-FS beats PD beats T1 in the same plane, whatever the order they came in."""
    t1 = series(Plane.SAGITTAL, number=1, RepetitionTime=600, EchoTime=12, ScanOptions=None)
    plain = series(Plane.SAGITTAL, number=2, ScanOptions=None)
    suppressed = series(Plane.SAGITTAL, number=3)
    assert numbers(select([*t1, *suppressed, *plain])) == {Plane.SAGITTAL: 3}
    assert numbers(select([*t1, *plain])) == {Plane.SAGITTAL: 2}


def test_a_description_that_lies_changes_nothing_where_the_physics_speaks():
    """A T1 series called PD FS stays T1, and a body part called HEAD stays in."""
    liar = series(
        Plane.SAGITTAL, number=1, RepetitionTime=600, EchoTime=12, ScanOptions=None, SeriesDescription="T2 TSE"
    )
    honest = series(Plane.SAGITTAL, number=2, BodyPartExamined="HEAD", SeriesDescription="T1")
    assert numbers(select([*liar, *honest])) == {Plane.SAGITTAL: 2}


def test_a_series_that_covers_the_joint_beats_a_repeated_part_of_it():
    """Four slices repeated after motion are no substitute for the whole."""
    part = series(Plane.SAGITTAL, slices=4, number=2)
    whole = series(Plane.SAGITTAL, slices=24, number=1)
    assert numbers(select([*part, *whole])) == {Plane.SAGITTAL: 1}


def test_echoes_of_one_series_are_separate_stacks():
    """A multi-echo series is split, and the echo nearest to intermediate weighting is read."""
    echoes = [each for time in (6.3, 12.6, 37.9, 50.5) for each in series(Plane.SAGITTAL, EchoTime=time)]
    chosen = select(echoes).chosen[Plane.SAGITTAL]
    assert [frame.number("EchoTime") for frame in chosen.frames] == [37.9] * 8


def test_an_enhanced_object_is_read_like_its_classic_series():
    """The same slots, scores and slice order."""
    classic = [series(plane, number=number) for number, plane in enumerate(Plane, start=1)]
    several = select([enhanced(each) for each in classic])
    single = select([each for instances in classic for each in instances])
    assert set(several.chosen) == set(Plane)
    for plane in Plane:
        assert several.chosen[plane].score == single.chosen[plane].score
        assert [f.position_mm for f in several.chosen[plane].frames] == [
            f.position_mm for f in single.chosen[plane].frames
        ]


def test_stacks_of_one_enhanced_object_serve_several_planes():
    """A multi-stack object is split by its orientation."""
    both = [*series(Plane.SAGITTAL, slices=12), *series(Plane.CORONAL, slices=12)]
    instance = enhanced(both)
    for item, source in zip(instance.PerFrameFunctionalGroupsSequence, both, strict=True):
        place = type(item)()
        place.ImageOrientationPatient = source.ImageOrientationPatient
        item.PlaneOrientationSequence = [place]
    assert set(select([instance]).chosen) == {Plane.SAGITTAL, Plane.CORONAL}


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, RefusalCode.LOCALIZER),
        ({"ImageType": ["DERIVED", "SECONDARY"]}, RefusalCode.DERIVED_IMAGE),
        ({"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]}, RefusalCode.DERIVED_IMAGE),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "PROJECTION IMAGE"]}, RefusalCode.DERIVED_IMAGE),
        ({"ImageType": ["DERIVED", "PRIMARY", "SUBTRACTION"]}, RefusalCode.DERIVED_IMAGE),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]}, RefusalCode.MOSAIC),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "P"]}, RefusalCode.UNSUITABLE_SEQUENCE),
        ({"ImageType": ["DERIVED", "PRIMARY", "DIXON", "FAT"]}, RefusalCode.UNSUITABLE_SEQUENCE),
        ({"ScanningSequence": ["EP", "SE"]}, RefusalCode.UNSUITABLE_SEQUENCE),
        ({"ComplexImageComponent": "PHASE"}, RefusalCode.UNSUITABLE_SEQUENCE),
        ({"VolumeBasedCalculationTechnique": "MAX_IP"}, RefusalCode.DERIVED_IMAGE),
        ({"ImagedNucleus": "23Na"}, RefusalCode.UNSUITABLE_SEQUENCE),
        ({"BurnedInAnnotation": "YES"}, RefusalCode.DERIVED_IMAGE),
        ({"PhotometricInterpretation": "RGB"}, RefusalCode.DERIVED_IMAGE),
        ({"SOPClassUID": CT}, RefusalCode.NOT_MR),
        ({"SOPClassUID": SECONDARY_CAPTURE}, RefusalCode.NOT_MR),
        ({"ImageOrientationPatient": None}, RefusalCode.NO_GEOMETRY),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, RefusalCode.NO_GEOMETRY),
        ({"ImagePositionPatient": None}, RefusalCode.NO_GEOMETRY),
        ({"PixelSpacing": None}, RefusalCode.NO_GEOMETRY),
        ({"PixelSpacing": [0, 1]}, RefusalCode.NO_GEOMETRY),
        ({"PixelData": None}, RefusalCode.NO_PIXEL_DATA),
        ({"ImagePositionPatient": [0, 0, 0]}, RefusalCode.OVERLAPPING_SLICES),
        ({"SOPInstanceUID": result_uid("d", "x")}, RefusalCode.NO_USABLE_SERIES),
    ],
)
def test_a_study_without_a_usable_series_is_refused_by_its_most_telling_reason(attributes, code):
    """Every reason has its own code."""
    assert select(series(Plane.SAGITTAL, **attributes)).refusal == code


@pytest.mark.parametrize(
    ("attributes", "read"),
    [
        ({"BodyPartExamined": "BRAIN", "StudyDescription": "MRI Brain"}, False),
        ({"BodyPartExamined": "SPINE", "ProtocolName": "t2_lumbar_sag"}, False),
        ({"BodyPartExamined": "BRAIN"}, True),
        ({"BodyPartExamined": "HEAD", "StudyDescription": "MR Brain", "SeriesDescription": "PD FS knee"}, True),
        ({"BodyPartExamined": "EXTREMITY", "StudyDescription": "MSK"}, True),
        ({"StudyDescription": "Reha Kopf, Schaedel", "ReceiveCoilName": "32ch Head", "BodyPartExamined": "KNEE"}, True),
    ],
)
def test_another_part_of_the_body_is_believed_where_two_places_say_so_and_none_says_knee(attributes, read):
    """BodyPartExamined alone is often what the patient before had."""
    plain = {"BodyPartExamined": None, "SeriesDescription": "sag pd", "ProtocolName": "sag pd"}
    selection = select(study(**{**plain, **attributes}))
    assert selection.refusal == (None if read else RefusalCode.OTHER_ANATOMY)


def test_a_dixon_water_image_is_read_and_counts_as_fat_suppressed():
    """The scanner calls it derived, yet it is what it acquired."""
    water = series(Plane.AXIAL, ImageType=["DERIVED", "PRIMARY", "DIXON", "WATER"], ScanOptions=None)
    chosen = select(water).chosen[Plane.AXIAL]
    assert chosen.physics.fat_suppressed


def test_too_few_and_missing_slices_are_refused():
    """Two slices are no volume, and a gap is never filled in silence."""
    assert select(series(Plane.SAGITTAL, slices=2)).refusal == RefusalCode.TOO_FEW_SLICES
    with_gap = series(Plane.SAGITTAL)
    del with_gap[4]
    assert select(with_gap).refusal == RefusalCode.UNEVEN_SLICES


def test_slices_that_drift_sideways_are_refused():
    """Sheared voxels are no boxes; drift within rounding is."""
    drifting = moved(series(Plane.SAGITTAL), [(0, 1.5 * index, 0) for index in range(8)])
    assert select(drifting).refusal == RefusalCode.SHEARED_SLICES
    rounded = moved(series(Plane.SAGITTAL), [(0, 0.05 * (index % 2), 0) for index in range(8)])
    assert select(rounded).refusal is None


def test_slices_at_one_place_are_told_apart_by_their_time_point():
    """Without a time point they overlap; with one they are two stacks."""
    twice = [*series(Plane.SAGITTAL), *series(Plane.SAGITTAL)]
    assert select(twice).refusal == RefusalCode.OVERLAPPING_SLICES
    for index, instance in enumerate(twice):
        instance.TemporalPositionIdentifier = 1 + index // 8
    assert len(select(twice).chosen[Plane.SAGITTAL].frames) == 8


def test_a_series_in_several_orientations_of_few_slices_is_a_localizer():
    """Whatever it calls itself."""
    scout = [*series(Plane.SAGITTAL, slices=3), *series(Plane.CORONAL, slices=3), *series(Plane.AXIAL, slices=3)]
    for instance in scout:
        instance.SeriesInstanceUID = scout[0].SeriesInstanceUID
    assert select(scout).refusal == RefusalCode.LOCALIZER


HURRIED = {"ScanningSequence": "GR", "RepetitionTime": 4.8, "EchoTime": 1.8, "ScanOptions": None}


@pytest.mark.parametrize(
    ("slices", "gap_mm", "attributes", "localizer"),
    [
        (5, 10.0, {}, True),
        (5, 4.0, {}, False),
        (24, 10.0, {}, False),
        (24, 4.0, {"SeriesDescription": "3-plane LOC", **HURRIED}, True),
        (5, 4.0, {"SeriesDescription": "Survey"}, True),
        (24, 4.0, {"SeriesDescription": "localizer"}, False),
        (24, 0.6, HURRIED, False),
    ],
)
def test_few_slices_far_apart_are_a_localizer_and_a_name_alone_makes_none(slices, gap_mm, attributes, localizer):
    """Many vendors write no ImageType for it; a name counts where the sequence was a hurried one."""
    instances = series(Plane.SAGITTAL, slices=slices, **attributes)
    for index, instance in enumerate(instances):
        instance.ImagePositionPatient = [-gap_mm * index, 0, 0]
    assert select(instances).refusal == (RefusalCode.LOCALIZER if localizer else None)


def test_a_mosaic_that_only_the_scanners_own_element_names_is_refused():
    """Siemens counts the tiles there; an anonymiser may have emptied ImageType."""
    instances = series(Plane.SAGITTAL)
    for instance in instances:
        instance.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 36)
    assert select(instances).refusal == RefusalCode.MOSAIC


def test_a_series_in_two_frames_of_reference_is_refused():
    """Positions in different coordinate systems can't be sorted."""
    mixed = [*series(Plane.SAGITTAL, slices=6), *series(Plane.SAGITTAL, slices=12)[6:]]
    for instance in mixed[6:]:
        instance.FrameOfReferenceUID = "1.2.3.4"
    assert select(mixed).refusal == RefusalCode.MIXED_FRAME_OF_REFERENCE


def test_a_bad_series_does_not_take_the_good_ones_along():
    """The others are read and the rejection is kept with its code."""
    selection = select([*series(Plane.SAGITTAL), *series(Plane.CORONAL, number=2, PixelSpacing=None)])
    assert set(selection.chosen) == {Plane.SAGITTAL}
    assert [each.rejected for each in selection.candidates] == [None, RefusalCode.NO_GEOMETRY]


def test_a_thick_stack_of_a_three_dimensional_series_is_read():
    """Four hundred slices are one stack."""
    chosen = select(series(Plane.SAGITTAL, slices=400)).chosen[Plane.SAGITTAL]
    assert len(chosen.frames) == 400


def test_slices_are_sorted_by_position_not_by_number():
    """A shuffled series comes back in order along its normal."""
    instances = series(Plane.AXIAL)
    shuffled = [instances[index] for index in (3, 0, 7, 1, 5, 2, 6, 4)]
    chosen = select(shuffled).chosen[Plane.AXIAL]
    assert [frame.instance.InstanceNumber for frame in chosen.frames] == list(range(1, 9))


def test_an_oblique_series_belongs_to_its_nearest_plane_and_an_aligned_one_is_preferred():
    """Twenty degrees off is still sagittal, but costs points."""
    tilted = [0.342, 0.9397, 0.0, 0.0, 0.0, -1.0]
    oblique = series(Plane.SAGITTAL, number=2)
    for index, instance in enumerate(oblique):
        instance.ImageOrientationPatient = tilted
        instance.ImagePositionPatient = [round(-0.9397 * 4 * index, 4), round(0.342 * 4 * index, 4), 0]
    assert numbers(select(oblique)) == {Plane.SAGITTAL: 2}
    assert numbers(select([*oblique, *series(Plane.SAGITTAL, number=1)])) == {Plane.SAGITTAL: 1}


def test_orientation_that_differs_by_rounding_is_one_stack():
    """Scanners print cosines with few digits, not always the same."""
    instances = series(Plane.CORONAL)
    for index, instance in enumerate(instances):
        instance.ImageOrientationPatient = [value + 2e-4 * (index % 2) for value in COSINES[Plane.CORONAL]]
    assert len(select(instances).chosen[Plane.CORONAL].frames) == 8
