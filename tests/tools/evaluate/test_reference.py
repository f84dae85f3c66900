"""The semi-automatic reference finds a bone that a rough outline only hints at."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from tools.evaluate import real
from tools.evaluate.engine import Engine
from tools.evaluate.overlap import dice
from tools.evaluate.reference import Outline, outlines, random_walk, reference

RNG = np.random.default_rng(0)


def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Two echoes of a bright disc with a dark shell in grey muscle, and the disc with its shell."""
    row, column = np.mgrid[:128, :128]
    radius = np.hypot(row - 64, column - 60)
    tissue = np.where(radius < 30, 900.0, np.where(radius < 32, 80.0, 350.0))
    echoes = np.stack([tissue, np.where(radius < 30, 700.0, tissue * 0.4)]) + RNG.normal(0, 15, (2, 128, 128))
    return echoes.astype(np.float32), radius < 32


def circle(radius: float) -> tuple[tuple[float, float], ...]:
    return tuple((60 + radius * np.cos(a), 64 + radius * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 24))


def test_a_rough_outline_becomes_the_bone_with_its_cortex():
    """An outline three pixels too wide ends at the dark shell; corrections by hand have the last word."""
    echoes, bone = drawn()
    outline = Outline(0, "femur", circle(34))
    found = reference(echoes, outline)
    assert dice(*(int(np.count_nonzero(each)) for each in (found & bone, found, bone))) > 0.97
    corner = ((40, 40), (60, 40), (60, 60), (40, 60))
    assert not reference(echoes, Outline(0, "femur", circle(34), remove=(corner,)))[45:55, 45:55].any()
    far = ((100, 100), (120, 100), (120, 120), (100, 120))
    assert reference(echoes, Outline(0, "femur", circle(34), add=(far,)))[105:115, 105:115].all()


def test_the_walker_stops_at_edges():
    """Between two seeds the border falls on the step of the picture, not half way."""
    picture = np.zeros((1, 20, 60), dtype=np.float32)
    picture[:, :, 40:] = 1
    inside, outside = np.zeros((2, 20, 60), dtype=bool)
    inside[:, :5], outside[:, 55:] = True, True
    walked = random_walk(picture, inside=inside, outside=outside)
    assert walked[:, :40].all()
    assert not walked[:, 40:].any()


def test_the_outlines_cover_femur_and_tibia_on_at_least_six_slices():
    """Polygons only; each lies inside a 256 x 256 image and has an area."""
    listed = outlines()
    for bone in ("femur", "tibia"):
        assert len({each.slice_index for each in listed if each.structure == bone}) >= 6
    for each in listed:
        points = np.array(each.polygon)
        assert points.min() >= 0
        assert points.max() <= 256
        x, y = points.T
        assert abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2 > 1000


@pytest.mark.skipif(not real.SERIES.is_dir(), reason="the real series is not on this machine")
def test_real_bones_are_found_on_a_real_series():
    """Reading, transforms and reference agree on where the bones are; the number itself is the report's."""
    measured = real.measure(Engine(threads=2))
    assert measured is not None
    for structure in real.BONES.values():
        whole = measured.reference == structure
        assert ndimage.label(whole[measured.slices[3]])[1] == 1
    assert len(measured.slices) >= 6
    assert min(min(each.dice.values()) for each in measured.readings) > 0.8


def test_without_the_series_there_is_no_number():
    """None, and no exception."""
    assert real.measure(Engine(), Path("/nowhere")) is None
