"""The knee's motion between series is found from its bones; planes of two knees are not laid on each other."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from services.common.finding import Structure
from services.common.volume import PLANES, Plane
from services.preprocessing.motion import motions
from tests.preprocessing.drawn_knee import DrawnKnee, segmented, stack

KNEE = DrawnKnee()
CORNERS = np.array(KNEE.centre) + 30 * (np.indices((2, 2, 2)).reshape(3, -1).T * 2.0 - 1)


def rigid(translation_mm, degrees):
    """About the joint's centre."""
    affine = np.eye(4)
    affine[:3, :3] = cv2.Rodrigues(np.deg2rad(np.array(degrees, dtype=float)))[0]
    affine[:3, 3] = np.array(KNEE.centre) + translation_mm - affine[:3, :3] @ KNEE.centre
    return affine


def furthest(one, other):
    """Largest distance between the corners of a box of 60 mm under two affines."""
    first, second = (CORNERS @ each[:3, :3].T + each[:3, 3] for each in (one, other))
    return np.linalg.norm(first - second, axis=1).max()


@pytest.fixture(scope="module")
def planes():
    return {plane: segmented(stack(plane, pixels=240, pixel_mm=0.6), KNEE) for plane in PLANES}


@pytest.mark.parametrize(
    ("translation_mm", "degrees"),
    [((0, 0, 0), (0, 0, 0)), ((1.5, -1, 2), (0, 0, 0)), ((0, 0, 0), (2, -3, 4)), ((-4, 3, 3), (-3, 3, 2))],
)
@pytest.mark.parametrize("plane", [Plane.CORONAL, Plane.AXIAL])
def test_a_motion_is_found_and_undone(planes, plane, translation_mm, degrees):
    """To a fraction of a millimetre over the joint, of up to 6 mm and 5 degrees."""
    moved = rigid(translation_mm, degrees)
    each = planes[plane]
    found = motions({Plane.SAGITTAL: planes[Plane.SAGITTAL], plane: replace(each, to_patient=moved @ each.to_patient)})
    assert np.array_equal(found[Plane.SAGITTAL], np.eye(4))
    assert furthest(found[plane] @ moved, np.eye(4)) < 0.6


def test_the_same_series_moved_is_not_another_answer(planes):
    """Where a motion starts changes no digit of the place it leads to."""
    sagittal, axial = planes[Plane.SAGITTAL], planes[Plane.AXIAL]
    still = motions({Plane.SAGITTAL: sagittal, Plane.AXIAL: axial})[Plane.AXIAL]
    moved = rigid((1, 2, -1), (1, 0, 1))
    again = motions({Plane.SAGITTAL: sagittal, Plane.AXIAL: replace(axial, to_patient=moved @ axial.to_patient)})
    assert furthest(again[Plane.AXIAL] @ moved, still) < 0.05


def test_another_knee_does_not_fit(planes):
    """A larger one, as a mixed up series would show it."""
    other = segmented(stack(Plane.CORONAL, pixels=240, pixel_mm=0.6), DrawnKnee(size=1.25))
    assert set(motions({Plane.SAGITTAL: planes[Plane.SAGITTAL], Plane.CORONAL: other})) == {Plane.SAGITTAL}


def test_without_bones_nothing_is_laid_on_anything(planes):
    """On neither side; the plane that has bones stays where it is, and so does the first where none has."""
    bare, whole = without_bones(planes[Plane.SAGITTAL]), planes[Plane.CORONAL]
    assert list(motions({Plane.SAGITTAL: bare, Plane.CORONAL: whole})) == [Plane.CORONAL]
    assert list(motions({Plane.CORONAL: whole, Plane.SAGITTAL: bare})) == [Plane.CORONAL]
    assert list(motions({Plane.SAGITTAL: bare, Plane.CORONAL: without_bones(whole)})) == [Plane.SAGITTAL]


def test_a_first_plane_without_bones_leaves_the_others_together(planes):
    """A spoilt sagittal series keeps nobody else from asking."""
    found = motions(planes | {Plane.SAGITTAL: without_bones(planes[Plane.SAGITTAL])})
    assert set(found) == {Plane.CORONAL, Plane.AXIAL}
    assert min(furthest(each, np.eye(4)) for each in found.values()) == 0
    assert max(furthest(each, np.eye(4)) for each in found.values()) < 0.6


def without_bones(each):
    return replace(each, labels=np.where(each.labels == Structure.PATELLA, each.labels, 0).astype(np.uint8))


def test_a_series_elsewhere_is_not_reached(planes):
    """The geometry of another body part's series leads nowhere, and that is no error."""
    sagittal, axial = planes[Plane.SAGITTAL], planes[Plane.AXIAL]
    away = replace(axial, to_patient=rigid((0, 0, 400), (0, 0, 0)) @ axial.to_patient)
    assert list(motions({Plane.SAGITTAL: sagittal, Plane.AXIAL: away})) == [Plane.SAGITTAL]


def test_one_plane_has_nothing_to_move_to(planes):
    """It is where it is."""
    assert list(motions({Plane.AXIAL: planes[Plane.AXIAL]})) == [Plane.AXIAL]
