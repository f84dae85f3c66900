"""Train ``knee_classification``: ``python -m tools.train.classification --minutes 20``.

Two steps. First the dense evidence: every cell of every slice learns whether a finding is drawn there, which is far
more to learn from than one answer a study. Then the pooling: nine numbers a label learn how evidence becomes a
probability.
Resumes from ``build/train/classification.pt``.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.nn import functional

from services.common.finding import LABELS
from services.common.tensors import COLUMNS, LABEL_COUNT, PLANE_COUNT, ROWS
from services.common.transforms import joint_region
from tools.train import dataset
from tools.train.networks import ClassificationNetwork, with_region
from tools.train.sampling import Pool, draw, jittered, recolour

CHECKPOINT = Path("build/train/classification.pt")
SCORES = Path("build/train/classification.json")
BATCH, EVERY = 16, 100
LESION_WEIGHT = 4.0  # a finding covers a small part of the cells
POOLING_STUDIES, POOLING_STEPS, POOLING_BATCH = 240, 250, 12


def main() -> None:
    """Train the evidence for a number of minutes, then the pooling, then score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=2e-3)
    options = parser.parse_args()
    torch.set_num_threads(2)
    network = ClassificationNetwork()
    if CHECKPOINT.exists():
        network.load_state_dict(torch.load(CHECKPOINT, weights_only=True))
    train_evidence(network, minutes=options.minutes, rate=options.rate)
    torch.save(network.state_dict(), CHECKPOINT)
    network.eval()
    train_pooling(network, evidence_of(network, list(dataset.paths(dataset.TRAINING_SEED))[:POOLING_STUDIES]))
    torch.save(network.state_dict(), CHECKPOINT)
    scores = score(network, evidence_of(network, list(dataset.paths(dataset.VALIDATION_SEED))))
    SCORES.write_text(json.dumps(scores, indent=1))
    Console().print(scores)


def train_evidence(network: ClassificationNetwork, *, minutes: float, rate: float) -> None:
    """Fit the trunk to the lesion cells of single slices, in clinical and in random contrast."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-4)
    rng, pool, paths = np.random.default_rng(), Pool({}), list(dataset.paths(dataset.TRAINING_SEED))
    weight = torch.full((LABEL_COUNT, 1, 1), LESION_WEIGHT)
    console, start, step = Console(), time.monotonic(), 0
    while (spent := (time.monotonic() - start) / 60) < minutes:
        for group in optimiser.param_groups:
            group["lr"] = rate * max(0.02, 0.5 * (1 + np.cos(np.pi * spent / minutes)))
        batch = draw(pool, paths, rng, size=BATCH, recoloured=0.25)
        images = torch.cat([recolour(batch.images, rng), boxes(batch.region)], dim=1)
        evidence = network.slice_evidence(images, batch.plane)
        truth = (batch.lesions > 0.1).float()
        loss = functional.binary_cross_entropy_with_logits(evidence.float(), truth, pos_weight=weight)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        step += 1
        if step % EVERY == 0:
            console.print(f"step {step}  {spent:.1f} min  loss {loss.item():.4f}")
            torch.save(network.state_dict(), CHECKPOINT)


def boxes(region: Tensor) -> Tensor:
    """Regions (M, 4) as the network's fourth input channel, (M, 1, 256, 256)."""
    no_volume = torch.zeros(len(region), 1, 1, 1, 1)
    return with_region(no_volume.expand(-1, 1, 32, ROWS, COLUMNS), region[:, None])[:, 0, 0, 3:]


@torch.no_grad()
def evidence_of(network: ClassificationNetwork, paths: Sequence[Path]) -> dict[str, Tensor]:
    """Evidence, slice mask and findings of whole studies: (K,3,32,12,32,32) half, (K,3,32), (K,12)."""
    rng = np.random.default_rng(0)
    evidence, masks, findings = [], [], []
    for path in track(paths, description="evidence"):
        example = dataset.load(path)
        region = np.stack([jittered(joint_region(labels), rng) for labels in example.labels])
        slices = with_region(torch.from_numpy(example.volumes)[None], torch.from_numpy(region)[None])[0]
        planes = [network.slice_evidence(slices[i], torch.full((32,), i)).half() for i in range(PLANE_COUNT)]
        evidence.append(torch.stack(planes))
        masks.append(torch.from_numpy(example.slice_mask).float())
        findings.append(torch.from_numpy(example.findings).float())
    return {"evidence": torch.stack(evidence), "mask": torch.stack(masks), "findings": torch.stack(findings)}


def train_pooling(network: ClassificationNetwork, studies: dict[str, Tensor]) -> None:
    """Fit the nine numbers a label, one plane missing now and then."""
    optimiser = torch.optim.Adam(network.pooling.parameters(), lr=0.05)
    generator = torch.Generator().manual_seed(0)
    count = len(studies["findings"])
    for step in track(range(POOLING_STEPS), description="pooling"):
        optimiser.param_groups[0]["lr"] = 0.05 * (1 - step / POOLING_STEPS)
        chosen = torch.randperm(count, generator=generator)[:POOLING_BATCH]
        keep = (torch.rand(POOLING_BATCH, PLANE_COUNT, 1, generator=generator) > 0.1).float()
        keep = torch.where(keep.sum(dim=1, keepdim=True) == 0, 1.0, keep)
        maps = network.pooling.maps(studies["evidence"][chosen].float())
        logits, _ = network.pooling(maps, studies["mask"][chosen] * keep)
        loss = functional.binary_cross_entropy_with_logits(logits, studies["findings"][chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


@torch.no_grad()
def score(network: ClassificationNetwork, studies: dict[str, Tensor]) -> dict[str, dict[str, float]]:
    """Area under the ROC curve and the threshold of the best balanced accuracy, by label."""
    logits = torch.cat(
        [
            network.pooling(network.pooling.maps(evidence[None].float()), mask[None])[0]
            for evidence, mask in zip(studies["evidence"], studies["mask"], strict=True)
        ]
    )
    probability = torch.sigmoid(logits).double().numpy()
    truth = studies["findings"].numpy()
    return {
        label: {
            "auc": round(area(probability[:, i], truth[:, i]), 3),
            "threshold": round(best_threshold(probability[:, i], truth[:, i]), 3),
        }
        for i, label in enumerate(LABELS)
    }


def area(probability: NDArray[np.float64], truth: NDArray[np.float32]) -> float:
    """Area under the ROC curve: how often a positive study scores above a negative one."""
    positive, negative = probability[truth > 0.5], probability[truth < 0.5]
    above = (positive[:, None] > negative[None, :]).mean() + 0.5 * (positive[:, None] == negative[None, :]).mean()
    return float(above)


def best_threshold(probability: NDArray[np.float64], truth: NDArray[np.float32]) -> float:
    """The threshold that maximises sensitivity plus specificity, kept between 0.1 and 0.9."""
    ordered = np.unique(probability)
    between = (ordered[1:] + ordered[:-1]) / 2
    positive, negative = probability[truth > 0.5], probability[truth < 0.5]
    gain = [(positive >= value).mean() + (negative < value).mean() for value in between]
    return float(np.clip(between[int(np.argmax(gain))], 0.1, 0.9))


if __name__ == "__main__":
    main()
