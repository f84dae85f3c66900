"""Where no tag names the side, the segmentation's fibula does."""

import numpy as np
import pytest

from services.common.finding import Structure
from services.common.volume import Plane
from tests.fakes.triton_server import FakeTriton, certain
from tests.preprocessing.live_service import files_of, requests, run
from tests.studies import COLUMNS, ROWS, series

SETTLED = "side {} from segmentation, no tag names it"
UNKNOWN = "side unknown: medial and lateral are named as for a right knee"


class BoneTriton(FakeTriton):
    """Bright voxels are fibula, half-bright ones tibia, as the scanner saw them."""

    def knee_segmentation(self, volume):
        """Two bones by brightness."""
        labels = np.where(volume > 200, Structure.FIBULA, np.where(volume > 90, Structure.TIBIA, 0))
        return certain(labels)


class StubbornTriton(BoneTriton):
    """Sees the fibula on the same side of the picture whichever way the picture is turned."""

    def knee_segmentation(self, volume):
        """Bones in fixed columns: the model's outer side is on the left of the picture."""
        labels = np.zeros(volume.shape, np.uint8)
        labels[10:20, 100:200, 150:230] = Structure.TIBIA
        labels[10:20, 100:200, 235:250] = Structure.FIBULA
        return certain(labels)


def knee(fibula_column: int | None, **attributes):
    """A coronal series in the scanner's middle; columns run to the patient's left."""
    instances = series(Plane.CORONAL, slices=16, **attributes)
    for index, instance in enumerate(instances):
        instance.ImagePositionPatient = [-71.0, 4.0 * index, 60.0]
        pixels = np.random.default_rng(index).integers(0, 20, (ROWS, COLUMNS))
        pixels[20:50, 28:44] = 500
        if fibula_column is not None:
            pixels[25:50, fibula_column : fibula_column + 5] = 1000
        instance.PixelData = pixels.astype(np.uint16).tobytes()
    return instances


def notes(folder, instances, triton) -> list[str]:
    return list(run(folder, requests(files_of(instances)), triton)[-1].summary.notes)


@pytest.mark.parametrize(("column", "note"), [(55, SETTLED.format("L")), (15, SETTLED.format("R")), (None, UNKNOWN)])
def test_the_fibula_names_the_side(tmp_path, column, note):
    """To the patient's left of the tibia it is a left knee; where none is seen the side stays unknown."""
    assert note in notes(tmp_path, knee(column), BoneTriton())


def test_a_left_knee_is_read_again_as_one(tmp_path):
    """Medial and lateral belong to the mirrored picture, so the segmentation runs twice."""
    triton = BoneTriton()
    run(tmp_path, requests(files_of(knee(55))), triton)
    assert triton.requests.count("knee_segmentation") == 2


def test_a_segmentation_that_contradicts_itself_decides_nothing(tmp_path):
    """What it calls left must look left on the grid of a left knee, too."""
    assert UNKNOWN in notes(tmp_path, knee(55), StubbornTriton())


def test_tags_that_contradict_each_other_are_not_overruled(tmp_path):
    """Somebody made a mistake that a person should correct."""
    found = notes(tmp_path, knee(55, Laterality="R", SeriesDescription="left knee"), BoneTriton())
    assert {"side: the tags name both sides", UNKNOWN} <= set(found)
