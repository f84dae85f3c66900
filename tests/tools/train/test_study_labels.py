"""Answers about whole studies teach nothing that they do not say."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is for training only; make models installs it")

from services.common.finding import LABELS  # noqa: E402
from tools.train import classification, dataset, imported, study_labels  # noqa: E402
from tools.train.networks import ClassificationNetwork  # noqa: E402
from tools.train.partial import UNKNOWN  # noqa: E402

LABEL = LABELS.index("Effusion")


def study(*, ill):
    """Nine sagittal slices of noise, in an ill knee with a bright square; only the effusion was judged."""
    rng = np.random.default_rng(int(ill))
    volumes = np.zeros((3, 32, 256, 256), np.uint8)
    volumes[0, 12:21] = rng.integers(20, 60, (9, 256, 256))
    if ill:
        volumes[0, 12:21, 96:128, 96:128] = 255
    mask = np.zeros((3, 32), np.uint8)
    mask[0, 12:21] = 1
    findings = np.full(12, UNKNOWN, np.uint8)
    findings[LABEL] = ill
    lesions = np.zeros((3, 32, 12, 32, 32), np.uint8)
    return dataset.Example(
        volumes, volumes, mask, np.full_like(volumes, UNKNOWN), lesions, findings, np.zeros((3, 4), np.float32)
    )


def test_what_was_not_judged_gets_no_gradient():
    """The evidence of the other eleven labels stays as it was."""
    torch.manual_seed(1)
    network = ClassificationNetwork().eval()
    study_labels.study_loss(network, study(ill=True), np.random.default_rng(1)).backward()
    gradient = network.evidence.weight.grad.abs().sum(dim=(1, 2, 3))
    assert gradient[LABEL] > 0
    assert gradient[torch.arange(12) != LABEL].max() == 0


def test_unknown_findings_count_nowhere():
    """Neither in the loss nor in the area nor in the threshold; a label without both classes keeps its pooling."""
    logits = torch.tensor([[4.0, -4.0]])
    assert classification.known_loss(logits, torch.tensor([[1.0, float("nan")]])).item() < 0.02
    truth = np.array([0, 1, np.nan, 1], np.float32)
    scores = np.array([0.2, 0.8, 0.0, 0.9])
    assert classification.area(scores, truth) == 1.0
    assert 0.2 < classification.best_threshold(scores, truth) < 0.8
    assert classification.best_threshold(scores, np.full(4, np.nan, np.float32)) == 0.5
    assert classification.best_threshold(np.ones(4), truth) == 0.5
    assert np.isnan(classification.area(scores, np.array([0, np.nan, 0, 0], np.float32)))


def test_imported_studies_are_shared_out_once_and_for_all(tmp_path, monkeypatch):
    """One in four teaches the pooling and never the evidence, whatever else there is."""
    monkeypatch.chdir(tmp_path)
    for key in range(40):
        path = (
            imported.folder(dataset.DATA, held_out=False)
            / f"mrnet-{imported.digest('mrnet', str(key), under=b'')}.findings.npz"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    evidence, pooling = (set(classification.training_paths(held_out=held_out)) for held_out in (False, True))
    assert len(evidence | pooling) == 40
    assert not evidence & pooling
    assert 3 <= len(pooling) <= 20
