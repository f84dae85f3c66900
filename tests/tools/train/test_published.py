"""Training from a published model: its answers are the starting point, whatever has been added to the network since."""

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is for training only; make models installs it")

from services.common.tensors import KNEE_SEGMENTATION  # noqa: E402
from tools.pin_models import REPOSITORY  # noqa: E402
from tools.train import published  # noqa: E402
from tools.train.networks import (  # noqa: E402
    SEGMENTATION_REACH,
    Residual,
    SegmentationNetwork,
    grid_position,
    neighbours,
    seen,
    untaught,
)

MODEL = REPOSITORY / KNEE_SEGMENTATION.name / "1" / "model.onnx"


@pytest.fixture(scope="module")
def volume():
    """A knee-sized volume (1, 32, 256, 256) of uint8 with smooth structure."""
    row, column = np.meshgrid(np.linspace(-3, 3, 256), np.linspace(-3, 3, 256), indexing="ij")
    rings = np.sin(row**2 + column**2) + np.linspace(0, 1, 32)[:, None, None]
    return ((rings + 1) / 3 * 255).astype(np.uint8)[None]


def show(network):
    """Pass smooth random windows through."""
    generator = torch.Generator().manual_seed(0)
    rough = torch.rand(16, seen(SEGMENTATION_REACH), 8, 8, generator=generator) * 4 - 1
    slices = torch.nn.functional.interpolate(rough, size=(128, 128), mode="bilinear")
    with torch.no_grad():
        network.slice_logits(slices, torch.zeros(16, 3, 64, 64))


def test_a_network_answers_as_the_published_model_does(volume):
    """Weights and folded biases come back in such a way that not one voxel in ten thousand changes."""
    network = SegmentationNetwork()
    published.start_from(network, published.read(MODEL), show)
    labels, runner_up, certainty, confidence = onnxruntime.InferenceSession(MODEL).run(None, {"volume": volume})
    with torch.no_grad():
        own = [each.numpy() for each in network.eval()(torch.from_numpy(volume))]
    assert (own[0] != labels).mean() < 1e-4
    assert (own[1] != runner_up).mean() < 1e-3
    assert np.abs(own[2].astype(int) - certainty).max() <= 1
    assert np.abs(own[3] - confidence).max() < 1e-3


def test_the_runner_up_and_the_certainty_are_those_of_the_probabilities(volume):
    """The second most probable of fourteen structures, and the first one's share of the two."""
    network = SegmentationNetwork()
    published.start_from(network, published.read(MODEL), show)
    with torch.no_grad():
        labels, runner_up, certainty, _ = network.eval()(torch.from_numpy(volume))
        slices = neighbours(torch.from_numpy(volume), SEGMENTATION_REACH)[0, 9:10]
        probability = torch.softmax(network.slice_logits(slices, grid_position()[9:10]), dim=1)[0].double()
    first, second = (probability.gather(0, each[:1, 9].long())[0] for each in (labels, runner_up))
    rest = probability.scatter(0, labels[:1, 9].long(), 0.0)
    assert torch.equal(first, probability.amax(dim=0))
    assert torch.equal(second, rest.amax(dim=0))
    assert (certainty[0, 9].double() - 255 * first / (first + second)).abs().max() < 0.51


def test_normalisation_gets_the_statistics_of_what_it_sees():
    """In training mode the layers see the mean and spread that they were given, so learning starts where it stood."""
    network = SegmentationNetwork()
    published.start_from(network, published.read(MODEL), show)
    normalisation = network.stem[0][1]
    before = normalisation.running_mean.clone(), normalisation.running_var.clone()
    normalisation.momentum = 1.0
    show(network)
    assert network.training
    assert torch.allclose(normalisation.running_mean, before[0], atol=1e-4)
    assert torch.allclose(normalisation.running_var, before[1], rtol=1e-2)


def test_a_layer_that_the_file_lacks_changes_nothing_at_first():
    """A network that has grown still answers as before, and says which layers are new."""
    block = untaught(Residual(8, 2)).eval()
    x = torch.rand(2, 8, 16, 16)
    with torch.no_grad():
        assert torch.equal(block(x), x)
    weights = {name: value for name, value in published.read(MODEL).items() if not name.startswith("context")}
    missing = published.start_from(SegmentationNetwork(), weights, show)
    assert missing
    assert all(name.split(".")[0] in {"context", "up1", "up2"} for name in missing)


def test_a_model_of_another_family_is_refused_by_name():
    """Weights of other shapes end in an error that names the layer and both shapes."""
    weights = dict(published.read(MODEL))
    weights["stem.0.0.weight"] = torch.zeros(7, 23, 3, 3)
    with pytest.raises(ValueError, match=r"stem\.0\.0 has shape \(32, 23, 3, 3\), the published model \(7,"):
        published.start_from(SegmentationNetwork(), weights, show)
