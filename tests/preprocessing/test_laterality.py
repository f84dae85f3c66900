"""Right, left or unknown; a contradiction is told, never decided by chance."""

import numpy as np
import pytest

from services.common.finding import Laterality
from services.common.frame import Frame, frames_of
from services.common.volume import Plane
from services.preprocessing.laterality import segmented_side, side_of
from tests.studies import enhanced, series

R, L, UNKNOWN = Laterality.RIGHT, Laterality.LEFT, Laterality.UNKNOWN


def side(*instances, at_x_mm: float = 0.0):
    frames = [frame for each in instances for frame in frames_of(each)]
    return side_of(frames, [stack(at_x_mm)])


def stack(x_mm: float) -> list[Frame]:
    """A coronal stack whose middle lies at x."""
    instances = series(Plane.CORONAL)
    for index, instance in enumerate(instances):
        instance.ImagePositionPatient = [x_mm - 71.0, 4.0 * index, 0.0]
    return [frame for each in instances for frame in frames_of(each)]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({"Laterality": "R"}, {"ImageLaterality": "R"}, R),
        ({"Laterality": "L"}, {}, L),
        ({"Laterality": "L"}, {"Laterality": "R"}, UNKNOWN),
        ({"Laterality": "L"}, {"SeriesDescription": "PD SAG RIGHT KNEE"}, UNKNOWN),
        ({"Laterality": "L"}, {"SeriesDescription": "knee left"}, L),
        ({"SeriesDescription": "RT KNEE"}, {}, R),
        ({"ProtocolName": "Knee_links"}, {}, UNKNOWN),
        ({"ProtocolName": "knie links"}, {}, L),
        ({"SeriesDescription": "LATERAL"}, {}, UNKNOWN),
        ({"Laterality": "B"}, {}, UNKNOWN),
        ({"Laterality": "U"}, {}, UNKNOWN),
        ({}, {}, UNKNOWN),
    ],
)
def test_the_side_is_what_all_tags_agree_on(first, second, expected):
    """One tag is enough; a contradiction makes it unknown."""
    one = series(Plane.SAGITTAL, slices=1, **first)[0]
    two = series(Plane.CORONAL, slices=1, **second)[0]
    assert side(one, two).laterality == expected


def test_a_contradiction_is_reported():
    """So that somebody corrects it."""
    found = side(series(Plane.SAGITTAL, slices=1, Laterality="L", SeriesDescription="right knee")[0])
    assert (found.laterality, bool(found.conflict)) == (UNKNOWN, True)


@pytest.mark.parametrize(("x_mm", "expected"), [(-80.0, R), (75.0, L), (20.0, UNKNOWN), (-39.0, UNKNOWN)])
def test_without_a_tag_the_place_in_the_scanner_tells(x_mm, expected):
    """Far beside the middle plane there is only one knee it can be."""
    found = side(series(Plane.SAGITTAL, slices=1)[0], at_x_mm=x_mm)
    assert (found.laterality, found.source) == (expected, "" if expected is UNKNOWN else "geometry")


def test_a_tag_wins_over_the_place_but_the_conflict_is_reported():
    """Patients are registered on their back and lie on their front."""
    found = side(series(Plane.SAGITTAL, slices=1, Laterality="R")[0], at_x_mm=90.0)
    assert (found.laterality, found.source, bool(found.conflict)) == (R, "tags", True)


def test_a_frame_of_an_enhanced_object_may_name_the_side():
    """FrameLaterality counts as ImageLaterality does; its U does not."""
    instance = enhanced(series(Plane.SAGITTAL))
    anatomy = type(instance)()
    anatomy.FrameLaterality = "L"
    instance.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [anatomy]
    assert side(instance).laterality == L
    anatomy.FrameLaterality = "U"
    assert side(instance).laterality == UNKNOWN


@pytest.mark.parametrize(("fibula_x", "expected"), [(30.0, L), (-30.0, R), (5.0, None)])
def test_the_fibula_lies_on_the_outer_side(fibula_x, expected):
    """LPS: the patient's left is positive x."""
    centres = {"tibia": np.zeros(3), "fibula": np.array([fibula_x, 0.0, -20.0])}
    assert segmented_side(centres) == expected


def test_without_a_fibula_the_segmentation_says_nothing():
    """Half of all fields of view end above it."""
    assert segmented_side({"tibia": np.zeros(3)}) is None
