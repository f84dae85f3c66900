"""The slice that a finding names is the one that its heat map shows."""

import numpy as np

from services.preprocessing.inference import deciding_slices

TEAR = 4  # any label


def answer(*, tear=0.0):
    """Class maps as the network gives them: -3 where nothing is seen, and a lesion of four cells in one slice."""
    maps = np.full((3, 32, 12, 32, 32), -3, np.float16)
    attention = np.full((3, 32, 12), 1e-4, np.float32)
    seen = np.zeros((3, 32), bool)
    seen[:, 4:28] = True
    maps[0, 9, TEAR, 10:12, 10:12] = tear
    attention[0, 9, TEAR] = 0.9
    return maps, attention, seen


def test_a_weak_lesion_is_named_though_its_slice_lowers_the_logit():
    """The mean of its map is negative, hence below the share of slices that nobody looked at."""
    maps, attention, seen = answer(tear=200)
    assert maps[0, 9, TEAR].astype(np.float32).mean() < 0
    assert deciding_slices(maps, attention, seen)[TEAR] == (0, 9)


def test_a_small_lesion_that_is_looked_at_comes_before_a_large_one_that_is_not():
    """Heat is attention times the map."""
    maps, attention, seen = answer(tear=200)
    maps[2, 20, TEAR, :8, :8] = 200
    assert deciding_slices(maps, attention, seen)[TEAR] == (0, 9)
    attention[2, 20, TEAR] = 0.1
    assert deciding_slices(maps, attention, seen)[TEAR] == (2, 20)


def test_without_any_heat_the_slice_with_most_attention_is_named():
    """Something has to be shown, and never a slice that does not exist."""
    maps, attention, seen = answer(tear=-3)
    attention[1, 0, TEAR] = 1.0  # beyond the series
    maps[1, 1, TEAR] = 50
    assert deciding_slices(maps, attention, seen)[TEAR] == (0, 9)
