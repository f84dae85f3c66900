"""A series of more slices than the grid holds is segmented as well as one that fits."""

from dataclasses import replace

import numpy as np
import pytest

from services.common.finding import Laterality, Structure
from services.common.tensors import GRID, KNEE_SEGMENTATION
from services.common.transforms import model_grid, to_model_grid, to_source_grid, weave, window_to_uint8
from services.common.volume import Plane, Volume
from tools.evaluate.engine import Engine
from tools.evaluate.overlap import dice
from tools.phantom.acquire import acquire
from tools.phantom.anatomy import knee
from tools.phantom.protocol import PD_FS, Protocol

THIN = (Structure.FEMORAL_CARTILAGE, Structure.MEDIAL_MENISCUS, Structure.LATERAL_MENISCUS, Structure.ACL)
SEED = 2_000_900  # of no training


@pytest.fixture(scope="module")
def engine():
    return Engine()


def series(slices):
    one = knee(SEED, frozenset())
    gap = 110 / slices
    protocol = Protocol(Plane.SAGITTAL, PD_FS, matrix=256, slices=slices, spacing_mm=gap, thickness_mm=gap * 0.9)
    acquired = acquire(one, protocol, one.stream(f"{slices} slices"))
    image = Volume(window_to_uint8(acquired.image.voxels), acquired.image.affine)
    return image, acquired.labels.voxels, model_grid(image, mirrored=one.laterality is Laterality.LEFT)


def mean_dice(engine, image, truth, grid, passes):
    """Of thin structures inside the model's field of view."""
    maps = [engine.infer(KNEE_SEGMENTATION, {"volume": to_model_grid(image.voxels, each)})["labels"] for each in passes]
    found = to_source_grid(weave(maps), grid)
    inside = to_source_grid(np.ones((len(maps) * GRID[0], *GRID[1:]), np.uint8), grid) > 0
    pairs = [((found == each) & inside, (truth == each) & inside) for each in THIN]
    return np.mean([dice(np.count_nonzero(a & b), np.count_nonzero(a), np.count_nonzero(b)) for a, b in pairs])


@pytest.fixture(scope="module")
def fits(engine):
    """Of a series of 30 slices."""
    image, truth, grid = series(30)
    return mean_dice(engine, image, truth, grid.woven(), grid.passes())


@pytest.mark.parametrize("slices", [33, 64])
def test_a_series_of_more_slices_than_the_grid_is_segmented_as_well_as_one_that_fits(engine, fits, slices):
    """Passes of single slices keep what means of slices lose: docs/decisions/0016-every-slice-has-its-turn.md."""
    image, truth, grid = series(slices)
    passes = mean_dice(engine, image, truth, grid.woven(), grid.passes())
    means = mean_dice(engine, image, truth, grid, [replace(grid, averaged=True)])
    assert passes > fits - 0.03
    assert passes > means + 0.04
