"""Where one plane doubts what it sees, the others are asked; where none is there, borders lie where they belong."""

from dataclasses import replace

import numpy as np
import pytest

from services.common.finding import Structure
from services.common.transforms import to_source_grid
from services.common.volume import PLANES, Plane
from services.preprocessing.agreement import agreed
from tests.preprocessing.drawn_knee import CARTILAGE, DrawnKnee, points_of, segmented, stack

KNEE = DrawnKnee()
ALL = {plane: np.eye(4) for plane in PLANES}


def truth(volume):
    return KNEE.labels(points_of(volume.affine, volume.voxels.shape))


def wrong(labels, volume):
    """Share of the truth's voxels that are something else, or that are one without being it."""
    true = truth(volume)
    return np.count_nonzero(labels != true) / np.count_nonzero(true)


def dice(labels, volume, structure):
    a, b = labels == structure, truth(volume) == structure
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_border_lies_between_model_voxels_where_it_belongs(plane, turned, mirrored):
    """Of a series finer than the model's grid, whichever way it is stored and whichever side it shows."""
    volume = stack(plane, turned=turned)
    alone = segmented(volume, KNEE, mirrored=mirrored)
    found = agreed({plane: alone}, {})[plane]
    assert wrong(found, volume) < 0.006
    assert wrong(found, volume) < 0.5 * wrong(to_source_grid(alone.labels, alone.grid), volume)


@pytest.mark.parametrize("slices", [20, 40, 90])
def test_every_slice_of_a_short_or_long_series_has_its_labels(slices):
    """Passes are woven, padding has no say."""
    volume = stack(Plane.SAGITTAL, slices=slices, pixels=200, pixel_mm=0.7)
    found = agreed({Plane.SAGITTAL: segmented(volume, KNEE)}, {})[Plane.SAGITTAL]
    assert found.shape == volume.voxels.shape
    assert wrong(found, volume) < 0.02


@pytest.fixture(scope="module")
def drawn():
    """The axial series, and three of the knee; the axial one sees bones dimly and cartilage hardly."""
    volumes = {plane: stack(plane, pixels=240, pixel_mm=0.6) for plane in PLANES}
    found = {plane: segmented(volume, KNEE) for plane, volume in volumes.items()}
    found[Plane.AXIAL] = segmented(volumes[Plane.AXIAL], KNEE, per_mm=2.0, blind=2.0)
    return volumes[Plane.AXIAL], found


def test_a_plane_that_doubts_asks_the_others(drawn):
    """Cartilage in the plane of the slices is what the two other planes say it is."""
    volume, found = drawn
    alone, together = (agreed(found, motions)[Plane.AXIAL] for motions in ({}, ALL))
    assert dice(alone, volume, CARTILAGE) < 0.5
    assert dice(together, volume, CARTILAGE) > 0.75
    assert dice(together, volume, Structure.FEMUR) > 0.98


@pytest.mark.parametrize(("certainty", "others", "elected"), [(0.8, 1, 0), (0.6, 1, 1), (0.8, 2, 1)])
def test_another_plane_has_half_a_vote(drawn, certainty, others, elected):
    """0.8 for femur stand against 0.2 + 0.5, which 0.6 don't, and 0.2 + 0.5 + 0.5 are more."""
    two = (Structure.FEMUR, Structure.TIBIA)
    found = {plane: saying(each, two, certainty) for plane, each in drawn[1].items()}
    for plane in PLANES[:others]:
        found[plane] = saying(found[plane], two[::-1], 1.0)
    motions = {plane: ALL[plane] for plane in (*PLANES[:others], Plane.AXIAL)}
    middle = tuple(size // 2 for size in drawn[0].voxels.shape)
    assert agreed(found, motions)[Plane.AXIAL][middle] == two[elected]


def saying(each, structures, certainty):
    """A plane that says the same everywhere."""
    first, second = (np.full_like(each.labels, structure) for structure in structures)
    share = np.full_like(first, round(255 * certainty))
    return replace(each, labels=first, runner_up=second, certainty=share)


def test_a_plane_that_is_sure_is_not_outvoted(drawn):
    """Where it and all around are sure it asks nobody."""
    found = dict(drawn[1])
    axial = found[Plane.AXIAL]
    found[Plane.AXIAL] = replace(axial, labels=np.zeros_like(axial.labels), certainty=np.full_like(axial.labels, 255))
    assert not agreed(found, ALL)[Plane.AXIAL].any()


@pytest.mark.parametrize("without", [Plane.CORONAL, Plane.AXIAL])
def test_a_plane_without_a_motion_neither_asks_nor_answers(drawn, without):
    """It is left as it would be by itself."""
    found = dict(drawn[1])
    motions = {plane: np.eye(4) for plane in PLANES if plane != without}
    expected = agreed({without: found[without]}, {})[without]
    labels = agreed(found, motions)
    assert np.array_equal(labels[without], expected)
    others = {plane: found[plane] for plane in motions}
    assert all(np.array_equal(labels[plane], each) for plane, each in agreed(others, motions).items())


def test_a_plane_that_does_not_reach_a_place_has_no_say_there():
    """An axial stack below the joint changes no voxel of a coronal series at the joint."""
    volume = stack(Plane.CORONAL, pixels=240, pixel_mm=0.6)
    coronal = segmented(volume, KNEE, per_mm=4.0)
    axial = segmented(stack(Plane.AXIAL, pixels=240, pixel_mm=0.6), KNEE, per_mm=4.0)
    axial.to_patient[2, 3] -= 200
    motions = {Plane.CORONAL: np.eye(4), Plane.AXIAL: np.eye(4)}
    together = agreed({Plane.CORONAL: coronal, Plane.AXIAL: axial}, motions)
    assert np.array_equal(together[Plane.CORONAL], agreed({Plane.CORONAL: coronal}, {})[Plane.CORONAL])


def test_a_motion_leads_to_where_the_first_plane_saw_the_knee(drawn):
    """A series 5 mm away is asked at the place that moved along."""
    volume, found = drawn
    moved = np.eye(4)
    moved[:3, 3] = (3, -4, 5)
    found = {
        plane: replace(each, to_patient=moved @ each.to_patient) if plane != Plane.AXIAL else each
        for plane, each in found.items()
    }
    motions = {Plane.AXIAL: np.eye(4), Plane.SAGITTAL: np.linalg.inv(moved), Plane.CORONAL: np.linalg.inv(moved)}
    known, unknown = (agreed(found, each)[Plane.AXIAL] for each in (motions, ALL))
    assert dice(known, volume, CARTILAGE) > 0.75
    assert dice(unknown, volume, CARTILAGE) < dice(known, volume, CARTILAGE) - 0.2


def test_outside_the_field_of_view_nothing_is_labelled():
    """The model sees 150 mm of a picture of 200."""
    volume = stack(Plane.SAGITTAL, pixels=250, pixel_mm=0.8)
    each = segmented(volume, KNEE)
    each = replace(each, labels=np.ones_like(each.labels), certainty=np.full_like(each.labels, 128))
    found = agreed({Plane.SAGITTAL: each}, {})[Plane.SAGITTAL]
    assert np.array_equal(found > 0, to_source_grid(np.ones_like(each.labels), each.grid) > 0)
