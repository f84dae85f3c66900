"""Two bones and the cartilage between them as formulas, and what a segmentation would say of a series of them."""

from dataclasses import dataclass

import numpy as np

from services.common.finding import Structure
from services.common.tensors import COLUMNS, ROWS
from services.common.transforms import model_grid
from services.common.volume import Plane, Volume, slice_normal, stack_affine
from services.preprocessing.segmented import Segmented
from tests.studies import COSINES

CARTILAGE = Structure.MEDIAL_TIBIAL_CARTILAGE
FEMUR_MM, TIBIA_MM = (33.0, 26.0, 40.0), (34.0, 24.0, 44.0)


@dataclass(frozen=True)
class DrawnKnee:
    """Where the joint is in LPS, and how large everything is."""

    centre: tuple[float, float, float] = (5.0, -12.0, 30.0)
    size: float = 1.0

    def depths(self, points: np.ndarray) -> dict[Structure, np.ndarray]:
        """How deep points (..., 3) lie in each structure, in mm; negative outside."""
        x, y, z = np.moveaxis(points - self.centre, -1, 0)
        femur = self._ellipsoid(x, y + 3, z - 42 * self.size, FEMUR_MM)
        tibia = np.minimum(self._ellipsoid(x - 2, y, z + 30 * self.size, TIBIA_MM), -z)
        cartilage = np.minimum.reduce([z, 2 - z, 18 - np.hypot(x, y)])
        return {Structure.FEMUR: femur, Structure.TIBIA: tibia, CARTILAGE: cartilage}

    def _ellipsoid(self, x, y, z, radii):
        a, b, c = np.multiply(radii, self.size)
        return (1 - np.sqrt((x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2)) * min(a, b, c)

    def labels(self, points: np.ndarray) -> np.ndarray:
        """The structure at each point (..., 3)."""
        found = np.zeros(points.shape[:-1], np.uint8)
        for structure, depth in self.depths(points).items():
            found[depth > 0] = structure
        return found


def stack(plane: Plane, *, slices: int = 28, pixels: int = 320, pixel_mm: float = 0.45, turned: bool = False) -> Volume:
    """A series around the drawn knee without any signal; ``turned`` swaps its rows and columns."""
    cosines = np.array(COSINES[plane])
    if turned:
        cosines = np.concatenate([cosines[3:], cosines[:3]])
    normal, gap = slice_normal(cosines), 90 / slices
    middle = np.array(DrawnKnee().centre) - (cosines[:3] + cosines[3:]) * pixel_mm * (pixels - 1) / 2
    first, last = middle - normal * gap * (slices - 1) / 2, middle + normal * gap * (slices - 1) / 2
    spacing = (pixel_mm, pixel_mm)
    affine = stack_affine(cosines, spacing, first_position=first, last_position=last, slices=slices)
    return Volume(np.zeros((slices, pixels, pixels), np.uint8), affine)


def points_of(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """LPS of every voxel: (*shape, 3)."""
    return np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]


def segmented(
    volume: Volume, knee: DrawnKnee, *, mirrored: bool = False, per_mm: float = 8.0, blind: float = 0.0
) -> Segmented:
    """What a segmentation says: logits grow by ``per_mm`` with the depth, and cartilage's are ``blind`` lower."""
    grid = model_grid(volume, mirrored=mirrored).woven()
    to_patient = volume.affine @ grid.affine
    shape = (len(grid.slice_mask), ROWS, COLUMNS)
    depths = knee.depths(points_of(to_patient, shape))
    drawn = np.array([0, *depths], np.uint8)
    logits = np.stack([np.zeros(shape), *(np.clip(depth * per_mm, -30, 30) for depth in depths.values())])
    logits[drawn == CARTILAGE] -= blind
    order = np.argsort(logits, axis=0)
    labels, runner_up = drawn[order[-1]], drawn[order[-2]]
    first, second = np.sort(logits, axis=0)[[-1, -2]]
    certainty = np.rint(255 / (1 + np.exp(second - first))).astype(np.uint8)
    certainty[grid.slice_mask == 0] = 255
    labels[grid.slice_mask == 0] = 0
    return Segmented(grid, to_patient, labels, runner_up, certainty, np.ones(14, np.float32))
