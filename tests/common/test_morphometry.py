"""Sizes of shapes whose sizes are known from a formula."""

import numpy as np
import pytest

from services.common.morphometry import contact_area_mm2, outline_area_mm2, overhang_mm, volume_mm3

SPACING = np.array([3.0, 0.4, 0.4])


def grid(spacing, size=(12, 200, 200)):
    """Coordinates in mm from the middle of a stack, ``(slice, row, column)`` each."""
    centred = [(np.arange(count) - (count - 1) / 2) * step for count, step in zip(size, spacing, strict=True)]
    return np.meshgrid(*centred, indexing="ij")


def test_an_ellipsoid_has_the_volume_of_its_formula():
    """4/3 pi abc, within the stairs of its slices."""
    z, y, x = grid(SPACING)
    mask = (z / 14) ** 2 + (y / 20) ** 2 + (x / 28) ** 2 < 1
    assert volume_mm3(mask, SPACING) == pytest.approx(4 / 3 * np.pi * 14 * 20 * 28, rel=0.01)


def test_a_cylinder_has_the_outline_of_its_formula():
    """2 pi r x height, not the longer way along the stairs of the voxels."""
    _, y, x = grid(SPACING)
    mask = np.hypot(x, y) < 25
    assert outline_area_mm2(mask, SPACING) == pytest.approx(2 * np.pi * 25 * 12 * 3.0, rel=0.01)


@pytest.mark.parametrize("degrees", [0, 10, 22.5, 30, 45, 60, 90, 110, 135, 160])
def test_the_contact_of_two_halves_is_as_long_as_their_edge_at_any_slant(degrees):
    """Within 7 %, ends included, where counting voxel faces would be wrong by 41 %."""
    _, y, x = grid(SPACING)
    angle = np.radians(degrees)
    across, along = x * np.sin(angle) - y * np.cos(angle), x * np.cos(angle) + y * np.sin(angle)
    inside = np.abs(along) < 25
    area = contact_area_mm2(inside & (across < 0), inside & (across >= 0), SPACING)
    assert area == pytest.approx(50 * 12 * 3.0, rel=0.07)


def test_pixels_need_not_be_square():
    """A circle drawn on pixels twice as high as wide keeps its outline."""
    spacing = np.array([2.0, 0.6, 0.3])
    _, y, x = grid(spacing, (3, 200, 400))
    assert outline_area_mm2(np.hypot(x, y) < 20, spacing) == pytest.approx(2 * np.pi * 20 * 3 * 2.0, rel=0.03)


def test_shapes_that_do_not_touch_have_no_contact():
    """One voxel of background between them is enough."""
    mask = np.zeros((2, 8, 8), bool)
    one, other = mask.copy(), mask.copy()
    one[:, :, :3], other[:, :, 4:] = True, True
    assert contact_area_mm2(one, other, SPACING) == 0.0


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_overhang_is_measured_outwards_on_either_side(mirrored):
    """Five columns beyond the inner shape, or three short of its edge."""
    inner, outer, short = (np.zeros((10, 60), bool) for _ in range(3))
    inner[5:, 10:40], outer[2:4, 30:45], short[2:4, 25:37] = True, True, True
    if mirrored:
        inner, outer, short = (each[:, ::-1] for each in (inner, outer, short))
    assert overhang_mm(inner, outer, 0.5) == pytest.approx(2.5)
    assert overhang_mm(inner, short, 0.5) == pytest.approx(-1.5)


def test_nothing_has_no_overhang():
    """An empty shape has no edge."""
    empty, drawn = np.zeros((4, 4), bool), np.ones((4, 4), bool)
    assert overhang_mm(empty, drawn, 1.0) is None
    assert overhang_mm(drawn, empty, 1.0) is None
