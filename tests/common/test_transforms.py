"""One recipe to the model's grid and back: exact geometry, for every orientation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.finding import Structure
from services.common.tensors import GRID
from services.common.transforms import (
    PIXEL_MM,
    _slice_weights,
    _weights,
    joint_region,
    model_grid,
    to_model_grid,
    to_source_grid,
    weave,
    window_to_uint8,
)
from services.common.volume import Plane, Volume, slice_normal, stack_affine

ORIENTATIONS = {
    Plane.SAGITTAL: [0, 1, 0, 0, 0, -1],
    Plane.CORONAL: [1, 0, 0, 0, 0, -1],
    Plane.AXIAL: [1, 0, 0, 0, 1, 0],
}
MODEL_DIRECTIONS = {
    Plane.SAGITTAL: np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]),
    Plane.CORONAL: np.array([[0, 1, 0], [0, 0, -1], [1, 0, 0]]),
    Plane.AXIAL: np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]),
}


def rotation(axis: str, degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    matrix = np.eye(3)
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
    return matrix


def stack(
    plane: Plane, *, slices: int = 30, gap_mm: float = 4.0, spacing: tuple[float, float] = (0.4, 0.4), tilt: float = 0.0
) -> Volume:
    """A zero volume of 384 x 360 pixels whose slices run along +normal, or against it for a negative gap."""
    turn = rotation("z", tilt) @ rotation("x", tilt / 2)
    cosines = np.reshape(ORIENTATIONS[plane], (2, 3)) @ turn.T
    first = np.array([12.0, -34.0, 56.0])
    last = first + slice_normal(cosines.ravel()) * gap_mm * (slices - 1)
    affine = stack_affine(cosines.ravel(), spacing, first_position=first, last_position=last, slices=slices)
    return Volume(np.zeros((slices, 384, 360), np.uint8), affine)


@settings(max_examples=60, deadline=None)
@given(
    plane=st.sampled_from(list(Plane)),
    slices=st.integers(3, 90),
    gap_mm=st.floats(0.7, 5.0),
    forwards=st.booleans(),
    tilt=st.floats(-25, 25),
    mirrored=st.booleans(),
)
def test_every_axis_of_the_model_points_where_the_contract_says(plane, slices, gap_mm, forwards, tilt, mirrored):
    """Model axes run in the contract's directions for every order, tilt and side; a left knee is mirrored in x."""
    volume = stack(plane, slices=slices, gap_mm=gap_mm if forwards else -gap_mm, tilt=tilt)
    grid = model_grid(volume, mirrored=mirrored)
    directions = (volume.affine @ grid.affine)[:3, :3].T
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    expected = MODEL_DIRECTIONS[plane] * np.array([-1 if mirrored else 1, 1, 1])
    assert np.all(np.sum(directions * expected, axis=1) > np.cos(np.deg2rad(40)))


@settings(max_examples=40, deadline=None)
@given(
    plane=st.sampled_from(list(Plane)),
    slices=st.integers(3, 32),
    forwards=st.booleans(),
    mirrored=st.booleans(),
    row=st.integers(0, 383),
    column=st.integers(0, 359),
)
def test_a_voxel_keeps_its_place_in_the_patient(plane, slices, forwards, mirrored, row, column):
    """Source index -> patient -> model index -> source index is exact to 0.01 mm."""
    volume = stack(plane, slices=slices, gap_mm=3.5 if forwards else -3.5, tilt=8)
    grid = model_grid(volume, mirrored=mirrored)
    source_index = np.array([slices // 2, row, column, 1.0])
    model_index = np.linalg.inv(grid.affine) @ source_index
    there_and_back = volume.affine @ grid.affine @ model_index
    assert np.allclose(there_and_back, volume.affine @ source_index, atol=0.01)
    assert np.isclose(model_index[0], round(model_index[0]))


@pytest.mark.parametrize("plane", list(Plane))
@pytest.mark.parametrize("gap_mm", [3.0, -3.0])
@pytest.mark.parametrize("mirrored", [False, True])
def test_labels_come_back_to_the_voxels_they_were_drawn_on(plane, gap_mm, mirrored):
    """A block drawn in the source reaches the model and returns to the same block."""
    volume = stack(plane, slices=31, gap_mm=gap_mm, spacing=(PIXEL_MM, PIXEL_MM))
    grid = model_grid(volume, mirrored=mirrored)
    drawn = np.zeros(volume.voxels.shape, np.uint8)
    drawn[7:12, 150:190, 140:220] = 200
    returned = to_source_grid(to_model_grid(drawn, grid), grid)
    assert np.array_equal(returned > 100, drawn > 100)


def numbered(volume: Volume) -> np.ndarray:
    """Voxels that hold the index of their slice."""
    return np.broadcast_to(np.arange(len(volume.voxels), dtype=np.uint8)[:, None, None], volume.voxels.shape)


def test_a_transposed_series_is_turned_upright():
    """A sagittal series stored with rows along the front-back axis reaches the model like any other."""
    cosines = [0, 0, -1, 0, 1, 0]
    affine = stack_affine(cosines, (0.5, 0.5), first_position=[0, 0, 0], last_position=[87, 0, 0], slices=30)
    grid = model_grid(Volume(np.zeros((30, 320, 300), np.uint8), affine), mirrored=False)
    assert grid.source_axes == (0, 2, 1)


def test_more_than_32_slices_are_averaged_and_all_masked_in():
    """A 3D series of 160 slices fills all 32 model slices with slab averages."""
    volume = stack(Plane.SAGITTAL, slices=160, gap_mm=0.7)
    voxels = np.broadcast_to(np.arange(160, dtype=np.uint8)[:, None, None], volume.voxels.shape)
    grid = model_grid(volume, mirrored=False)
    model = to_model_grid(voxels, grid)
    assert grid.slice_mask.sum() == 32
    centre = model[:, 128, 128].astype(int)
    assert np.all(np.abs(np.abs(np.diff(centre)) - 5) <= 1)
    assert {grid.source_slice(0), grid.source_slice(31)} == {2, 157}


@pytest.mark.parametrize("slices", [33, 36, 47])
@pytest.mark.parametrize("gap_mm", [2.6, -2.6])
def test_a_few_more_than_32_slices_are_picked_and_not_blurred(slices, gap_mm):
    """Each model slice is one whole source slice, in order, and the one that the result names."""
    volume = stack(Plane.SAGITTAL, slices=slices, gap_mm=gap_mm)
    grid = model_grid(volume, mirrored=False)
    seen = to_model_grid(numbered(volume), grid)[:, 128, 128].tolist()
    assert grid.slice_mask.sum() == 32
    assert seen == [grid.source_slice(index) for index in range(32)]
    assert len(set(seen)) == 32


@pytest.mark.parametrize(("slices", "most"), [(47, 1), (48, 2)])
def test_one_and_a_half_times_as_many_slices_are_averaged(slices, most):
    """From 48 slices on a model slice is a mean of its neighbours."""
    grid = model_grid(stack(Plane.SAGITTAL, slices=slices, gap_mm=2.4), mirrored=False)
    assert np.count_nonzero(_slice_weights(grid), axis=1).max() == most


@settings(max_examples=30, deadline=None)
@given(slices=st.integers(3, 160), forwards=st.booleans(), mirrored=st.booleans())
def test_each_source_slice_has_its_turn_in_some_pass(slices, forwards, mirrored):
    """What the passes see comes back to the very slices it was taken from, of any stack up to 160."""
    volume = stack(Plane.SAGITTAL, slices=slices, gap_mm=0.7 if forwards else -0.7)
    grid = model_grid(volume, mirrored=mirrored)
    passes = grid.passes()
    assert len(passes) == -(-slices // 32)
    seen = weave([to_model_grid(numbered(volume), each) for each in passes])
    returned = to_source_grid(seen, grid.woven())[:, 180, 180].astype(int)
    assert np.abs(returned - np.arange(slices)).max() <= 1  # one where a slice lies half-way between two turns
    assert np.mean(returned == np.arange(slices)) >= 0.9


def test_a_stack_that_fits_is_its_own_pass():
    """Nothing is asked twice where 32 slices are enough."""
    grid = model_grid(stack(Plane.AXIAL, slices=31), mirrored=True)
    (only,) = grid.passes()
    for each in (only, grid.woven()):
        assert np.array_equal(each.affine, grid.affine)
        assert np.array_equal(each.slice_mask, grid.slice_mask)


def test_the_number_of_passes_is_bounded():
    """Of 400 slices neighbours share a turn, and each still has one close by."""
    volume = stack(Plane.SAGITTAL, slices=400, gap_mm=0.3)
    grid = model_grid(volume, mirrored=False)
    passes = grid.passes()
    assert len(passes) == 5
    turns = np.broadcast_to(np.arange(160, dtype=np.uint8)[:, None, None], (160, 256, 256))
    source_slices = np.array([each.source_slice(index) for index in range(32) for each in passes])
    assert np.abs(source_slices[to_source_grid(turns, grid.woven())[:, 180, 180]] - np.arange(400)).max() <= 2


def test_a_short_stack_is_padded_and_the_padding_is_marked():
    """20 slices stay 20 slices; the mask is zero where nothing was acquired and so is the volume."""
    volume = stack(Plane.CORONAL, slices=20)
    grid = model_grid(volume, mirrored=False)
    model = to_model_grid(np.full(volume.voxels.shape, 255, np.uint8), grid)
    assert grid.slice_mask.sum() == 20
    assert not model[grid.slice_mask == 0].any()
    assert model.shape == GRID
    assert {grid.source_slice(int(index)) for index in np.flatnonzero(grid.slice_mask)} == set(range(20))


def test_the_window_is_the_middle_98_percent():
    """The 1st percentile becomes 0, the 99th 255, and one hot pixel does not matter."""
    voxels = np.tile(np.linspace(100, 1100, 128, dtype=np.float32), (4, 128, 1))
    voxels[0, 0, 0] = 1e6
    windowed = window_to_uint8(voxels)
    assert windowed.min() == 0
    assert windowed.max() == 255
    assert abs(int(windowed[1, 0, 64]) - 128) < 6


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_volume_without_signal_has_no_window(value):
    """A constant or non-finite volume raises instead of becoming noise."""
    with pytest.raises(ValueError, match="intensity range"):
        window_to_uint8(np.full((3, 64, 64), value, np.float32))


def test_the_joint_region_is_the_box_around_the_joint_with_a_margin():
    """Bones do not count, cartilage and menisci do; without a joint the region is zero."""
    labels = np.zeros(GRID, np.uint8)
    labels[5:25, 10:240, 10:240] = Structure.FEMUR
    assert not joint_region(labels).any()
    labels[10:20, 100:140, 80:180] = Structure.MEDIAL_MENISCUS
    assert np.allclose(joint_region(labels), [84, 64, 155, 195], atol=2)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32])
@pytest.mark.parametrize(("low", "high"), [(0, 6), (3, 200), (-1000, 3000), (100, 32000)])
def test_the_window_of_every_type_is_the_same_arithmetic(dtype, low, high):
    """Counting and OpenCV agree with percentiles and rounding in floating point, to one grey level."""
    low = low if np.dtype(dtype).kind != "u" else max(low, 0)
    high = min(high, 255) if dtype is np.uint8 else high
    rng = np.random.default_rng(high)
    voxels = (rng.beta(2, 5, (5, 64, 60)) * (high - low) + low).round().astype(dtype)
    first, last = np.percentile(voxels[:, ::4, ::4].astype(np.float64), (1, 99))
    expected = np.clip(np.rint((voxels - first) * (255 / (last - first))), 0, 255)
    assert np.abs(window_to_uint8(voxels) - expected).max() <= 1


@settings(max_examples=30, deadline=None)
@given(
    plane=st.sampled_from(list(Plane)),
    slices=st.integers(3, 70),
    spacing=st.tuples(st.floats(0.2, 1.4), st.floats(0.2, 1.4)),
    mirrored=st.booleans(),
)
def test_resampling_is_the_whole_matrix_product(plane, slices, spacing, mirrored):
    """Leaving out the zeros changes no voxel by more than one grey level of rounding."""
    volume = stack(plane, slices=slices, spacing=spacing, tilt=5)
    voxels = np.random.default_rng(slices).integers(0, 256, volume.voxels.shape, dtype=np.uint8)
    grid = model_grid(volume, mirrored=mirrored)
    stacked = np.transpose(voxels, grid.source_axes).astype(np.float64)
    by_row, by_column = (
        _weights(*grid.along(axis), GRID[axis], stacked.shape[axis]).astype(np.float64) for axis in (1, 2)
    )
    means = np.tensordot(_slice_weights(grid).astype(np.float64), stacked, axes=(1, 0))
    expected = np.rint(by_row @ means @ by_column.T) * grid.slice_mask[:, None, None]
    assert np.abs(to_model_grid(voxels, grid) - expected).max() <= 1
