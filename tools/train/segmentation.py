"""Train ``knee_segmentation``: ``python -m tools.train.segmentation --minutes 40``.

Reads whatever studies ``tools.train.dataset`` has made so far, picks up new ones on the way, and resumes from
``build/train/segmentation.pt``. Half of the slices have a random contrast, because the network has to work on scanners
and sequences that it never saw.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import Tensor
from torch.nn import functional

from services.common.finding import Structure
from services.common.tensors import STRUCTURE_COUNT
from tools.train import dataset
from tools.train.networks import SegmentationNetwork
from tools.train.sampling import Pool, draw, move, recolour

CHECKPOINT = Path("build/train/segmentation.pt")
SCORES = Path("build/train/segmentation.json")
BATCH, EVERY = 4, 100  # many small steps: rare structures need updates more than they need smooth gradients


def main() -> None:
    """Train for a number of minutes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=40.0)
    parser.add_argument("--rate", type=float, default=2e-3)
    options = parser.parse_args()
    torch.set_num_threads(2)  # fp32 throughout: bf16 convolutions were six times slower here
    console = Console()
    network = SegmentationNetwork()
    optimiser = torch.optim.AdamW(network.parameters(), lr=options.rate, weight_decay=1e-4)
    step = _resume(network, optimiser)
    rng, pool = np.random.default_rng(step), Pool({})
    start = time.monotonic()
    while (spent := (time.monotonic() - start) / 60) < options.minutes:
        for group in optimiser.param_groups:
            group["lr"] = options.rate * max(0.02, 0.5 * (1 + np.cos(np.pi * spent / options.minutes)))
        batch = move(draw(pool, list(dataset.paths(dataset.TRAINING_SEED)), rng, size=BATCH, recoloured=0.5), rng)
        images = recolour(batch.images, rng)
        logits = network.slice_logits(images)
        value = loss(logits.float(), batch.labels)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        optimiser.step()
        step += 1
        if step % 10 == 0:
            console.print(f"step {step}  {spent:.1f} min  loss {value.item():.3f}  studies {len(pool.cache)}")
        if step % EVERY == 0:
            torch.save({"network": network.state_dict(), "optimiser": optimiser.state_dict(), "step": step}, CHECKPOINT)
    torch.save({"network": network.state_dict(), "optimiser": optimiser.state_dict(), "step": step}, CHECKPOINT)
    scores = validate(network)
    SCORES.write_text(json.dumps({"steps": step, **scores}, indent=1))
    console.print(scores)


def _resume(network: SegmentationNetwork, optimiser: torch.optim.Optimizer) -> int:
    if not CHECKPOINT.exists():
        return 0
    state = torch.load(CHECKPOINT, weights_only=True)
    network.load_state_dict(state["network"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy plus soft Dice over the structures that are in the batch."""
    probability = torch.softmax(logits, dim=1)
    truth = functional.one_hot(labels, STRUCTURE_COUNT).movedim(-1, 1).float()
    overlap = (probability * truth).sum(dim=(0, 2, 3))
    size = probability.sum(dim=(0, 2, 3)) + truth.sum(dim=(0, 2, 3))
    present = (truth.sum(dim=(0, 2, 3)) > 20).float()
    dice = ((2 * overlap + 10) / (size + 10) * present).sum() / present.sum().clamp(min=1)
    return functional.cross_entropy(logits, labels) + 1 - dice


@torch.no_grad()
def validate(network: SegmentationNetwork, studies: int = 12) -> dict[str, dict[str, float]]:
    """Dice of each structure over whole validation volumes, in clinical and in randomised contrast."""
    network.eval()
    result = {}
    for name in ("volumes", "recoloured"):
        overlap, size = np.zeros(STRUCTURE_COUNT), np.zeros(STRUCTURE_COUNT)
        for path in list(dataset.paths(dataset.VALIDATION_SEED))[:studies]:
            example = dataset.load(path)
            found = np.stack([network(torch.from_numpy(v[None]))[0][0].numpy() for v in getattr(example, name)])
            for structure in Structure:
                a, b = found == structure, example.labels == structure
                overlap[structure] += 2 * np.count_nonzero(a & b)
                size[structure] += np.count_nonzero(a) + np.count_nonzero(b)
        result[name] = {s.name: round(float(overlap[s] / max(size[s], 1)), 3) for s in Structure}
    network.train()
    return result


if __name__ == "__main__":
    main()
