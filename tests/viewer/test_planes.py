"""Planes and colours of what is scrolled through."""

import pytest

from services.common.codes import STRUCTURE_CODES
from services.results.color import cielab
from services.viewer.planes import plane_of, srgb


@pytest.mark.parametrize(
    ("orientation", "plane"),
    [
        ("0\\1\\0\\0\\0\\-1", "sagittal"),
        ("0.0117\\0.9987\\-0.0484\\0.0509\\-0.0489\\-0.9974", "sagittal"),
        ("1\\0\\0\\0\\0\\-1", "coronal"),
        ("1\\0\\0\\0\\1\\0", "axial"),
        ("", None),
        ("1\\0", None),
        ("a\\b\\c\\d\\e\\f", None),
    ],
)
def test_the_plane_follows_from_the_axis_of_the_stack(orientation, plane):
    """Oblique series belong to the nearest plane; no orientation has none."""
    assert plane_of(orientation) == plane


def test_each_structures_colour_comes_back():
    """From sRGB to DICOM's CIELab and back, within rounding."""
    for each in STRUCTURE_CODES.values():
        back = srgb("\\".join(map(str, cielab(each.colour))))
        assert all(abs(int(back[i : i + 2], 16) - each.colour[(i - 1) // 2]) <= 2 for i in (1, 3, 5))
    assert srgb("") == "#808080"
