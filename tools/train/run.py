"""Everything that a stopped training needs to go on, for either network.

A checkpoint holds the weights, their running mean, the optimiser and the step. The running mean is what is scored and
exported: it is worth several hours of smaller steps at the end.
"""

import argparse
import copy
from pathlib import Path
from typing import Generic, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from tools.train import together

Network = TypeVar("Network", bound=nn.Module)
WARM_UP_STEPS = 200
MEAN_DECAY = 0.998


def options(description: str | None, *, minutes: float) -> argparse.Namespace:
    """The command line of a training."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--minutes", type=float, default=minutes)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--scratch", action="store_true", help="from chance, not from the published model")
    parser.add_argument("--studies", type=int, default=12, help="validation studies to score at the end")
    parser.add_argument("--threads", type=int, default=2, help="fewer are faster where others use the machine as well")
    parser.add_argument("--device", default="cpu", help="cuda: train on a GPU, with a large --batch and many --workers")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw windows; 0: none beside this one")
    parser.add_argument("--batch", type=int, default=1, help="windows a step, times those that suit two cores")
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(chosen.threads)
    return chosen


def half_precision(device: torch.device) -> torch.autocast:
    """bf16 on a GPU and on a CPU that computes in it; on others it took six times as long as fp32."""
    able = torch.cpu.get_capabilities()
    fast = device.type == "cuda" or any(able.get(name) for name in ("amx_bf16", "avx512_bf16"))
    return torch.autocast(device.type, torch.bfloat16, enabled=fast)


class Run(Generic[Network]):
    """A network in training, kept in ``checkpoint``."""

    def __init__(self, network: Network, checkpoint: Path, device: str = "cpu") -> None:
        self.checkpoint = checkpoint
        self.network: Network = network.to(device).to(memory_format=torch.channels_last)
        self.mean: Network = copy.deepcopy(self.network).eval()
        self.optimiser = torch.optim.AdamW(self.network.parameters(), weight_decay=1e-4)
        self.step = 0
        if checkpoint.exists():
            state = torch.load(checkpoint, weights_only=True, map_location=device)
            self.network.load_state_dict(state["network"])
            self.mean.load_state_dict(state["mean"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step = int(state["step"])
        states = (each.state_dict().values() for each in (self.mean, self.network))
        self._mean, self._newest = ([each for each in state if each.is_floating_point()] for state in states)

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

    def take_step(self, loss: Tensor) -> Tensor:
        """One step of the optimiser and of the running mean; returns the loss, on its device: reading it would wait."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        together.average([each.grad for each in self.network.parameters() if each.grad is not None])
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.step += 1
        decay = min(MEAN_DECAY, self.step / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(self._mean, self._newest, 1 - decay)  # a call for each would cost as much as a step
        return loss.detach()


def exported(network: Network, checkpoint: Path) -> Network:
    """The network with the running mean of a checkpoint."""
    network.load_state_dict(torch.load(checkpoint, weights_only=True, map_location="cpu")["mean"])
    return network.eval()
