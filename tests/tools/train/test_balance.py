"""The last bias: what is drawn too large is drawn smaller, and nothing else changes."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is for training only; make models installs it")

from services.common.finding import Structure  # noqa: E402
from tools.train import balance, dataset, segmentation  # noqa: E402
from tools.train.balance import DOUBT, Doubts  # noqa: E402
from tools.train.networks import SEGMENTATION_REACH, SegmentationNetwork, seen  # noqa: E402
from tools.train.partial import UNKNOWN  # noqa: E402

COUNT = len(Structure)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return SegmentationNetwork().eval()


@pytest.fixture(scope="module")
def example():
    """Six slices of noise in two planes, labelled by chance, a corner of it by nobody."""
    rng = np.random.default_rng(1)
    volumes = rng.integers(0, 256, (3, 32, 256, 256), dtype=np.uint8)
    labels = rng.integers(0, COUNT, volumes.shape, dtype=np.uint8)
    labels[:, :, :40, :40] = UNKNOWN
    mask = np.zeros((3, 32), np.uint8)
    mask[:2, 14:17] = 1
    cells = np.zeros((3, 32, 12, 32, 32), np.uint8)
    return dataset.Example(volumes, volumes, mask, labels, cells, np.zeros(12, np.uint8), dataset.regions(labels))


def overdrawn(*, by=1.0, voxels=4000, seed=0):
    """One structure whose logit is too high by so much, beside a background that is right."""
    rng = np.random.default_rng(seed)
    logits = np.full((voxels, COUNT), -9.0, np.float32)
    margin = rng.normal(0, 1.5, voxels)
    logits[:, 0], logits[:, Structure.EFFUSION] = 0.0, margin + by
    truth = np.where(margin + rng.normal(0, 0.5, voxels) > 0, int(Structure.EFFUSION), 0)
    return Doubts(logits, truth, np.zeros((COUNT, COUNT), np.intp))


def test_a_structure_that_is_drawn_too_large_is_drawn_smaller():
    """The bias takes back what was too much, of that structure alone, and the Dice of other studies rises as well."""
    bias = balance.fit([overdrawn(seed=seed) for seed in range(4)])
    assert bias[Structure.EFFUSION] == pytest.approx(-1.0, abs=0.35)
    assert not np.delete(bias, Structure.EFFUSION).any()
    fresh = overdrawn(seed=9)
    assert fresh.dice(bias)[Structure.EFFUSION] > fresh.dice(np.zeros_like(bias))[Structure.EFFUSION] + 0.05


def test_what_is_right_stays():
    """No bias where none helps."""
    assert np.abs(balance.fit([overdrawn(by=0.0, seed=seed) for seed in range(4)])).max() <= 0.3


def test_a_structure_that_a_study_hardly_has_says_nothing():
    """A handful of voxels is no reason to draw it anywhere else."""
    study = overdrawn(voxels=60)
    assert np.isnan(study.dice(np.zeros(COUNT, np.float32))[Structure.EFFUSION])
    assert not balance.fit([study]).any()


def test_the_doubtful_and_the_sure_voxels_are_all_that_have_a_label(network, example):
    """Without a bias the Dice is that of the whole answer of the network."""
    found = balance.doubts(network, example)
    used, labels = example.slice_mask > 0, example.labels[example.slice_mask > 0]
    assert found.sure.sum() + len(found.truth) == np.count_nonzero(labels < COUNT)
    first_two = np.sort(found.logits, axis=1)[:, -2:]
    assert (first_two[:, 1] - first_two[:, 0] < DOUBT).all()
    with torch.no_grad():
        answers = [network(torch.from_numpy(volume[None]))[0][0].numpy() for volume in example.volumes[:2]]
    answer = np.stack([*answers, np.zeros_like(answers[0])])[used]
    known = labels < COUNT
    expected = []
    for structure in range(COUNT):
        a, b = (answer == structure) & known, labels == structure
        expected.append(2 * np.count_nonzero(a & b) / max(np.count_nonzero(a) + np.count_nonzero(b), 1))
    assert np.allclose(found.dice(np.zeros(COUNT, np.float32)), expected, atol=1e-3)


def test_the_bias_is_added_to_the_logits_of_its_structure(network, example, tmp_path, monkeypatch):
    """All four sub-pixels of a structure move by the same number; the rest of the network is left alone."""
    path = tmp_path / "2000000.npz"
    dataset.save(path, example)
    bias = np.linspace(-1, 1, COUNT, dtype=np.float32)
    monkeypatch.setattr(balance, "fit", lambda studies: bias if len(studies) == 1 else None)
    slices, place = torch.rand(1, seen(SEGMENTATION_REACH), 64, 64), torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        before = network.slice_logits(slices, place)
        assert balance.balance(network, [path]) is bias
        moved = network.slice_logits(slices, place) - before
    assert torch.allclose(moved, torch.from_numpy(bias)[None, :, None, None].expand_as(moved), atol=1e-5)


def test_a_run_without_minutes_only_balances(example, tmp_path, monkeypatch):
    """What is kept afterwards is the same network with another last bias, and it is what a later run goes on from.

    The bias is fitted to other studies than those that are scored.
    """
    validation = [tmp_path / "2000000.npz", tmp_path / "2000001.npz"]
    for path in validation:
        dataset.save(path, example)
    fitted = []
    monkeypatch.setattr("sys.argv", ["segmentation", "--minutes", "0", "--scratch", "--studies", "1"])
    monkeypatch.setattr(segmentation, "CHECKPOINT", tmp_path / "one.pt")
    monkeypatch.setattr(segmentation, "SCORES", tmp_path / "one.json")
    monkeypatch.setattr(dataset, "paths", lambda first: validation if first >= 2_000_000 else [])
    monkeypatch.setattr(
        balance, "fit", lambda studies: fitted.extend(studies) or np.arange(COUNT, dtype=np.float32) / 8
    )
    fresh = SegmentationNetwork()
    monkeypatch.setattr(segmentation, "SegmentationNetwork", lambda: copy.deepcopy(fresh))
    segmentation.main()
    assert len(fitted) == 1
    kept = torch.load(tmp_path / "one.pt", weights_only=True)
    for name in ("mean", "network"):
        moved = (kept[name]["last.bias"] - fresh.last.bias).view(COUNT, -1)
        assert torch.allclose(moved, torch.arange(COUNT)[:, None] / 8, atol=1e-6)
        assert torch.equal(kept[name]["stem.0.0.weight"], fresh.stem[0][0].weight)
