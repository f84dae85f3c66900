"""What is drawn has the size of what was measured in real knees: boxes of SKM-TEA and fastMRI+, in millimetres."""

import numpy as np
import pytest

from services.common.finding import LABELS, Structure
from services.common.volume import Plane
from tools.phantom.acquire import lay_out
from tools.phantom.anatomy import knee
from tools.phantom.protocol import PD_FS, Protocol, stack
from tools.phantom.scene import lesions, structures

SEEDS = range(6)
# (head to foot, across the knee); the middle halves of the published boxes, a factor of 1.6 wider on both sides
PUBLISHED_MM = {
    "ACL": ((16.5, 23.6), (10.0, 14.8)),
    "Baker's": ((20.0, 53.0), (15.0, 31.0)),
    "Contusion": ((15.0, 33.0), (15.0, 33.0)),
}


@pytest.fixture(scope="module")
def knees():
    """Masks of all findings and labels of some knees in the coronal plane, with their pixel and slice sizes in mm."""
    protocol = Protocol(Plane.CORONAL, PD_FS, matrix=96, slices=36, spacing_mm=3.0)
    drawn = []
    for seed in SEEDS:
        ill = knee(seed, frozenset(LABELS))
        scene = lay_out(ill, protocol, stack(protocol, ill.stream("sizes")))
        drawn.append((lesions(scene), structures(scene)))
    return drawn, protocol.field_of_view_mm / protocol.matrix, protocol.spacing_mm


def extents(knees, label):
    """Median size in mm of the box that holds all of a finding, along the head and across."""
    drawn, pixel, _ = knees
    masks = [(each >> LABELS.index(label)) & 1 for each, _ in drawn]
    where = [np.argwhere(mask) for mask in masks if mask.any()]
    assert len(where) == len(drawn)
    return np.median([np.ptp(each, axis=0)[1:] + 1 for each in where], axis=0) * pixel


@pytest.mark.parametrize("label", PUBLISHED_MM)
def test_a_finding_has_the_size_of_the_published_boxes(knees, label):
    """Median over knees, along the head and across."""
    for found, (low, high) in zip(extents(knees, label), PUBLISHED_MM[label], strict=True):
        assert low / 1.6 <= found <= high * 1.6, (label, found)


def test_an_effusion_is_more_fluid_than_a_healthy_knee_holds(knees):
    """10 to 80 ml against at most 5 of joint fluid."""
    drawn, pixel, spacing = knees
    millilitre = pixel * pixel * spacing / 1000
    volumes = [np.count_nonzero(labels == Structure.EFFUSION) * millilitre for _, labels in drawn]
    assert 10 < np.median(volumes) < 80


def test_a_tear_is_far_smaller_than_its_meniscus(knees):
    """Published tears are 3 to 9 mm high and 8 to 25 mm wide; the whole meniscus is wider than either."""
    for label in ("Medial Meniscus", "Lateral Meniscus"):
        high, wide = extents(knees, label)
        assert 3 / 1.6 < high < 9 * 1.6
        assert 8 / 1.6 < wide < 25 * 1.6
