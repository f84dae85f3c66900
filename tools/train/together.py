"""Several processes that learn as one: each draws windows of its own, and their gradients are averaged.

``torchrun --standalone --nproc-per-node 2 -m tools.train.segmentation --threads 1`` starts two. On CPU that is worth
more than two threads: a step of these small networks took 0.15 s with one thread, 0.12 s with two, and two processes of
one thread each took two steps in 0.15 s. A process that was started alone is the first and only one.
"""

import os

import torch
from torch import Tensor, distributed


def join() -> None:
    """Meet the others that ``torchrun`` started, if there are any; draws of the weights are the same in all."""
    torch.manual_seed(0)
    if "RANK" in os.environ:
        distributed.init_process_group("gloo")


def rank() -> int:
    """Which of them this is; 0 is the one that saves, scores and speaks."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def average(tensors: list[Tensor]) -> None:
    """Replace the tensors, alike in all processes, by their means."""
    if not distributed.is_initialized():
        return
    flat = torch.cat([each.flatten() for each in tensors])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for each, mean in zip(tensors, flat.split([each.numel() for each in tensors]), strict=True):
        each.copy_(mean.view_as(each))


def agreed(value: float) -> float:
    """One number for all, such as the share of the time that is over: they must stop after the same step."""
    tensor = torch.tensor([value], dtype=torch.float64)
    average([tensor])
    return float(tensor)
