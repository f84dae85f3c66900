"""Train ``knee_classification``: ``python -m tools.train.classification --minutes 40``.

Two steps. First the dense evidence: every cell of every slice learns whether a finding is drawn there, which is far
more to learn from than one answer a study. Then the pooling: nine numbers a label learn how evidence becomes a
probability, on studies whose slices the evidence never saw, so that it is not fooled by what was learnt by heart.

Both resume from ``build/train/classification.pt``; ``--minutes 0`` fits the pooling alone. The first run starts from
the published model (``--scratch``: from chance); studies that come while it runs are taken in.
"""

import json
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional

from services.common.finding import LABELS
from services.common.tensors import (
    CLASS_MAP_COLUMNS,
    CLASS_MAP_ROWS,
    KNEE_CLASSIFICATION,
    LABEL_COUNT,
    PLANE_COUNT,
    SLICES,
)
from tools.pin_models import REPOSITORY
from tools.train import dataset, imported, published, together
from tools.train.lesions import LesionPatches, Pool, draw, jittered
from tools.train.networks import ClassificationNetwork, grid_position, with_region
from tools.train.partial import UNKNOWN
from tools.train.run import Run, half_precision, options
from tools.train.stream import EVERY, Clock, stream

CHECKPOINT = Path("build/train/classification.pt")
SCORES = Path("build/train/classification.json")
SHAPES, WHOLE_SLICES = ((12, 128), (3, 256)), 0.25  # patches and pixels a step
LESION_WEIGHT = 3.0  # a finding covers a small part of the cells
EVIDENCE_LEVELS, SHARPNESS = (0.0, 1.0, 2.0, 4.0), 2.0
HELD_OUT = 4  # one study in so many teaches the pooling and never the evidence
POOLING_STEPS, POOLING_BATCH, POOLING_RATE = 200, 16, 0.02
PUBLISHED = REPOSITORY / KNEE_CLASSIFICATION.name / "1" / "model.onnx"


def main() -> None:
    """Train the evidence for a number of minutes, then the pooling, then score."""
    chosen = options(__doc__, minutes=40.0)
    for held_out in (False, True):
        dataset.require(training_paths(held_out=held_out), "train on", "dataset --count 400")
    validation = list(dataset.paths(dataset.VALIDATION_SEED))
    dataset.require(validation, "score", f"dataset --first {dataset.VALIDATION_SEED} --count 40")
    together.join()
    network = ClassificationNetwork()
    if not chosen.scratch and not CHECKPOINT.exists():
        start_from(network, published.read(PUBLISHED))
    run: Run[ClassificationNetwork] = Run(network, CHECKPOINT, chosen.device)
    if chosen.minutes > 0:
        train_evidence(run, partial(training_paths, held_out=False), chosen)
    if together.rank():
        return
    run.mean.cpu()
    pooling = evidence_of(run.mean, training_paths(held_out=True))
    train_pooling(run.mean.pooling, pooling)
    run.network.pooling.load_state_dict(run.mean.pooling.state_dict())
    run.save()
    logits, truth = pooled(run.mean, pooling)
    thresholds = [best_threshold(logits[:, i], truth[:, i]) for i in range(LABEL_COUNT)]
    scores = score(*pooled(run.mean, evidence_of(run.mean, validation)), thresholds=thresholds)
    SCORES.write_text(json.dumps(scores, indent=1))
    Console().print(scores)


def training_paths(*, held_out: bool) -> list[Path]:
    """Studies that are kept for the pooling, or all others."""
    drawn = {path: int(path.stem) for path in dataset.paths(dataset.TRAINING_SEED)}
    real = {path: imported.number(path) for path in imported.paths(imported.FINDINGS)}
    return [path for path, number in (drawn | real).items() if (number % HELD_OUT == 0) is held_out]


def start_from(network: ClassificationNetwork, weights: published.Weights) -> None:
    """Take over the evidence of a published model; the pooling is fitted anew in any case."""
    published.start_from(network, weights, _show)
    shape = (1, PLANE_COUNT, 1, network.plane.shape[1])  # in the graph the planes' offsets lie ready for all slices
    offsets = next(each for each in weights.values() if each.shape == shape)
    with torch.no_grad():
        network.plane.copy_(offsets.reshape(network.plane.shape))


@torch.no_grad()
def _show(network: ClassificationNetwork) -> None:
    """Pass some windows through, all at once, for the statistics of the layers."""
    patches = draw(Pool(), training_paths(held_out=False), np.random.default_rng(0), shape=(64, 128))
    network.slice_evidence(patches.images.float(), patches.position, patches.plane)


def train_evidence(run: Run[ClassificationNetwork], source: Callable[[], Sequence[Path]], chosen: Namespace) -> None:
    """Fit the trunk to the lesion cells of windows of slices, of whatever studies there are by then.

    ``chosen`` are the command's ``options``.
    """
    console, clock, first, recent = Console(quiet=together.rank() > 0), Clock(chosen.minutes), run.step, []
    pool = Pool()

    def windows(paths: Sequence[Path], own: np.random.Generator, alike: np.random.Generator) -> LesionPatches:
        count, size = SHAPES[int(alike.random() < WHOLE_SLICES)]
        return draw(pool, paths, own, shape=(count * chosen.batch, size))

    for patches in stream(windows, source, seed=run.step, workers=chosen.workers, device=chosen.device):
        if (done := together.agreed(clock.done)) >= 1:
            break
        run.pace(chosen.rate, steps=run.step - first, done=done)
        recent.append(run.take_step(evidence_loss(run.network, patches)))
        if run.step % EVERY == 0:
            console.print(f"step {run.step}  {done * chosen.minutes:.1f} min  loss {torch.stack(recent).mean():.4f}")
            recent.clear()
            run.save()
    run.save()


def evidence_loss(network: ClassificationNetwork, patches: LesionPatches) -> Tensor:
    """Cross entropy of every cell whose label is known, cells with a finding counting more."""
    images = patches.images.float().contiguous(memory_format=torch.channels_last)
    with half_precision(images.device):
        evidence = network.slice_evidence(images, patches.position, patches.plane)
    weight = torch.full((LABEL_COUNT, 1, 1), LESION_WEIGHT, device=evidence.device)
    # scaled so that the loss is of the order of one: nearly all cells are empty
    return 30 * functional.binary_cross_entropy_with_logits(
        evidence.float(), patches.truth, weight=patches.known[:, :, None, None], pos_weight=weight
    )


@torch.no_grad()
def evidence_of(network: ClassificationNetwork, paths: Sequence[Path]) -> dict[str, Tensor]:
    """Evidence, slice mask and findings of whole studies: (K,3,32,12,32,32) half, (K,3,32), (K,12); NaN: unknown."""
    network.eval()
    rng, position = np.random.default_rng(0), grid_position()
    evidence, masks, findings = [], [], []
    for path in track(paths, description="evidence"):
        example = dataset.load(path)
        region = np.stack([jittered(box, rng) for box in example.region])
        slices = with_region(torch.from_numpy(example.volumes)[None], torch.from_numpy(region)[None])[0]
        planes = [network.slice_evidence(slices[i], position, torch.full((SLICES,), i)) for i in range(PLANE_COUNT)]
        evidence.append(torch.stack(planes).half())
        masks.append(torch.from_numpy(example.slice_mask).float())
        findings.append(torch.from_numpy(np.where(example.findings == UNKNOWN, np.nan, example.findings)).float())
    return {"evidence": torch.stack(evidence), "mask": torch.stack(masks), "findings": torch.stack(findings)}


@torch.no_grad()
def place_pooling(pooling: nn.Module, studies: dict[str, Tensor]) -> None:
    """Set where each label's evidence begins to count: from a wrong place the fit below does not find out.

    Of a few levels the one is taken at which the fullest slice tells ill from healthy best; the scale is such that a
    typical lesion is worth four logits.
    """
    truth = studies["findings"].numpy()
    for label in range(LABEL_COUNT):
        if not both_classes(truth[:, label]):
            continue
        evidence = studies["evidence"][:, :, :, label].float()
        trials = []
        for level in EVIDENCE_LEVELS:
            cells = torch.sigmoid(SHARPNESS * (evidence - level)).sum(dim=(3, 4)) * studies["mask"]
            fullest = cells.amax(dim=(1, 2)).double().numpy()
            trials.append((area(fullest, truth[:, label]), level, float(np.median(fullest[truth[:, label] > 0.5]))))
        _, level, typical = max(trials)
        pooling.sharpness[label], pooling.shift[label] = SHARPNESS, -SHARPNESS * level
        pooling.log_scale[label] = float(np.log(min(4.0 * CLASS_MAP_ROWS * CLASS_MAP_COLUMNS / max(typical, 1), 1000)))


def train_pooling(pooling: nn.Module, studies: dict[str, Tensor]) -> None:
    """Fit the nine numbers a label, one plane missing now and then."""
    place_pooling(pooling, studies)
    optimiser = torch.optim.AdamW(pooling.parameters(), lr=POOLING_RATE, weight_decay=1e-3)
    generator = torch.Generator().manual_seed(0)
    for step in track(range(POOLING_STEPS), description="pooling"):
        optimiser.param_groups[0]["lr"] = POOLING_RATE * (1 - step / POOLING_STEPS)
        chosen = torch.randperm(len(studies["findings"]), generator=generator)[:POOLING_BATCH]
        keep = (torch.rand(len(chosen), PLANE_COUNT, 1, generator=generator) > 0.07).float()
        keep = torch.where(keep.sum(dim=1, keepdim=True) == 0, 1.0, keep)
        maps = pooling.maps(studies["evidence"][chosen].float())
        logits, _ = pooling(maps, studies["mask"][chosen] * keep)
        loss = known_loss(logits, studies["findings"][chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def known_loss(logits: Tensor, findings: Tensor) -> Tensor:
    """Cross entropy over the findings that are known, (K,12) each; NaN is unknown."""
    truth = torch.nan_to_num(findings)
    return functional.binary_cross_entropy_with_logits(logits, truth, weight=(~findings.isnan()).float())


@torch.no_grad()
def pooled(
    network: ClassificationNetwork, studies: dict[str, Tensor]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Probabilities and truth of whole studies, (K, 12) each."""
    logits = [
        network.pooling(network.pooling.maps(evidence[None].float()), mask[None])[0]
        for evidence, mask in zip(studies["evidence"], studies["mask"], strict=True)
    ]
    return torch.sigmoid(torch.cat(logits)).double().numpy(), studies["findings"].numpy()


def score(
    probability: NDArray[np.float64], truth: NDArray[np.float32], *, thresholds: Sequence[float]
) -> dict[str, dict[str, float]]:
    """Area under the ROC curve by label, beside the threshold that was chosen on other studies."""
    return {
        label: {"auc": round(area(probability[:, i], truth[:, i]), 3), "threshold": round(thresholds[i], 3)}
        for i, label in enumerate(LABELS)
    }


def area(probability: NDArray[np.float64], truth: NDArray[np.float32]) -> float:
    """Area under the ROC curve: how often a positive study scores above a negative one; NaN without one of them."""
    if not both_classes(truth):
        return float("nan")
    positive, negative = probability[truth > 0.5], probability[truth < 0.5]
    above = (positive[:, None] > negative[None, :]).mean() + 0.5 * (positive[:, None] == negative[None, :]).mean()
    return float(above)


def both_classes(truth: NDArray[np.float32]) -> bool:
    """Whether some studies are known to have a finding, and some not to."""
    return bool((truth > 0.5).any() and (truth < 0.5).any())


def best_threshold(probability: NDArray[np.float64], truth: NDArray[np.float32]) -> float:
    """The threshold that maximises sensitivity plus specificity, kept between 0.1 and 0.9.

    One half where one of the two can't be known, or all studies are answered alike.
    """
    ordered = np.unique(probability)
    if len(ordered) < 2 or not both_classes(truth):
        return 0.5
    between = (ordered[1:] + ordered[:-1]) / 2
    positive, negative = probability[truth > 0.5], probability[truth < 0.5]
    gain = [(positive >= value).mean() + (negative < value).mean() for value in between]
    return float(np.clip(between[int(np.argmax(gain))], 0.1, 0.9))


if __name__ == "__main__":
    main()
