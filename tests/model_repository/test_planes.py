"""The served segmentation on three series of one synthetic knee: docs/decisions/0017, in small."""

from dataclasses import replace

import numpy as np
import pytest

from services.common.finding import Structure
from services.common.transforms import to_source_grid
from services.common.volume import PLANES, Plane
from services.preprocessing.agreement import agreed
from services.preprocessing.inference import segment
from services.preprocessing.motion import motions, rigid
from tools.evaluate import testset
from tools.evaluate.answers import sources_of
from tools.evaluate.engine import Engine
from tools.evaluate.overlap import dice

SEED = testset.FIRST_SEED - 30  # of no set
THIN = range(Structure.FEMORAL_CARTILAGE, Structure.PATELLAR_CARTILAGE + 1)


@pytest.fixture(scope="module")
def knee(tmp_path_factory):
    """The truth by plane, and what the network says of each series."""
    study = testset.load(SEED, folder=tmp_path_factory.mktemp("planes"))
    return study.labels, segment(Engine(threads=2), sources_of(study))


@pytest.fixture(scope="module")
def thin(knee):
    """Measures labels: mean Dice of the cartilages over all planes."""
    truth, segmented = knee

    def measure(labels):
        counts = np.zeros((len(THIN), 3))
        for plane, found in labels.items():
            inside = to_source_grid(np.ones_like(segmented[plane].labels), segmented[plane].grid) > 0
            for index, structure in enumerate(THIN):
                a, b = found == structure, (truth[plane] == structure) & inside
                counts[index] += np.count_nonzero(a & b), np.count_nonzero(a), np.count_nonzero(b)
        return np.mean([dice(*row) for row in counts])

    return measure


def moved(each, *step):
    """The plane as if the knee had moved before it, by three millimetre values and three radians."""
    centre = (each.to_patient @ (16, 128, 128, 1))[:3]
    return replace(each, to_patient=rigid(np.array(step), centre) @ each.to_patient)


def test_each_way_of_asking_is_worth_its_while(knee, thin):
    """Borders between model voxels, and more so the other planes, bring labels closer to the truth."""
    _, segmented = knee
    nearest = thin({plane: to_source_grid(each.labels, each.grid) for plane, each in segmented.items()})
    alone, together = thin(agreed(segmented, {})), thin(agreed(segmented, motions(segmented)))
    assert alone > nearest + 0.005
    assert together > alone + 0.01


def test_a_knee_that_moved_between_series_is_labelled_as_one_that_did_not(knee, thin):
    """By 3 mm and 2 degrees, which would spoil what the others say if it went unseen."""
    _, segmented = knee
    restless = segmented | {
        Plane.CORONAL: moved(segmented[Plane.CORONAL], 1.5, -2, 1.5, 0.03, 0, 0.02),
        Plane.AXIAL: moved(segmented[Plane.AXIAL], -2, 1, -2, 0, -0.03, 0.02),
    }
    still = thin(agreed(segmented, motions(segmented)))
    assert thin(agreed(restless, motions(restless))) > still - 0.003
    assert thin(agreed(restless, {plane: np.eye(4) for plane in PLANES})) < still - 0.03
