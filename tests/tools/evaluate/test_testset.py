"""The test set is frozen, apart from training, and true."""

import numpy as np
import pytest

from services.common.finding import LABELS
from services.common.volume import PLANES, Plane
from services.preprocessing.judgement import judge
from services.preprocessing.stacking import assemble
from tools.evaluate import testset
from tools.phantom.anatomy import stream
from tools.phantom.protocol import PD_FS, Protocol, vary


def test_no_seed_of_the_test_set_is_one_of_training_or_validation():
    """Training counts up from one million, validation from two, label maps from three; each has a million at most."""
    first = testset.seeds(300)[0]
    assert first >= 5_000_000
    assert testset.seeds(3) == testset.seeds(300)[:3]


BANDS = {
    "field_of_view_mm": testset.FIELD_OF_VIEW_MM,
    "thickness_mm": testset.THICKNESS_MM,
    "muscle_snr": testset.MUSCLE_SNR,
}


@pytest.mark.parametrize("setting", BANDS)
def test_no_protocol_of_training_lies_in_the_bands_of_the_test_set(setting):
    """Each setting by itself: training's never in a band, the test set's always."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        one = vary(Protocol(Plane.SAGITTAL, PD_FS), rng)
        moved = testset.shifted(one, rng)
        inside = [any(low <= getattr(each, setting) <= high for low, high in BANDS[setting]) for each in (one, moved)]
        assert inside == [False, True]
        assert moved.spacing_mm >= moved.thickness_mm


def test_most_echo_times_are_beyond_those_of_training():
    """They are scaled twice, so some come back."""
    rng, usual = np.random.default_rng(0), PD_FS.echo_ms
    echoes = [testset.shifted(vary(Protocol(Plane.SAGITTAL, PD_FS), rng), rng).sequence.echo_ms for _ in range(1000)]
    assert 0.55 < np.mean([not 0.85 * usual <= echo <= 1.15 * usual for echo in echoes]) < 0.75


def test_the_scanner_does_not_know_the_findings():
    """Settings come from the seed alone, so noise and field of view can't give a finding away."""
    seed = testset.FIRST_SEED + 1
    streams = [stream(seed, "test series sagittal").random(5) for _ in range(2)]
    assert np.array_equal(*streams)
    drawn = [testset.draw_findings(each) for each in testset.seeds(300)]
    assert drawn == [testset.draw_findings(each) for each in testset.seeds(300)]
    share = np.array([[label in each for label in LABELS] for each in drawn]).mean(axis=0)
    assert (share > 0.15).all()
    assert (share < 0.4).all()
    assert 20 < sum(not each for each in drawn) < 70


def test_a_study_is_kept_and_its_truth_lies_on_the_slices_as_the_service_sorts_them(tmp_path):
    """The second call reads the file; bright marrow of a fat-free image lies where no bone is labelled less often."""
    one = testset.load(testset.FIRST_SEED, folder=tmp_path, matrix=64)
    again = testset.load(testset.FIRST_SEED, folder=tmp_path, matrix=64)
    assert [path.name for path in tmp_path.rglob("7*")] == [str(testset.FIRST_SEED)]
    assert [str(each.SOPInstanceUID) for each in one.instances] == [str(e.SOPInstanceUID) for e in again.instances]
    chosen = judge(one.instances)[0].chosen
    assert set(chosen) == set(PLANES)
    for plane, stack in chosen.items():
        volume = assemble(stack.frames)
        labels = one.labels[plane]
        assert labels.shape == volume.voxels.shape
        # slice by slice, the number of pixels with signal must follow the leg that the labels belong to
        forwards, backwards = (_agreement(volume.voxels, truth) for truth in (labels, labels[::-1]))
        assert forwards >= backwards


def _agreement(voxels: np.ndarray, labels: np.ndarray) -> float:
    """How alike neighbouring pixels are inside each structure; a truth in the wrong order cuts across tissues."""
    spread = [voxels[labels == value].std() * np.count_nonzero(labels == value) for value in np.unique(labels)]
    return -float(np.sum(spread))
