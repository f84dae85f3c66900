"""Knees are as large as measured ones: 34 to 68 label maps of the OAI, mean and standard deviation in millimetres."""

import numpy as np
import pytest
from scipy import ndimage

from services.common.finding import Structure
from services.common.volume import Plane
from tools.phantom.acquire import lay_out
from tools.phantom.anatomy import knee
from tools.phantom.protocol import PD_FS, Protocol, stack
from tools.phantom.scene import structures

SEEDS = range(100, 104)
PROTOCOL = Protocol(
    Plane.SAGITTAL, PD_FS, matrix=160, field_of_view_mm=160, slices=64, thickness_mm=2.0, spacing_mm=2.0
)
SPACING_MM = np.array([2.0, 1.0, 1.0])  # slices run across the knee, rows to the foot, columns to the back
PUBLISHED = {
    "femur across, at the condyles": (82.1, 6.2),
    "femur front to back": (65.4, 4.8),
    "tibial plateau across": (76.7, 6.4),
    "tibial plateau front to back": (54.7, 4.4),
    "patella across": (44.8, 5.1),
    "patella along the leg": (44.0, 5.6),
    "patella front to back": (23.9, 2.4),
    "patella's centre above the plateau": (26.9, 5.0),
}
PUBLISHED_ML = {
    "femoral cartilage": ((Structure.FEMORAL_CARTILAGE,), 11.9, 3.3),
    "tibial cartilage": ((Structure.MEDIAL_TIBIAL_CARTILAGE, Structure.LATERAL_TIBIAL_CARTILAGE), 4.4, 1.2),
    "patellar cartilage": ((Structure.PATELLAR_CARTILAGE,), 2.8, 1.0),
}


@pytest.fixture(scope="module")
def drawn():
    """Labels of some healthy knees, sagittal."""
    knees = [knee(seed) for seed in SEEDS]
    return [structures(lay_out(each, PROTOCOL, stack(PROTOCOL, each.stream("sizes")))) for each in knees]


def box_mm(mask):
    """Extent of the largest piece of a mask across the knee, along the leg and front to back."""
    pieces, count = ndimage.label(mask)
    largest = 1 + int(np.argmax(ndimage.sum_labels(mask, pieces, np.arange(1, count + 1))))
    return (np.ptp(np.argwhere(pieces == largest), axis=0) + 1) * SPACING_MM


def sizes_mm(labels):
    femur, tibia, patella = (labels == each for each in (Structure.FEMUR, Structure.TIBIA, Structure.PATELLA))
    distal, plateau = np.argwhere(femur)[:, 1].max(), np.argwhere(tibia)[:, 1].min()
    condyles, top, kneecap = box_mm(femur[:, distal - 35 :]), box_mm(tibia[:, : plateau + 18]), box_mm(patella)
    height = plateau - np.argwhere(patella)[:, 1].mean()
    return dict(zip(PUBLISHED, (condyles[0], condyles[2], top[0], top[2], *kneecap, height), strict=True))


@pytest.fixture(scope="module")
def sizes(drawn):
    return [sizes_mm(labels) for labels in drawn]


@pytest.mark.parametrize("size", PUBLISHED)
def test_bones_have_the_size_of_measured_ones(sizes, size):
    """The mean over knees lies within a standard deviation and a half; the error of the mean of four is half of one."""
    mean, deviation = PUBLISHED[size]
    assert np.mean([each[size] for each in sizes]) == pytest.approx(mean, abs=1.5 * deviation)


@pytest.mark.parametrize("name", PUBLISHED_ML)
def test_there_is_as_much_cartilage_as_was_measured(drawn, name):
    """Healthy knees hold more than the average of a cohort with arthritis: up to two and a half standard deviations."""
    parts, mean, deviation = PUBLISHED_ML[name]
    millilitres = [np.count_nonzero(np.isin(labels, parts)) * SPACING_MM.prod() / 1000 for labels in drawn]
    assert np.mean(millilitres) == pytest.approx(mean, abs=2.5 * deviation)


def test_no_two_knees_are_alike(sizes):
    """Their bones differ in size by a few per cent, as people's do."""
    across = [each["femur across, at the condyles"] for each in sizes]
    assert 1.0 < np.std(across) < 3 * PUBLISHED["femur across, at the condyles"][1]


def test_a_healthy_knee_holds_a_spoonful_of_fluid(drawn):
    """At most 5 ml, as in the literature, and what half a pixel around it adds."""
    for labels in drawn:
        assert np.count_nonzero(labels == Structure.EFFUSION) * SPACING_MM.prod() / 1000 < 6
