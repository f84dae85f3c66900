"""Slices in order, one affine for all, exact for every orientation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.errors import RefusalCode, StudyRefused
from services.common.frame import frames_of
from services.common.transforms import model_grid
from services.common.volume import Plane, Volume
from services.preprocessing.geometry import affine_of, sort_slices
from tests.studies import COLUMNS, COSINES, ROWS, enhanced, series


def rotation(angles_degrees) -> np.ndarray:
    x, y, z = np.deg2rad(angles_degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def turned(plane: Plane, angles, *, slices: int, gap_mm: float, spacing):
    """Instances of a plane turned about all axes, with positions written as a scanner writes them."""
    cosines = (rotation(angles) @ np.reshape(COSINES[plane], (2, 3)).T).T
    normal = np.cross(*cosines)
    instances = series(plane, slices=slices, PixelSpacing=list(spacing))
    for index, instance in enumerate(instances):
        instance.ImageOrientationPatient = [round(float(value), 8) for value in cosines.ravel()]
        place = np.array([-31.7, 12.4, 99.1]) + normal * gap_mm * index
        instance.ImagePositionPatient = [round(float(value), 6) for value in place]
    return instances


def standard_position(frame, row: float, column: float) -> np.ndarray:
    """DICOM's own equation of one pixel (PS3.3 C.7.6.2.1.1)."""
    cosines = np.reshape(frame.orientation, (2, 3))
    by_row, by_column = frame.pixel_spacing_mm
    return np.array(frame.position_mm) + cosines[0] * by_column * column + cosines[1] * by_row * row


@given(
    plane=st.sampled_from(list(Plane)),
    angles=st.tuples(*[st.floats(-40, 40)] * 3),
    gap_mm=st.floats(0.4, 8.0),
    spacing=st.tuples(st.floats(0.2, 1.5), st.floats(0.2, 1.5)),
    order=st.permutations(range(7)),
    together=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_every_voxel_lies_where_dicom_says(plane, angles, gap_mm, spacing, order, *, together):
    """To a hundredth of a millimetre, for any orientation, order and spacing, classic or enhanced."""
    instances = turned(plane, angles, slices=7, gap_mm=gap_mm, spacing=spacing)
    shuffled = [instances[index] for index in order]
    frames = frames_of(enhanced(shuffled)) if together else [frames_of(each)[0] for each in shuffled]
    slices = sort_slices(frames)
    affine = affine_of(slices)
    for index, frame in enumerate(slices):
        for row, column in ((0, 0), (ROWS - 1, 0), (0, COLUMNS - 1), (17, 41)):
            expected = standard_position(frame, row, column)
            assert np.linalg.norm((affine @ [index, row, column, 1])[:3] - expected) < 0.01


@given(
    plane=st.sampled_from(list(Plane)),
    angles=st.tuples(*[st.floats(-30, 30)] * 3),
    gap_mm=st.floats(0.4, 6.0),
    slices=st.integers(3, 60),
    mirrored=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_a_model_voxel_and_its_patient_position_are_one_affine_and_its_inverse(plane, angles, gap_mm, slices, mirrored):
    """Model index to patient and back ends at the same index to a hundredth of a millimetre."""
    instances = turned(plane, angles, slices=slices, gap_mm=gap_mm, spacing=(0.5, 0.6))
    ordered = sort_slices([frames_of(each)[0] for each in instances])
    volume = Volume(np.zeros((slices, ROWS, COLUMNS), np.uint8), affine_of(ordered))
    to_patient = volume.affine @ model_grid(volume, mirrored=mirrored).affine
    corners = np.array([[0, 0, 0, 1], [31, 255, 255, 1], [3, 200, 17, 1]], dtype=float).T
    back = np.linalg.inv(to_patient) @ (to_patient @ corners)
    moved_mm = np.linalg.norm((to_patient @ (back - corners))[:3], axis=0)
    assert moved_mm.max() < 0.01


def test_the_file_order_and_the_sign_of_the_direction_do_not_matter():
    """Reversed instances give the same slices."""
    instances = series(Plane.AXIAL)
    forwards = sort_slices([frames_of(each)[0] for each in instances])
    backwards = sort_slices([frames_of(each)[0] for each in reversed(instances)])
    assert [a.sop_instance_uid for a in forwards] == [b.sop_instance_uid for b in backwards]


@pytest.mark.parametrize(
    ("positions", "code"),
    [
        ([0, 4], RefusalCode.TOO_FEW_SLICES),
        ([0, 4, 4, 8], RefusalCode.OVERLAPPING_SLICES),
        ([0, 4, 8, 16], RefusalCode.UNEVEN_SLICES),
        ([0, 4, 8, 12.3], RefusalCode.UNEVEN_SLICES),
    ],
)
def test_slices_that_are_no_even_stack_are_refused(positions, code):
    """Never interpolated in silence."""
    instances = series(Plane.AXIAL, slices=len(positions))
    for instance, z in zip(instances, positions, strict=True):
        instance.ImagePositionPatient = [0.0, 0.0, z]
    with pytest.raises(StudyRefused) as caught:
        sort_slices([frames_of(each)[0] for each in instances])
    assert caught.value.code == code


def test_positions_rounded_to_a_tenth_are_even():
    """A thin 3D series written with one decimal."""
    instances = series(Plane.AXIAL, slices=40)
    for index, instance in enumerate(instances):
        instance.ImagePositionPatient = [0.0, 0.0, round(0.64 * index, 1)]
    assert len(sort_slices([frames_of(each)[0] for each in instances])) == 40
