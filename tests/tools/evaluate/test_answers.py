"""An answer holds a reading against the truth, and survives its file."""

import numpy as np
import pytest

from services.common.finding import LABELS, Finding, Location, Structure
from services.common.volume import Plane
from tools.evaluate import answers
from tools.evaluate.overlap import Overlap


def finding(slice_index: int) -> Finding:
    return Finding("ACL", 0.9, 0.5, Location(Plane.SAGITTAL, slice_index, "1.2.3", None))


@pytest.fixture
def lesion() -> dict[Plane, np.ndarray]:
    mask = np.zeros((20, 32, 32), dtype=bool)
    mask[8:11, 10:14, 10:14] = True
    return {Plane.SAGITTAL: mask}


def test_heat_in_the_lesion_is_compared_with_its_share_of_the_volume(lesion):
    """All heat in the lesion is 1; even heat is chance; the slice may be one off, no more."""
    inside = {Plane.SAGITTAL: np.ones((20, 32, 32), dtype=bool)}
    hot = {Plane.SAGITTAL: lesion[Plane.SAGITTAL].astype(np.uint8) * 200}
    even = {Plane.SAGITTAL: np.full((20, 32, 32), 7, np.uint8)}
    assert answers.localisation(hot, lesion, inside, finding(7)) == answers.Localisation(
        1.0, 48 / 20480, slice_hit=True
    )
    flat = answers.localisation(even, lesion, inside, finding(6))
    assert flat.energy == pytest.approx(flat.chance)
    assert not flat.slice_hit
    cold = answers.localisation({Plane.SAGITTAL: np.zeros((20, 32, 32), np.uint8)}, lesion, inside, finding(9))
    assert (cold.energy, cold.slice_hit) == (0.0, True)


def test_exactness_finds_what_the_maps_do_not_explain():
    """Zero where attention times mean map is the logit; the difference where it is not."""
    rng = np.random.default_rng(0)
    maps = rng.integers(-8, 8, (3, 32, 12, 4, 4)).astype(np.float16)
    attention = rng.random((3, 32, 12)).astype(np.float32)
    logits = (attention * maps.astype(np.float64).mean(axis=(3, 4))).sum(axis=(0, 1))
    assert answers.exactness({"class_maps": maps, "attention": attention, "logits": logits}) < 1e-9
    logits[3] += 0.25
    assert answers.exactness({"class_maps": maps, "attention": attention, "logits": logits}) == pytest.approx(0.25)


def test_an_answer_survives_its_file(tmp_path):
    """What is read is what was written, whole."""
    one = answers.Answer(
        seed=7,
        truth=dict.fromkeys(LABELS, False),
        logits=dict.fromkeys(LABELS, -1.5),
        probability=dict.fromkeys(LABELS, 0.18),
        positive=dict.fromkeys(LABELS, False),
        overlap={Plane.AXIAL: {Structure.ACL: Overlap(3, 4, 5, None), Structure.FEMUR: Overlap(1, 2, 3, 0.5)}},
        localisation={"ACL": answers.Localisation(0.1, 0.01, slice_hit=True)},
        exactness=1e-6,
    )
    answers.save(tmp_path / "folder" / "7.json", one)
    assert answers.load(tmp_path / "folder" / "7.json") == one
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["7.json"]
