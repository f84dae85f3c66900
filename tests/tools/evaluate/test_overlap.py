"""Overlap and surface distance in millimetres."""

import numpy as np
import pytest

from services.common.finding import Structure
from tools.evaluate.overlap import dice, overlaps, surface_distance

SPACING = np.array([4.0, 0.5, 0.5])


def block(shift: int = 0) -> np.ndarray:
    mask = np.zeros((6, 40, 40), dtype=bool)
    mask[1:5, 10:30, 10 + shift : 30 + shift] = True
    return mask


def test_the_same_mask_has_no_distance_and_a_shift_has_its_own():
    """Two pixels of 0.5 mm apart: the two sides that moved are 1 mm away, the others stay."""
    assert surface_distance(block(), block(), SPACING) == 0
    assert 0.3 < surface_distance(block(), block(2), SPACING) < 1.0


def test_a_slice_too_far_counts_in_millimetres():
    """One slice more at each end is 4 mm away, for the pixels of that slice."""
    longer = block()
    longer[0], longer[5] = longer[1], longer[1]
    assert surface_distance(block(), longer, SPACING) == pytest.approx(4 * 2 / 10, rel=0.05)


def test_counts_are_of_each_structure_inside_the_field_of_view():
    """What lies outside is no mistake; what is absent from both maps is not listed."""
    true, found = block() * np.uint8(Structure.FEMUR), block(2) * np.uint8(Structure.FEMUR)
    found[0, 0, 0] = Structure.ACL
    inside = np.ones(true.shape, dtype=bool)
    inside[:, :20] = False
    counted = overlaps(found, true, inside, SPACING)
    assert set(counted) == {Structure.FEMUR}
    one = counted[Structure.FEMUR]
    assert (one.both, one.found, one.true) == (4 * 10 * 18, 4 * 10 * 20, 4 * 10 * 20)
    assert dice(one.both, one.found, one.true) == pytest.approx(0.9)


def test_a_structure_that_was_not_found_has_no_distance():
    """Dice is 0, and the distance is unknown instead of flattering."""
    true = block() * np.uint8(Structure.PATELLA)
    one = overlaps(np.zeros_like(true), true, np.ones(true.shape, dtype=bool), SPACING)[Structure.PATELLA]
    assert (dice(one.both, one.found, one.true), one.surface_mm) == (0.0, None)
    assert np.isnan(dice(0, 0, 0))
