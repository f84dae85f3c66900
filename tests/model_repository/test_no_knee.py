"""The segmentation is sure of a knee, and never of a head."""

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

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the shared test data is not here")


@pytest.fixture(scope="module")
def engine():
    return Engine(ROOT / "model_repository")


def bone_confidence(engine, folder, change=lambda volume: volume):
    """Mean confidence of femur and tibia in the first stack that is read."""
    instances = [read_instance(path) for path in sorted(folder.rglob("*")) if path.is_file()]
    candidate = next(iter(select_series(instances, load_rules("knee")).chosen.values()))
    volume = transform(assemble(candidate.frames), mirrored=False).volume
    confidence = engine.infer(KNEE_SEGMENTATION, {"volume": change(volume)})["confidence"]
    return confidence[[Structure.FEMUR, Structure.TIBIA]].mean()


def limit(engine):
    return float(engine.parameters(KNEE_SEGMENTATION)["bone_confidence"])


@pytest.mark.parametrize("change", [np.asarray, lambda volume: 255 - volume, lambda volume: volume[:, :, ::-1]])
def test_a_real_knee_lies_far_above_the_models_limit(engine, change):
    """No knee may be sent away, whatever its contrast and side."""
    assert bone_confidence(engine, DATA / "knee_mese_ge3t", change) > limit(engine) + 0.1


@pytest.mark.parametrize("head", HEADS)
def test_a_head_lies_below_the_models_limit(engine, head):
    """Parts of it are taken for bones, but never with confidence."""
    assert bone_confidence(engine, DATA / "vendors" / head) < limit(engine) - 0.05
