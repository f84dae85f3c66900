"""Pictures to look at: structures over slices, the worst answers, the real images."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.common.finding import LABELS, Structure
from services.common.volume import Plane
from tools.evaluate.answers import Answer, read, sources_of
from tools.evaluate.engine import Engine
from tools.evaluate.real import RealReading, RealReport
from tools.evaluate.testset import SyntheticStudy

Pixels = NDArray[np.uint8]
TILE = 224
COLOURS = np.array(  # one for each structure
    [
        *((0, 0, 0), (86, 140, 230), (60, 180, 110), (230, 170, 60), (180, 120, 220), (255, 105, 97), (255, 225, 100)),
        *((120, 230, 230), (255, 150, 210), (150, 255, 120), (80, 255, 255), (255, 80, 255), (255, 140, 0)),
        (90, 90, 255),
    ],
    dtype=np.uint8,
)


@dataclass(frozen=True)
class Failure:
    """A wrong answer: a finding that is there with a low probability, or one that is not with a high one."""

    seed: int
    label: str
    probability: float
    present: bool


def as_png(picture: Pixels) -> bytes:
    """RGB ``(row, column, 3)`` as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def tile(grey: Pixels, labels: Pixels, *, outline: Pixels | None = None, caption: str = "") -> Pixels:
    """One slice with its structures in colour, a white outline of another label map, and a caption."""
    size = (TILE, TILE)
    picture = np.repeat(cv2.resize(grey, size, interpolation=cv2.INTER_AREA)[..., None], 3, axis=2)
    large = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
    shown = large > 0
    picture[shown] = (picture[shown] * 0.55 + COLOURS[large[shown]] * 0.45).astype(np.uint8)
    if outline is not None:
        other = cv2.resize(outline, size, interpolation=cv2.INTER_NEAREST)
        for value in np.unique(other[other > 0]):
            contours, _ = cv2.findContours((other == value).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(picture, contours, -1, (255, 255, 255), 1)
    cv2.putText(picture, caption, (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (255, 255, 255), 1, cv2.LINE_AA)
    return picture


def grid(tiles: Sequence[Pixels], columns: int) -> Pixels:
    """Tiles in rows; the last row is filled up with black."""
    missing = [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    whole = [*tiles, *missing]
    rows = [np.concatenate(whole[start : start + columns], axis=1) for start in range(0, len(whole), columns)]
    return np.concatenate(rows, axis=0)


def example(engine: Engine, study: SyntheticStudy) -> bytes:
    """Three slices of each plane of one test study: structures as found, the truth as white outlines."""
    sources = sources_of(study)
    reading = read(engine, sources)
    tiles = []
    for plane, model_input in sources.inputs.items():
        for share in (0.3, 0.5, 0.7):
            index = int(share * len(model_input.source))
            caption = f"{plane}, slice {index + 1}"
            labels, truth = reading.labels[plane][index], study.labels[plane][index]
            tiles.append(tile(model_input.source[index], labels, outline=truth, caption=caption))
    return as_png(grid(tiles, 3))


def failures(answers: Sequence[Answer], *, most: int = 8) -> list[Failure]:
    """The answers furthest from the truth, at most two of a label."""
    wrong = [
        Failure(each.seed, label, each.probability[label], each.truth[label])
        for each in answers
        for label in LABELS
        if each.positive[label] != each.truth[label]
    ]
    wrong.sort(key=lambda one: one.probability if one.present else 1 - one.probability)
    chosen: list[Failure] = []
    for one in wrong:
        if sum(other.label == one.label for other in chosen) < 2 and len(chosen) < most:
            chosen.append(one)
    return chosen


def failure_tile(engine: Engine, failure: Failure, study: SyntheticStudy) -> Pixels:
    """Where the missed lesion is (outlined in white), or where the heat of the false alarm is (orange)."""
    sources = sources_of(study)
    reading = read(engine, sources)
    finding = next(each for each in reading.findings if each.label == failure.label)
    plane, index = finding.location.plane, finding.location.slice_index
    bit = np.uint16(1 << LABELS.index(failure.label))
    lesion = {each: (study.lesions[each] & bit) > 0 for each in sources.inputs}
    if failure.present:
        plane = max(lesion, key=lambda each: int(lesion[each].sum(axis=(1, 2)).max()))
        index = int(np.argmax(lesion[plane].sum(axis=(1, 2))))
    heat = reading.saliency.get(failure.label) if plane == finding.location.plane else None
    hot = np.zeros_like(sources.inputs[plane].source[index])
    if heat is not None and not failure.present:
        hot[heat[index] > 100] = Structure.PCL
    word = "missed" if failure.present else "false alarm"
    caption = f"{failure.seed} {failure.label} {word} {failure.probability:.2f}"
    outline = lesion[plane][index].astype(np.uint8)
    return tile(sources.inputs[plane].source[index], hot, outline=outline, caption=caption)


def gallery(engine: Engine, chosen: Sequence[Failure], load: Callable[[int], SyntheticStudy]) -> bytes:
    """All failures on one sheet; a short run may have none, and the sheet says so."""
    blank = np.zeros((TILE, TILE), np.uint8)
    tiles = [failure_tile(engine, failure, load(failure.seed)) for failure in chosen]
    return as_png(grid(tiles or [tile(blank, blank, caption="no wrong answer in this run")], 4))


def real_slices(report: RealReport, reading: RealReading, *, with_image: bool) -> bytes:
    """The slices with a reference (white outline), structures as found; the image only where it may be shown."""
    tiles = []
    for index in report.slices:
        grey = reading.source[index] if with_image else np.zeros_like(reading.source[index])
        caption = f"{Plane.SAGITTAL} {index + 1}, echo {reading.echo_ms:g} ms"
        tiles.append(tile(grey, reading.labels[index], outline=report.reference[index], caption=caption))
    return as_png(grid(tiles, 4))
