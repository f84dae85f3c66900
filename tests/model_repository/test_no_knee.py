"""The segmentation sees a joint where there is one, and none in a head."""

from pathlib import Path

import numpy as np
import pytest

from services.common.dicom import read_instance
from services.common.finding import Structure
from services.common.tensors import KNEE_SEGMENTATION
from services.preprocessing.rules import load_rules
from services.preprocessing.selection import select_series
from services.preprocessing.stacking import assemble, transform
from tools.evaluate.engine import Engine

ROOT = Path(__file__).parents[2]
DATA = ROOT / "../shared/data"
HEADS = ("ge_implicit", "jpegls", "philips_classic", "rle", "siemens_classic")
INSIDE_JOINT = range(Structure.MEDIAL_TIBIAL_CARTILAGE, Structure.PCL + 1)

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the shared test data is not here")


@pytest.fixture(scope="module")
def engine():
    return Engine(ROOT / "model_repository")


def joint_voxels(engine, folder):
    """Voxels of the joint's inside in a slice of the first stack that is read."""
    instances = [read_instance(path) for path in sorted(folder.rglob("*")) if path.is_file()]
    candidate = next(iter(select_series(instances, load_rules("knee")).chosen.values()))
    model_input = transform(assemble(candidate.frames), mirrored=False)
    labels = engine.infer(KNEE_SEGMENTATION, {"volume": model_input.volume})["labels"]
    return np.isin(labels, INSIDE_JOINT).sum() / model_input.grid.slice_mask.sum()


def limit(engine):
    return float(engine.parameters(KNEE_SEGMENTATION)["joint_voxels_per_slice"])


def test_a_real_knee_lies_far_above_the_models_limit(engine):
    """No knee may be sent away."""
    assert joint_voxels(engine, DATA / "knee_mese_ge3t") > 3 * limit(engine)


@pytest.mark.parametrize("head", HEADS)
def test_a_head_lies_far_below_the_models_limit(engine, head):
    """Its bones may be mistaken for a femur, but there is no joint between them."""
    assert joint_voxels(engine, DATA / "vendors" / head) < limit(engine) / 3
