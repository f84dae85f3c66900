"""Everything that a stopped training needs to go on, for either network.

A checkpoint holds the weights, their running mean, the optimiser and the step. The running mean is what is scored and
exported: it is worth several hours of smaller steps at the end.
"""

import copy
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from tools.train import together

Network = TypeVar("Network", bound=nn.Module)
WARM_UP_STEPS = 200
MEAN_DECAY = 0.998


class Run(Generic[Network]):
    """A network in training, kept in ``checkpoint``."""

    def __init__(self, network: Network, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self.network: Network = network.to(memory_format=torch.channels_last)
        self.mean: Network = copy.deepcopy(self.network).eval()
        self.optimiser = torch.optim.AdamW(self.network.parameters(), weight_decay=1e-4)
        self.step = 0
        if checkpoint.exists():
            state = torch.load(checkpoint, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.mean.load_state_dict(state["mean"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step = int(state["step"])

    def save(self) -> None:
        """Write whole or not at all; of several processes the first one writes."""
        if together.rank():
            return
        part = self.checkpoint.with_suffix(".part")
        part.parent.mkdir(parents=True, exist_ok=True)
        parts = {"network": self.network, "mean": self.mean, "optimiser": self.optimiser}
        torch.save({"step": self.step, **{name: each.state_dict() for name, each in parts.items()}}, part)
        part.rename(self.checkpoint)

    def pace(self, rate: float, *, steps: int, done: float) -> None:
        """Set the learning rate: rising over the first ``steps`` of a run, falling with ``done`` 0..1 of its time."""
        warm = min(1.0, (steps + 1) / WARM_UP_STEPS)
        for group in self.optimiser.param_groups:
            group["lr"] = float(rate * warm * max(0.01, 0.5 * (1 + np.cos(np.pi * done))))

    def take_step(self, loss: Tensor) -> float:
        """One step of the optimiser and of the running mean; returns the loss as a number."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        together.average([each.grad for each in self.network.parameters() if each.grad is not None])
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.step += 1
        decay = min(MEAN_DECAY, self.step / (self.step + 10))
        with torch.no_grad():
            for old, new in zip(self.mean.state_dict().values(), self.network.state_dict().values(), strict=True):
                if old.is_floating_point():
                    old.lerp_(new, 1 - decay)
        return float(loss.item())


def exported(network: Network, checkpoint: Path) -> Network:
    """The network with the running mean of a checkpoint, or as it is where there is none."""
    if checkpoint.exists():
        network.load_state_dict(torch.load(checkpoint, weights_only=True)["mean"])
    return network.eval()
