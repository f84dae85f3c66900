"""Start a training from a published model: the weights of ``model.onnx`` go back into a network that learns.

Nobody has to begin from chance: a lab with its own studies continues from what is served. The export folds every batch
normalisation into the convolution before it, so the normalisation is unfolded first: it is given the mean and the
spread that its input really has on some examples, and the scale and shift that undo it. The network then answers as the
published one does, in training mode as well. Layers that the file does not have stay as the network was made; they
should start as nothing (``networks.untaught``).
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)
Weights = dict[str, Tensor]


def read(path: Path) -> Weights:
    """Every constant of an exported graph, named as in the network; a folded bias is ``<layer>.weight_bias``."""
    graph = onnx.load(path).graph
    return {each.name.removeprefix("network."): _tensor(each) for each in graph.initializer}


def _tensor(constant: onnx.TensorProto) -> Tensor:
    return torch.from_numpy(numpy_helper.to_array(constant).copy())


@torch.no_grad()
def start_from(network: Network, weights: Weights, show: Callable[[Network], object]) -> list[str]:
    """Give a network published weights, and its normalisations the statistics of what ``show`` passes through it.

    Returns the names of the convolutions that the file did not have. Raises ``ValueError`` where a layer has another
    shape than in the file: the network is not of that family.
    """
    layers = dict(network.named_modules())
    folded, missing = {}, []
    for name, layer in layers.items():
        if not isinstance(layer, nn.Conv2d):
            continue
        published = weights.get(f"{name}.weight")
        if published is None:
            missing.append(name)
            continue
        if published.shape != layer.weight.shape:
            wanted, found = tuple(layer.weight.shape), tuple(published.shape)
            message = f"layer {name} has shape {wanted}, the published model {found}"
            raise ValueError(message)
        layer.weight.copy_(published)
        if layer.bias is not None:
            layer.bias.copy_(weights[f"{name}.bias"])
        elif isinstance(normalisation := layers.get(_next(name)), nn.BatchNorm2d):
            _pass_through(normalisation, weights[f"{name}.weight_bias"])
            folded[name] = normalisation
    _unfold(network, {name: (layers[name], normalisation) for name, normalisation in folded.items()}, show)
    return missing


def _next(name: str) -> str:
    """The layer after one of a ``Sequential``."""
    before, _, index = name.rpartition(".")
    return f"{before}.{int(index) + 1}" if index.isdigit() else ""


def _pass_through(normalisation: nn.BatchNorm2d, bias: Tensor) -> None:
    """Make it add the bias and nothing else."""
    _set(normalisation, torch.zeros_like(bias), torch.full_like(bias, 1 - normalisation.eps), bias)


def _set(normalisation: nn.BatchNorm2d, mean: Tensor, variance: Tensor, bias: Tensor) -> None:
    """Let it normalise by a mean and a variance, and undo it again, plus the bias."""
    for buffer, value in ((normalisation.running_mean, mean), (normalisation.running_var, variance)):
        if buffer is not None:  # None only where a layer was told to keep no statistics
            buffer.copy_(value)
    normalisation.weight.copy_(torch.sqrt(variance + normalisation.eps))
    normalisation.bias.copy_(bias + mean)


def _unfold(
    network: Network,
    pairs: dict[str, tuple[nn.Module, nn.BatchNorm2d]],
    show: Callable[[Network], object],
) -> None:
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def watch(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def keep(_layer: nn.Module, _inputs: object, output: Tensor) -> None:
            seen[name] = (output.mean(dim=(0, 2, 3)), output.var(dim=(0, 2, 3)))

        return keep

    hooks = [convolution.register_forward_hook(watch(name)) for name, (convolution, _) in pairs.items()]
    network.eval()
    show(network)
    for hook in hooks:
        hook.remove()
    for name, (mean, variance) in seen.items():
        normalisation = pairs[name][1]
        _set(normalisation, mean, variance, normalisation.bias.clone())
    network.train()
