"""Teach the evidence from answers about whole studies: ``python -m tools.train.study_labels --minutes 60``.

Most archives say that a ligament is torn and not where. The class maps of such a study are pooled as they are when
served, and the loss of the answer goes back through attention and maps into the evidence, so that the network finds
the place by itself. It has to know roughly what to look for: run ``tools.train.classification`` first, whose checkpoint
is taken and kept. Every second step is one of its own, on studies where the place is known, against forgetting; its
pooling is fitted anew afterwards by ``tools.train.classification --minutes 0``.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from services.common.tensors import PLANE_COUNT, SLICES
from tools.train import dataset, imported
from tools.train.classification import CHECKPOINT, HELD_OUT, evidence_loss, known_loss, training_paths
from tools.train.dataset import Example
from tools.train.lesions import Pool, draw, jittered
from tools.train.networks import ClassificationNetwork, grid_position, with_region
from tools.train.partial import UNKNOWN
from tools.train.run import Run

STRIDE = 3  # one slice in so many is seen a step, beginning anywhere: a finding spans several


def main() -> None:
    """Train for a number of minutes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=3e-4)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    paths = [path for path in imported.paths(imported.FINDINGS) if imported.number(path) % HELD_OUT]
    if not paths or not CHECKPOINT.exists():
        parser.error("needs studies of tools.train.import_dataset and a checkpoint of tools.train.classification")
    train(Run(ClassificationNetwork(), CHECKPOINT), paths, minutes=options.minutes, rate=options.rate)


def train(run: Run[ClassificationNetwork], paths: Sequence[Path], *, minutes: float, rate: float) -> None:
    """Take steps until the time is over, in turns on whole studies and on windows whose lesions are known."""
    rng, pool, console = np.random.default_rng(run.step), Pool(), Console()
    start, first, recent, located = time.monotonic(), run.step, [], training_paths(held_out=False)
    while (spent := (time.monotonic() - start) / 60) < minutes:
        run.pace(rate, steps=run.step - first, done=spent / minutes)
        run.network.train()
        if run.step % 2:
            run.take_step(evidence_loss(run.network, draw(pool, located, rng, shape=(12, 128))))
            continue
        # statistics of one study's slices are no statistics: the layers keep those they have
        run.network.eval()
        recent.append(run.take_step(study_loss(run.network, dataset.load(paths[int(rng.integers(len(paths)))]), rng)))
        if run.step % 100 == 1:
            console.print(f"step {run.step}  {spent:.1f} min  loss of studies {torch.stack(recent).mean():.3f}")
            recent.clear()
            run.save()
    run.save()


def study_loss(network: ClassificationNetwork, example: Example, rng: np.random.Generator) -> Tensor:
    """Cross entropy of the findings that are known, from some slices of every plane."""
    chosen = torch.arange(int(rng.integers(STRIDE)), SLICES, STRIDE)
    region = np.stack([jittered(box, rng) for box in example.region])
    slices = with_region(torch.from_numpy(example.volumes)[None], torch.from_numpy(region)[None])[0][:, chosen]
    position = grid_position()[chosen]
    planes = [network.slice_evidence(slices[i], position, torch.full((len(chosen),), i)) for i in range(PLANE_COUNT)]
    mask = torch.from_numpy(example.slice_mask).float()[None, :, chosen]
    logits, _ = network.pooling(network.pooling.maps(torch.stack(planes)[None].float()), mask)
    findings = np.where(example.findings == UNKNOWN, np.nan, example.findings)[None]
    return known_loss(logits, torch.from_numpy(findings).float())


if __name__ == "__main__":
    main()
