"""Artefacts: each does what a scanner's does, and nothing else moves."""

from dataclasses import replace

import numpy as np
import pytest

from services.common.volume import Plane
from tools.phantom import artefacts
from tools.phantom.acquire import acquire
from tools.phantom.anatomy import knee
from tools.phantom.protocol import PD, Protocol

PROTOCOL = Protocol(Plane.SAGITTAL, PD, matrix=64, slices=6)


def rng():
    return np.random.default_rng(0)


@pytest.fixture
def disc():
    """A bright disc, the same on six slices."""
    rows, columns = np.mgrid[:64, :64]
    return np.repeat((np.hypot(rows - 30, columns - 34) < 15).astype(np.float32)[None], 6, axis=0)


def middle(image):
    return float((image.sum(axis=(0, 1)) * np.arange(64)).sum() / image.sum())


def test_fat_is_shifted_along_the_readout_by_its_frequency(disc):
    """3 T at 290 Hz a pixel: one and a half pixels; water stays."""
    protocol = replace(PROTOCOL, artefacts=frozenset({"chemical shift"}))
    shifted = artefacts.disturbed(np.zeros_like(disc), disc, protocol, rng())
    assert middle(shifted) - middle(disc) == pytest.approx(1.52, abs=0.05)
    assert np.array_equal(artefacts.disturbed(disc, np.zeros_like(disc), protocol, rng()), disc)


def test_ringing_overshoots_beside_an_edge_and_keeps_the_mean(disc):
    """A cut-off spectrum rings by a few per cent."""
    rung = artefacts.ringing(disc, rng())
    assert 1.02 < rung.max() < 1.35
    assert rung.mean() == pytest.approx(disc.mean(), rel=0.1)


@pytest.mark.parametrize("name", ["motion", "pulsation", "fold-over"])
def test_what_moves_leaves_ghosts_along_the_phase_direction_alone(disc, name):
    """Ghosts lie above and below the disc, not beside it."""
    disturbed = artefacts.disturbed(disc, np.zeros_like(disc), replace(PROTOCOL, artefacts=frozenset({name})), rng())
    if name == "fold-over":
        disc[:, :4] = 1
        disturbed = artefacts.fold_over(disc, rng())
        assert disturbed.max() > 1.5
        return
    above_or_below, beside = disturbed[:, :, 20:48], disturbed[:, :, :15]
    assert np.abs(above_or_below - disc[:, :, 20:48]).max() > 0.02
    assert np.abs(beside).max() < 0.02


def test_metal_is_black_with_a_bright_rim(disc):
    """Nothing comes out of the void, too much from around it."""
    ones = np.ones_like(disc)
    void = artefacts.metal(ones, rng())
    assert void.min() == 0
    assert void.max() > 1.5
    assert 0.0005 < (void == 0).mean() < 0.2


def test_an_unknown_artefact_is_refused(disc):
    """A typing error does not make a clean series."""
    with pytest.raises(ValueError, match="moton"):
        artefacts.disturbed(disc, disc, replace(PROTOCOL, artefacts=frozenset({"moton"})), rng())


def test_artefacts_touch_the_image_and_not_the_truth():
    """The same knee with every artefact has another image, the same labels and the same place."""
    one = knee(3)
    clean = acquire(one, PROTOCOL, rng())
    spoilt = acquire(one, replace(PROTOCOL, artefacts=frozenset(artefacts.ARTEFACTS)), rng())
    assert np.array_equal(clean.labels.voxels, spoilt.labels.voxels)
    assert np.array_equal(clean.image.affine, spoilt.image.affine)
    assert not np.array_equal(clean.image.voxels, spoilt.image.voxels)
