"""Frames of classic and enhanced objects look the same from outside."""

import pydicom
import pytest
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement

from services.common.errors import RefusalCode, StudyRefused
from services.common.frame import MAX_FRAMES, frames_of
from services.common.volume import Plane
from tests.studies import COSINES, enhanced, series


def test_a_classic_instance_is_one_frame_without_a_number():
    """The attributes are the instance's own."""
    instance = series(Plane.SAGITTAL, slices=1)[0]
    (frame,) = frames_of(instance)
    assert frame.frame_number is None
    assert frame.orientation == COSINES[Plane.SAGITTAL]
    assert frame.position_mm == tuple(instance.ImagePositionPatient)
    assert frame.pixel_spacing_mm == (2.0, 2.0)
    assert frame.number("EchoTime") == 35
    assert frame.values("ScanOptions") == ("FS",)
    assert frame.values("ImageType") == ("ORIGINAL", "PRIMARY")


def test_frames_of_an_enhanced_object_equal_the_classic_instances():
    """Geometry and physics come from the functional groups, under the names of the classic object."""
    classic = series(Plane.CORONAL)
    frames = frames_of(enhanced(classic))
    assert [frame.frame_number for frame in frames] == list(range(1, len(classic) + 1))
    for frame, instance in zip(frames, classic, strict=True):
        (alone,) = frames_of(instance)
        assert (frame.orientation, frame.position_mm, frame.pixel_spacing_mm) == (
            alone.orientation,
            alone.position_mm,
            alone.pixel_spacing_mm,
        )
        assert frame.number("EchoTime") == alone.number("EchoTime")
        assert frame.number("RepetitionTime") == alone.number("RepetitionTime")


def test_what_a_frame_says_of_itself_wins_over_what_is_shared():
    """Per-frame, then shared, then instance."""
    instance = enhanced(series(Plane.AXIAL))
    own = pydicom.Dataset()
    own.EffectiveEchoTime = 99.0
    instance.PerFrameFunctionalGroupsSequence[2].MREchoSequence = [own]
    frames = frames_of(instance)
    assert [frame.number("EchoTime") for frame in frames[:4]] == [35, 35, 99, 35]


def test_a_sequence_that_says_it_is_a_number_is_no_sequence():
    """A damaged value representation makes pydicom return a number where items should be."""
    instance = enhanced(series(Plane.AXIAL))
    tag = tag_for_keyword("PerFrameFunctionalGroupsSequence")
    instance[tag] = DataElement(tag, "US", 7)
    with pytest.raises(StudyRefused, match="NO_GEOMETRY"):
        frames_of(instance)


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"NumberOfFrames": MAX_FRAMES + 1}, RefusalCode.TOO_LARGE),
        ({"NumberOfFrames": 7}, RefusalCode.NO_GEOMETRY),
        ({"NumberOfFrames": None}, RefusalCode.NO_GEOMETRY),
        ({"PerFrameFunctionalGroupsSequence": []}, RefusalCode.NO_GEOMETRY),
    ],
)
def test_an_enhanced_object_that_does_not_describe_its_frames_is_refused(attributes, code):
    """Counts must agree before anything is allocated."""
    instance = enhanced(series(Plane.SAGITTAL))
    for keyword, value in attributes.items():
        setattr(instance, keyword, value)
    with pytest.raises(StudyRefused) as caught:
        frames_of(instance)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "attributes",
    [
        {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
        {"ImageOrientationPatient": None},
        {"ImageOrientationPatient": [2, 0, 0, 0, 2, 0]},
        {"PixelSpacing": [0, 1]},
        {"PixelSpacing": [1]},
        {"ImagePositionPatient": None},
    ],
)
def test_a_malformed_place_is_none(attributes):
    """Not orthonormal, not positive, not complete: no number is made up."""
    (frame,) = frames_of(series(Plane.SAGITTAL, slices=1, **attributes)[0])
    assert None in (frame.orientation, frame.position_mm, frame.pixel_spacing_mm)


@pytest.mark.parametrize(("value", "number"), [("7.5", 7.5), ("", None), (None, None), (["100", "200"], 100.0)])
def test_a_number_is_the_first_value_or_none(value, number):
    """InversionTimes of an enhanced object may be several."""
    (frame,) = frames_of(series(Plane.SAGITTAL, slices=1, InversionTime=None, InversionTimes=None)[0])
    if value is not None:
        frame.instance.add_new("InversionTimes" if isinstance(value, list) else "InversionTime", *_typed(value))
    assert frame.number("InversionTime") == number


def _typed(value):
    return ("FD", [float(each) for each in value]) if isinstance(value, list) else ("DS", value)
