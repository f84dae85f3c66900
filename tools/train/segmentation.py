"""Train ``knee_segmentation``: ``python -m tools.train.segmentation --minutes 60``.

Reads whatever studies ``tools.train.dataset`` has made, also those that come while it runs, and carries on where the
last run stopped: the newest state is ``build/train/segmentation.pt`` (weights, their running mean, optimiser, step).
The first run starts from the published model (``--scratch``: from chance). The learning rate rises over the first steps
of a run and falls to almost nothing at its end, so a run is given the minutes that it may have. What is scored and
exported is the running mean of the weights, with a last bias that was fitted to the validation studies behind those
that are scored (``balance``; ``--minutes 0`` does only that).

Set ``MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=68719476736`` against page faults, and ``OMP_WAIT_POLICY=passive`` where
others use the machine as well: threads that spin while they wait burn what the next one needs.
"""

import json
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from services.common.finding import Structure
from services.common.tensors import KNEE_SEGMENTATION, PLANE_COUNT, STRUCTURE_COUNT
from tools.pin_models import REPOSITORY
from tools.train import dataset, imported, published, together
from tools.train.balance import balance
from tools.train.networks import SegmentationNetwork
from tools.train.partial import POSSIBLE
from tools.train.run import Run, half_precision, options
from tools.train.sampling import Patches, Pool, draw
from tools.train.stream import EVERY, Clock, stream

CHECKPOINT = Path("build/train/segmentation.pt")
SCORES = Path("build/train/segmentation.json")
PUBLISHED = REPOSITORY / KNEE_SEGMENTATION.name / "1" / "model.onnx"
SHAPES = ((8, 128), (3, 256))  # patches and pixels a step; small windows hold what is rare, whole slices the rest
WHOLE_SLICES = (0.3, 0.8)  # share of whole slices at the begin and at the end of a run
FEWEST_PIXELS_OF_DICE = 20  # fewer are the rim of a structure, and rounding
LABELMAP_SHARE = 0.2  # of the slices, where such studies were made
# Rare and thin structures count more in the cross entropy, so that they are learnt at all; but a network that was
# taught so sees three where there is one, so the weights fade to one in the first half of a run.
CLASS_WEIGHT = torch.tensor([0.5, 0.7, 0.7, 1.5, 1.5, 2.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 2.0])


def main() -> None:
    """Train for a number of minutes, then balance, then score."""
    chosen = options(__doc__, minutes=60.0)
    if chosen.minutes > 0:
        dataset.require(training_paths(), "train on", "dataset --count 400")
    together.join()
    network = SegmentationNetwork()
    if not chosen.scratch and not CHECKPOINT.exists():
        published.start_from(network, published.read(PUBLISHED), _show)
    run: Run[SegmentationNetwork] = Run(network, CHECKPOINT, chosen.device)
    if chosen.minutes > 0:
        train(run, training_paths, chosen, emphasis=float(chosen.scratch and run.step == 0))
    if together.rank():
        return
    console, held_out = Console(), list(dataset.paths(dataset.VALIDATION_SEED))
    scored, fitted = held_out[: chosen.studies], held_out[chosen.studies :]
    if fitted:
        console.print("last bias", balance(run.mean.cpu(), fitted).round(1))
        run.network.last.load_state_dict(run.mean.last.state_dict())
        run.save()
    scores = validate(run.mean.cpu(), scored)
    SCORES.write_text(json.dumps({"steps": run.step, **scores}, indent=1))
    console.print(scores)


@torch.no_grad()
def _show(network: SegmentationNetwork) -> None:
    """Pass some windows through, all at once, for the statistics of the layers."""
    patches = draw(Pool(), training_paths(), np.random.default_rng(0), shape=(64, 128))
    network.slice_logits(patches.images.float(), patches.position)


def training_paths() -> list[Path]:
    """Phantom studies and imported ones, and those of the real label map so often that they make up their share."""
    drawn = [*dataset.paths(dataset.TRAINING_SEED), *imported.paths(imported.STRUCTURES)]
    bent = list(dataset.paths(dataset.LABELMAP_SEED))
    times = LABELMAP_SHARE / (1 - LABELMAP_SHARE) * len(drawn) / max(len(bent), 1)
    return drawn + bent * round(times)


def train(
    run: Run[SegmentationNetwork], source: Callable[[], Sequence[Path]], chosen: Namespace, *, emphasis: float = 0.0
) -> None:
    """Take steps until the time is over, on whatever studies there are by then.

    ``chosen`` are the command's ``options``; ``emphasis`` 1 lets rare structures count more in the first half.
    """
    console, clock, first, recent = Console(quiet=together.rank() > 0), Clock(chosen.minutes), run.step, []
    pool = Pool()

    def windows(paths: Sequence[Path], own: np.random.Generator, alike: np.random.Generator) -> Patches:
        """More and more whole slices, and places anywhere, while time goes by."""
        over = min(clock.done, 1.0)
        share = WHOLE_SLICES[0] + (WHOLE_SLICES[1] - WHOLE_SLICES[0]) * over
        count, size = SHAPES[int(alike.random() < share)]
        return draw(pool, paths, own, shape=(count * chosen.batch, size), anywhere=over)

    for patches in stream(windows, source, seed=run.step, workers=chosen.workers, device=chosen.device):
        if (done := together.agreed(clock.done)) >= 1:
            break
        run.pace(chosen.rate, steps=run.step - first, done=done)
        recent.append(run.take_step(batch_loss(run.network, patches, weight=faded(done) ** emphasis)))
        if run.step % EVERY == 0:
            console.print(f"step {run.step}  {done * chosen.minutes:.1f} min  loss {torch.stack(recent).mean():.3f}")
            recent.clear()
            run.save()
    run.save()


def batch_loss(network: SegmentationNetwork, patches: Patches, *, weight: Tensor) -> Tensor:
    """The loss of one batch."""
    images = patches.images.float().contiguous(memory_format=torch.channels_last)
    with half_precision(images.device):
        logits = network.slice_logits(images, patches.position)
    return loss(logits.float(), patches.labels.long(), patches.plane, weight=weight.to(images.device))


def faded(done: float) -> Tensor:
    """The weight of each structure (14,): the full one at the begin of a run, one from its middle on."""
    return CLASS_WEIGHT ** max(0.0, 1 - 2 * done)


def loss(logits: Tensor, labels: Tensor, plane: Tensor, *, weight: Tensor) -> Tensor:
    """Weighted cross entropy of what a voxel may be, plus soft Dice of each picture and of all pictures of each plane.

    A picture by itself counts a knee's worn cartilage as much as another's whole one, of which there is three times as
    much. All pictures of a plane, which ``plane`` (M,) names, see what is drawn where nothing is, and keep what is hard
    to see in one plane from hiding behind the others. The Dice counts labelled voxels alone; one that may be anything
    counts nowhere (``partial``).
    """
    log_probability = torch.log_softmax(logits, dim=1)
    known = labels < STRUCTURE_COUNT
    label = torch.where(known, labels, 0)  # index_add and gather take a third of the time of sums over one-hot maps
    of_label = log_probability.gather(1, label[:, None])[:, 0]
    importance = weight[label] * known
    partly = log_probability.movedim(1, -1)[~known]
    possible = torch.from_numpy(POSSIBLE).to(labels.device)[labels[~known]]
    of_possible = torch.logsumexp(partly.masked_fill(~possible, -torch.inf), dim=1)
    entropy = -((importance * of_label).sum() + of_possible.sum()) / (importance.sum() + len(partly))
    pictures = logits.new_zeros(len(labels), STRUCTURE_COUNT)
    place = (torch.arange(len(labels), device=labels.device)[:, None, None] * STRUCTURE_COUNT + label).flatten()
    truth = pictures.flatten().index_add(0, place, known.float().flatten()).view_as(pictures)
    overlap = pictures.flatten().index_add(0, place, (of_label.exp() * known).flatten()).view_as(pictures)
    size = (log_probability.exp() * known[:, None]).sum(dim=(2, 3)) + truth
    planes = logits.new_zeros(PLANE_COUNT, STRUCTURE_COUNT)
    of_planes = (planes.index_add(0, plane, each) for each in (overlap, size, truth))
    return entropy + 2 - _soft_dice(overlap, size, truth) - _soft_dice(*of_planes)


def _soft_dice(overlap: Tensor, size: Tensor, truth: Tensor) -> Tensor:
    """Mean over the structures (N, 14) that are there, for each of them over the N where it is."""
    present = (truth > FEWEST_PIXELS_OF_DICE).float()
    times = present.sum(dim=0)
    of_structure = ((2 * overlap + 10) / (size + 10) * present).sum(dim=0) / times.clamp(min=1)
    return of_structure.sum() / (times > 0).sum().clamp(min=1)


@torch.no_grad()
def validate(network: SegmentationNetwork, paths: Sequence[Path]) -> dict[str, dict[str, float]]:
    """Dice of each structure over whole validation volumes, in clinical and in randomised contrast."""
    network.eval()
    result = {}
    for name in ("volumes", "recoloured"):
        overlap, size = np.zeros(STRUCTURE_COUNT), np.zeros(STRUCTURE_COUNT)
        for path in paths:
            example = dataset.load(path)
            found = np.stack([network(torch.from_numpy(v[None]))[0][0].numpy() for v in getattr(example, name)])
            for structure in Structure:
                a, b = found == structure, example.labels == structure
                overlap[structure] += 2 * np.count_nonzero(a & b)
                size[structure] += np.count_nonzero(a) + np.count_nonzero(b)
        result[name] = {s.name: round(float(overlap[s] / max(size[s], 1)), 3) for s in Structure}
    return result


if __name__ == "__main__":
    main()
