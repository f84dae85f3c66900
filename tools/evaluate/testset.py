"""The frozen test set: phantom knees that no training could have seen, written as DICOM and read back like a patient's.

Seeds start where neither training (from 1,000,000) nor validation (from 2,000,000) nor any other set reaches, and the
scanner's settings are drawn from bands beside those of training: smaller or larger fields of view, thinner or thicker
slices, cleaner or noisier images. Echo times are scaled a second time: six in ten lie beyond those of training. Nothing
of this depends on the findings.

A study is made once and kept under ``build/evaluation/studies``. The folder's name holds the sha256 of a small probe
image, so another phantom makes another set and never mixes with the old one.
"""

import functools
import hashlib
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray

from services.common.dicom import read_instance
from services.common.finding import LABELS
from services.common.volume import PLANES, Plane
from tools.phantom.acquire import Acquisition, acquire
from tools.phantom.anatomy import Knee, knee, stream
from tools.phantom.protocol import PD_FS, T2_FS, Protocol, vary
from tools.phantom.study import Study, instance

FIRST_SEED, DEFAULT_STUDIES = 7_000_000, 300
FOLDER = Path("build/evaluation")
HEALTHY, PREVALENCE, MATRIX = 0.15, 0.3, 256

# (low, high) pairs on both sides of what training draws; the echo's factor comes on top of training's own
FIELD_OF_VIEW_MM = ((143.0, 149.0), (169.0, 176.0))
THICKNESS_MM = ((2.4, 2.7), (3.7, 4.0))
MUSCLE_SNR = ((7.5, 8.8), (28.5, 34.0))
ECHO_SCALE = ((0.78, 0.84), (1.16, 1.22))
SLICES = (21, 34)  # either side of the usual number reaches beyond the model's 32 now and then

Bands = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True, eq=False)
class SyntheticStudy:
    """One study of the test set: its DICOM instances and the truth on the sorted slices of each series.

    ``labels`` uint8 (``Structure``) and ``lesions`` uint16 (bit i: ``LABELS[i]``) are ``(slice, row, column)`` by
    plane, in the order of the instances' positions along the slice normal.
    """

    seed: int
    findings: frozenset[str]
    instances: tuple[pydicom.Dataset, ...]
    labels: dict[Plane, NDArray[np.uint8]]
    lesions: dict[Plane, NDArray[np.uint16]]


def seeds(studies: int) -> range:
    """Seeds of the first ``studies`` of the test set; the first hundred of them are the same in any longer run."""
    return range(FIRST_SEED, FIRST_SEED + studies)


def draw_findings(seed: int) -> frozenset[str]:
    """The findings of a test knee, each independent of the others so that one can't stand in for another."""
    rng = stream(seed, "test findings")
    healthy, chance = rng.random() < HEALTHY, rng.random(len(LABELS))
    present = (name for name, value in zip(LABELS, chance, strict=True) if value < PREVALENCE)
    return frozenset() if healthy else frozenset(present)


def shifted(protocol: Protocol, rng: np.random.Generator) -> Protocol:
    """The protocol moved out of the ranges of training."""
    thickness = round(_from(THICKNESS_MM, rng), 1)
    sequence = replace(protocol.sequence, echo_ms=float(round(protocol.sequence.echo_ms * _from(ECHO_SCALE, rng))))
    return replace(
        protocol,
        sequence=sequence,
        slices=int(rng.integers(*SLICES)),
        field_of_view_mm=round(_from(FIELD_OF_VIEW_MM, rng)),
        thickness_mm=thickness,
        spacing_mm=round(thickness * float(rng.uniform(1.0, 1.25)) + 0.25, 1),
        muscle_snr=_from(MUSCLE_SNR, rng),
    )


def _from(bands: Bands, rng: np.random.Generator) -> float:
    return float(rng.uniform(*bands[int(rng.integers(2))]))


def image(seed: int, *, matrix: int = MATRIX) -> Study:
    """Three fat-suppressed series of the knee of a seed."""
    one = knee(seed, draw_findings(seed))
    return Study(one, tuple(_series(one, plane, matrix) for plane in PLANES))


def _series(one: Knee, plane: Plane, matrix: int) -> Acquisition:
    rng = one.stream(f"test series {plane}")
    sequence = T2_FS if rng.random() < 0.2 else PD_FS
    # first as training varies it, so that whatever else it varies is varied here as well; then out of its ranges
    varied = vary(Protocol(plane, sequence, matrix=matrix), rng)
    return acquire(one, replace(shifted(varied, rng), matrix=matrix), rng)


def load(seed: int, *, folder: Path = FOLDER, matrix: int = MATRIX) -> SyntheticStudy:
    """The study of a seed, made now or read from its folder."""
    place = folder / "studies" / f"{probe()}-{matrix}" / str(seed)
    if not place.exists():
        _save(place, image(seed, matrix=matrix))
    with np.load(place / "truth.npz") as arrays:
        return SyntheticStudy(
            seed,
            draw_findings(seed),
            tuple(read_instance(path) for path in sorted(place.glob("*.dcm"))),
            {plane: arrays[f"labels {plane}"] for plane in PLANES},
            {plane: arrays[f"lesions {plane}"] for plane in PLANES},
        )


def _save(place: Path, study: Study) -> None:
    """Write whole or not at all, so that a stopped run leaves no half study; whoever is first to end has made it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    truth: dict[str, NDArray[np.generic]] = {}
    for number, series in enumerate(study.series, start=1):
        for index in range(len(series.image.voxels)):
            one = instance(study, number, index)
            one.save_as(part / f"{number}-{index:03d}.dcm", enforce_file_format=True)
        # the service sorts along the slice normal; the truth must lie in the same order
        step = -1 if _runs_backwards(series) else 1
        truth[f"labels {series.protocol.plane}"] = series.labels.voxels[::step]
        truth[f"lesions {series.protocol.plane}"] = series.lesions.voxels[::step]
    np.savez_compressed(part / "truth.npz", **truth)  # type: ignore[arg-type]
    try:
        part.rename(place)
    except OSError:
        if not place.exists():
            raise
        shutil.rmtree(part)


def _runs_backwards(series: Acquisition) -> bool:
    """Whether the phantom's slices run against the normal that DICOM's orientation defines (PS3.3 C.7.6.2.1.1)."""
    affine = series.image.affine
    normal = np.cross(affine[:3, 2], affine[:3, 1])
    return float(normal @ affine[:3, 0]) < 0


@functools.cache
def probe() -> str:
    """Twelve hex digits of what the phantom draws today: one small series with every finding, and its truth."""
    one = knee(FIRST_SEED - 1, frozenset(LABELS))
    rng = one.stream("probe")
    protocol = shifted(vary(Protocol(Plane.SAGITTAL, PD_FS), rng), rng)
    series = acquire(one, replace(protocol, matrix=96, slices=12, spacing_mm=8.0), rng)
    digest = hashlib.sha256(repr(protocol).encode())
    for volume in (series.image, series.labels, series.lesions):
        digest.update(np.ascontiguousarray(volume.voxels).tobytes())
    return digest.hexdigest()[:12]
