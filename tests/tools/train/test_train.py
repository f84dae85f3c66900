"""Training's parts: the networks are the ones that are served, and the scores mean what they say."""

import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is for training only; make models installs it")

from services.common.tensors import KNEE_CAM, KNEE_CLASSIFICATION, KNEE_SEGMENTATION  # noqa: E402
from tools.pin_models import REPOSITORY  # noqa: E402
from tools.train import classification, dataset, segmentation  # noqa: E402
from tools.train import export as exporting  # noqa: E402
from tools.train.classification import area, best_threshold, place_pooling  # noqa: E402
from tools.train.export import export  # noqa: E402
from tools.train.networks import (  # noqa: E402
    CamNetwork,
    ClassificationNetwork,
    SegmentationNetwork,
    grid_position,
    with_region,
)
from tools.train.run import Run  # noqa: E402


@pytest.mark.parametrize(
    ("network", "most"), [(SegmentationNetwork, 2_000_000), (ClassificationNetwork, 1_000_000), (CamNetwork, 0)]
)
def test_a_network_is_no_larger_than_allowed(network, most):
    """Parameters are counted before anybody trains them."""
    assert sum(parameter.numel() for parameter in network().parameters()) <= most


def test_the_logit_is_exactly_its_maps_in_torch():
    """The attention-weighted sum of the maps that leave the graph is the logit, for any weights and masks."""
    torch.manual_seed(0)
    network = ClassificationNetwork().eval()
    volumes = torch.randint(0, 255, (1, 3, 32, 256, 256), dtype=torch.uint8)
    mask = torch.zeros(1, 3, 32, dtype=torch.uint8)
    mask[:, 0, 3:29], mask[:, 2, 8:20] = 1, 1
    with torch.no_grad():
        logits, attention, maps = network(volumes, mask, torch.zeros(1, 3, 4))
    share = (attention.double() * maps.double().mean(dim=(4, 5))).sum(dim=(1, 2))
    assert (share - logits.double()).abs().max() < 1e-4
    assert not attention[mask == 0].any()


@pytest.mark.parametrize(
    ("network", "contract"),
    [(CamNetwork, KNEE_CAM), (SegmentationNetwork, KNEE_SEGMENTATION), (ClassificationNetwork, KNEE_CLASSIFICATION)],
)
def test_an_export_keeps_the_contract(tmp_path, network, contract):
    """The file that comes out has the contract's names; ``export`` itself runs ONNX's full check."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript", reason="make models installs it")
    path = tmp_path / "model.onnx"
    export(network(), contract, path)
    graph = onnx.load(path).graph
    assert [value.name for value in graph.input] == [spec.name for spec in contract.inputs]
    assert [value.name for value in graph.output] == [spec.name for spec in contract.outputs]


def test_what_was_not_trained_stays_as_it_is_published(tmp_path, monkeypatch, capsys):
    """A lab that trains the segmentation alone keeps the classification and its thresholds, and is told so."""
    repository = tmp_path / "models"
    shutil.copytree(REPOSITORY, repository)
    checkpoint = tmp_path / "segmentation.pt"
    Run(SegmentationNetwork(), checkpoint).save()
    monkeypatch.setattr(exporting, "SEGMENTATION", checkpoint)
    monkeypatch.setattr(exporting, "CLASSIFICATION", tmp_path / "none.pt")
    monkeypatch.setattr("sys.argv", ["export", "--repository", str(repository)])
    exporting.main()
    for name, changed in (("knee_segmentation", True), ("knee_classification", False)):
        for file in ("1/model.onnx", "config.pbtxt"):
            same = (repository / name / file).read_bytes() == (REPOSITORY / name / file).read_bytes()
            assert same is not changed, (name, file)
    assert "knee_classification stays as it is" in capsys.readouterr().out


def test_an_equal_network_is_exported_to_equal_bytes(tmp_path):
    """The digest names the network; who exported it, where and when is not in the file."""
    pytest.importorskip("onnxscript", reason="make models installs it")
    paths = [tmp_path / "one.onnx", tmp_path / "two.onnx"]
    for path in paths:
        export(CamNetwork(), KNEE_CAM, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert b".py" not in paths[0].read_bytes()


def test_the_area_and_the_threshold_are_right():
    """Perfect order is 1, reversed 0, chance one half; the threshold parts the classes."""
    truth = np.array([0, 0, 1, 1], np.float32)
    scores = np.array([0.2, 0.3, 0.7, 0.8])
    assert (area(scores, truth), area(-scores, truth), area(np.ones(4), truth)) == (1.0, 0.0, 0.5)
    assert 0.3 < best_threshold(scores, truth) < 0.7


def test_a_region_is_a_box_of_ones_and_an_unknown_one_is_everything():
    """The last input channel is 1 inside the box; four zeros mean the whole slice."""
    region = torch.tensor([[[10.0, 20.0, 29.0, 49.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]])
    drawn = with_region(torch.zeros(1, 3, 32, 256, 256, dtype=torch.uint8), region)[0, :, 0, -1]
    assert drawn[0].sum() == 20 * 30
    assert drawn[0, 10, 20] == drawn[0, 29, 49] == 1
    assert drawn[1].min() == 1


def test_the_position_tells_both_ends_of_every_axis():
    """From -1 to 1 along slice, row and column of the grid, at half the resolution of the slice."""
    position = grid_position()
    assert position.shape == (32, 3, 128, 128)
    assert position[0, :, 0, 0].tolist() == [-1, -1, -1]
    assert position[-1, :, -1, -1].tolist() == [1, 1, 1]
    assert position[0, 0].unique().numel() == position[0, 1, 0].unique().numel() == 1


def test_an_example_lies_on_the_models_grid_and_survives_its_file(tmp_path):
    """Volumes, labels and lesion cells of one seed, with every drawn finding visible somewhere."""
    seed = dataset.VALIDATION_SEED + 999
    example = dataset.make(seed)
    dataset.save(tmp_path / "one.npz", example)
    assert np.array_equal(dataset.load(tmp_path / "one.npz").volumes, example.volumes)
    assert example.labels.shape == example.volumes.shape == (3, 32, 256, 256)
    assert int(example.findings.sum()) == len(dataset.draw_findings(seed))
    for index in np.flatnonzero(example.findings):
        assert example.lesions[:, :, index].any()
    assert not example.volumes[example.slice_mask == 0].any()


def test_the_pooling_starts_where_ill_and_healthy_differ():
    """Weak false evidence everywhere, strong evidence in the ill: only the strong level tells them apart."""
    generator = torch.Generator().manual_seed(0)
    evidence = torch.rand(12, 3, 32, 12, 32, 32, generator=generator) * 2.5
    findings = (torch.arange(12) % 2).float()[:, None].repeat(1, 12)
    evidence[1::2, 0, 5, :, :4, :4] = 6.0
    studies = {"evidence": evidence.half(), "mask": torch.ones(12, 3, 32), "findings": findings}
    pooling = ClassificationNetwork().pooling
    place_pooling(pooling, studies)
    assert torch.all(-pooling.shift / pooling.sharpness >= 2)
    with torch.no_grad():
        logits = torch.cat([pooling(pooling.maps(one[None].float()), torch.ones(1, 3, 32))[0] for one in evidence])
    assert logits[1::2].min() > logits[::2].max()


@pytest.mark.parametrize("module", [segmentation, classification])
def test_without_studies_a_training_says_what_makes_them(module, tmp_path, monkeypatch):
    """Before anything is loaded or trained, and not in the words of an array library."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train", "--minutes", "1", "--threads", str(torch.get_num_threads())])
    with pytest.raises(SystemExit, match=r"no study to train on: .* --count 400 makes some"):
        module.main()
