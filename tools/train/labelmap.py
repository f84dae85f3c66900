"""A second anatomy: a real label map, bent into many knees and clothed in random tissue.

``python -m tools.train.labelmap --map <file.nrrd> --count 80`` writes studies like those of ``tools.train.dataset``,
for segmentation alone (nobody knows the findings of that knee). The map shows bones, cartilages and menisci; skin, fat
and muscle around them are smooth random regions, the cortex a dark shell. The map is data and stays outside the
repository; without it the training runs on the phantom alone.
"""

import argparse
import gzip
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from scipy import ndimage

from services.common.finding import LABELS, Structure
from services.common.tensors import CLASS_MAP_COLUMNS, CLASS_MAP_ROWS, SLICES
from services.common.transforms import model_grid, to_model_grid, window_to_uint8
from services.common.volume import PLANES, FloatArray, Plane, Volume
from tools.phantom.acquire import COARSE, degrade, interpolation
from tools.phantom.anatomy import stream
from tools.phantom.protocol import PD, PD_FS, T1, T2_FS, Protocol, rotation, stack, vary
from tools.phantom.shapes import Field
from tools.phantom.tissues import Tissue, signals
from tools.train import dataset
from tools.train.partial import UNKNOWN

MAP = Path("../shared/data/knee_labelmap/SAG_3D_DESS_RIGHT_bones_cart_men_fib-label.nrrd")
# the map's own numbers, in order of its legend
_STRUCTURES = np.array(
    [
        Structure.BACKGROUND,
        Structure.FEMORAL_CARTILAGE,
        Structure.MEDIAL_TIBIAL_CARTILAGE,
        Structure.LATERAL_TIBIAL_CARTILAGE,
        Structure.PATELLAR_CARTILAGE,
        Structure.FEMUR,
        Structure.TIBIA,
        Structure.PATELLA,
        Structure.FIBULA,
        Structure.LATERAL_MENISCUS,
        Structure.MEDIAL_MENISCUS,
    ],
    dtype=np.uint8,
)
_TISSUES = np.full(len(Structure), Tissue.CARTILAGE, dtype=np.uint8)
_TISSUES[[Structure.FEMUR, Structure.TIBIA, Structure.PATELLA, Structure.FIBULA]] = Tissue.MARROW
_TISSUES[[Structure.MEDIAL_MENISCUS, Structure.LATERAL_MENISCUS]] = Tissue.MENISCUS
_DEEP = np.array([Tissue.MUSCLE, Tissue.FAT, Tissue.MUSCLE, Tissue.VEIN, Tissue.TENDON], dtype=np.uint8)
_NEAR = np.array([Tissue.FAT, Tissue.FLUID, Tissue.TENDON], dtype=np.uint8)


@dataclass(frozen=True, eq=False)
class LabelMap:
    """``labels`` of ``Structure``; ``to_index`` maps joint-centred LPS mm to indices.

    ``around`` is the distance in mm to the nearest structure, on every second voxel of each axis.
    """

    labels: NDArray[np.uint8]
    around: Field
    to_index: FloatArray


def read(path: Path) -> LabelMap:
    """Read a NRRD file of 3 axes (raw or gzip). The joint's centre becomes the origin."""
    head, _, body = path.read_bytes().partition(b"\n\n")
    lines = (line.partition(":") for line in head.decode().splitlines() if ":" in line and not line.startswith("#"))
    fields = {key.strip(): value.strip(" =") for key, _, value in lines}
    voxels = np.frombuffer(gzip.decompress(body) if "gz" in fields["encoding"] else body, np.dtype(_type(fields)))
    raw = voxels.reshape([int(n) for n in fields["sizes"].split()], order="F")
    affine = np.eye(4)
    affine[:3, :3] = np.array([_vector(v) for v in fields["space directions"].split(" ")]).T
    affine[:3, 3] = _vector(fields["space origin"])
    flip = np.diag([-1.0, -1, 1, 1]) if "right-anterior" in fields["space"] else np.eye(4)
    labels = _STRUCTURES[raw.astype(np.intp)]
    menisci = np.argwhere(np.isin(labels, [Structure.MEDIAL_MENISCUS, Structure.LATERAL_MENISCUS])).mean(axis=0)
    affine = flip @ affine
    affine[:3, 3] -= (affine @ [*menisci, 1])[:3]
    step = np.linalg.norm(affine[:3, :3], axis=0)
    around = ndimage.distance_transform_edt(labels[::2, ::2, ::2] == 0, step * 2).astype(np.float32)
    return LabelMap(labels, around, np.asarray(np.linalg.inv(affine), dtype=np.float64))


def _type(fields: dict[str, str]) -> str:
    names = {"unsigned char": "u1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "unsigned short": "u2"}
    order = ">" if fields.get("endian") == "big" else "<"
    return order + names[fields["type"]]


def _vector(text: str) -> FloatArray:
    return np.array([float(part) for part in text.strip("()").split(",")])


def make(source: LabelMap, seed: int) -> dataset.Example:
    """One bent and clothed knee, imaged in three planes in two contrasts each."""
    planes = [_plane(source, plane, seed) for plane in PLANES]
    volumes, recoloured, mask, labels = (np.stack([plane[i] for plane in planes]) for i in range(4))
    cells = np.zeros((len(PLANES), SLICES, len(LABELS), CLASS_MAP_ROWS, CLASS_MAP_COLUMNS), dtype=np.uint8)
    nothing = np.zeros(len(LABELS), dtype=np.uint8)
    return dataset.Example(volumes, recoloured, mask, labels, cells, nothing, dataset.regions(labels))


def _plane(source: LabelMap, plane: Plane, seed: int) -> tuple[NDArray[np.uint8], ...]:
    rng = stream(seed, f"series {plane}")
    sequence = (PD_FS, PD_FS, T2_FS, PD, T1)[int(rng.integers(5))]
    protocol = vary(Protocol(plane, sequence, matrix=dataset.MATRIX), rng)
    affine = stack(protocol, rng)
    points = _points(protocol, affine)
    index = _fine(_bent(source, points, stream(seed, "shape")))
    labels = ndimage.map_coordinates(source.labels, index, order=0, mode="nearest")
    tissue = _clothed(source, labels, (points, index), stream(seed, "tissue"))
    grid = model_grid(Volume(np.zeros((protocol.slices, 1, 1)) + np.zeros(_shape(protocol)), affine), mirrored=False)
    images = []
    for signal in (signals(protocol.sequence), dataset.colours(rng)):
        image = degrade(signal[tissue], float(signal[Tissue.MUSCLE] / protocol.muscle_snr), rng)
        images.append(to_model_grid(window_to_uint8(image), grid))
    # the map has no effusion and no ligaments: fluid beside the joint may well be one
    labels = np.where((labels == 0) & (tissue == Tissue.FLUID), UNKNOWN, labels)
    middle = dataset.nearest(labels, grid).astype(np.uint8)
    return images[0], images[1], grid.slice_mask, middle


def _shape(protocol: Protocol) -> tuple[int, int, int]:
    return protocol.slices, protocol.matrix, protocol.matrix


def _points(protocol: Protocol, affine: FloatArray) -> Field:
    """LPS mm of every sample, at every ``COARSE``-th pixel: (3, samples, nodes, nodes)."""
    pixel = np.arange(0, protocol.matrix + COARSE, COARSE, dtype=np.float32)
    s, r, c = np.arange(protocol.slices, dtype=np.float32).reshape(-1, 1, 1), pixel[:, None], pixel[None, :]
    rows = affine.astype(np.float32)
    return np.stack([row[0] * s + row[1] * r + row[2] * c + row[3] for row in rows[:3]])


def _fine(field: Field) -> Field:
    """A smooth field (..., nodes, nodes) at every pixel."""
    weights = interpolation(dataset.MATRIX, field.shape[-1])
    return np.ascontiguousarray(weights @ field @ weights.T)


def _bent(source: LabelMap, points: Field, rng: np.random.Generator) -> Field:
    """Indices into the map for each point: another size, pose and a smooth warp of a few millimetres."""
    size = np.exp(rng.normal(0, 0.06)) * np.exp(rng.normal(0, 0.05, 3))
    linear = source.to_index[:3, :3] @ rotation(rng.normal(0, 0.08, 3)) @ np.diag(1 / size)
    moved = points + _waves(points, rng, amplitude=float(rng.uniform(0.6, 1.8)), count=3)
    moved = moved.reshape(3, -1)
    index = linear.astype(np.float32) @ moved + source.to_index[:3, 3:].astype(np.float32)
    return index.reshape(points.shape)


def _waves(points: Field, rng: np.random.Generator, *, amplitude: float, count: int) -> Field:
    """A smooth random shift in mm along each axis, wavelengths 40-120 mm."""
    shift = np.zeros_like(points)
    for axis in range(3):
        for _ in range(count):
            direction = rng.standard_normal(3)
            direction *= 2 * np.pi / rng.uniform(40, 120) / np.linalg.norm(direction)
            angle = np.tensordot(direction.astype(np.float32), points, 1) + np.float32(rng.uniform(0, 6.3))
            shift[axis] += np.float32(amplitude * rng.normal()) * np.sin(angle)
    return shift


def _clothed(
    source: LabelMap, labels: NDArray[np.uint8], place: tuple[Field, Field], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """A ``Tissue`` for every point: the structures as they are, cortex, and random soft tissue inside a skin."""
    points, index = place
    around = ndimage.map_coordinates(source.around, index / 2, order=1, mode="nearest")
    tissue = _regions(points, rng, _DEEP, pace_mm=float(rng.uniform(14, 30)))
    near = around < np.float32(rng.uniform(2, 6))
    tissue[near] = _regions(points, rng, _NEAR, pace_mm=float(rng.uniform(5, 12)))[near]
    skin = np.hypot(points[0] * np.float32(rng.uniform(0.9, 1.1)), points[1] + np.float32(rng.uniform(-8, 4)))
    skin = _fine(np.float32(rng.uniform(60, 78)) + _waves(points, rng, amplitude=1.5, count=1)[0] - skin)
    tissue[skin < np.float32(rng.uniform(4, 16))] = Tissue.FAT
    tissue[skin < 2] = Tissue.SKIN
    tissue[(skin < 0) & (around > 3)] = Tissue.AIR
    tissue = np.where(labels > 0, _TISSUES[labels], tissue).astype(np.uint8)
    if rng.random() < 0.85:
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3) if rng.random() < 0.5 else (5, 5))
        marrow = (tissue == Tissue.MARROW).astype(np.uint8)
        inner = np.stack([cv2.erode(each, kernel) for each in marrow])
        tissue[(marrow > 0) & (inner == 0)] = Tissue.CORTEX
    return tissue


def _regions(
    points: Field, rng: np.random.Generator, choices: NDArray[np.uint8], *, pace_mm: float
) -> NDArray[np.uint8]:
    """Smooth random regions of the given tissues."""
    shape = (points.shape[1], dataset.MATRIX, dataset.MATRIX)
    best, chosen = np.full(shape, -9, np.float32), np.zeros(shape, np.uint8)
    for tissue in choices:
        field = _waves(points, rng, amplitude=1, count=2)[0] * np.float32(0.5)
        for _ in range(2):
            direction = rng.standard_normal(3) * np.array([1, 1, 0.4]) / pace_mm
            field += np.sin(np.tensordot(direction.astype(np.float32), points, 1) + np.float32(rng.uniform(0, 6.3)))
        field = _fine(field)
        chosen = np.where(field > best, tissue, chosen)
        best = np.maximum(field, best)
    return chosen


def main() -> None:
    """Make the studies that are not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--map", type=Path, default=MAP)
    parser.add_argument("--count", type=int, default=80)
    options = parser.parse_args()
    if not options.map.exists():
        print(f"{options.map} is not there: training goes on without it")
        return
    source = read(options.map)
    for seed in track(
        range(dataset.LABELMAP_SEED, dataset.LABELMAP_SEED + options.count), description="label map studies"
    ):
        path = dataset.DATA / f"{seed:07d}.npz"
        if not path.exists():
            dataset.save(path, make(source, seed))


if __name__ == "__main__":
    main()
