"""A stack of parallel slices with its place in the patient.

Arrays are ``(slice, row, column)``; patient coordinates are LPS millimetres (x to the patient's left, y to posterior,
z to the head: DICOM PS3.3 C.7.6.2). An affine maps the *index* ``(slice, row, column, 1)`` to ``(x, y, z, 1)``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class Plane(StrEnum):
    """Anatomical plane; the order of the members is the model's slot order."""

    SAGITTAL = "sagittal"
    CORONAL = "coronal"
    AXIAL = "axial"


PLANES = tuple(Plane)


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels ``(slice, row, column)`` of any integer or float type, and the 4x4 affine index -> LPS mm."""

    voxels: NDArray[np.generic]
    affine: FloatArray

    @property
    def spacing_mm(self) -> FloatArray:
        """Distance between neighbours along (slice, row, column)."""
        spacing: FloatArray = np.linalg.norm(self.affine[:3, :3], axis=0)
        return spacing

    @property
    def plane(self) -> Plane:
        """The anatomical plane nearest to the slices."""
        return nearest_plane(self.affine[:3, 1], self.affine[:3, 2])


def nearest_plane(along_rows: FloatArray, along_columns: FloatArray) -> Plane:
    """The anatomical plane spanned best by two in-plane direction vectors (LPS, any length)."""
    normal = np.abs(np.cross(along_columns, along_rows))
    return (Plane.SAGITTAL, Plane.CORONAL, Plane.AXIAL)[int(np.argmax(normal))]


def slice_normal(image_orientation_patient: Sequence[float]) -> FloatArray:
    """Unit normal of a slice: row cosines x column cosines (PS3.3 C.7.6.2.1.1)."""
    cosines = np.asarray(image_orientation_patient, dtype=np.float64)
    normal: FloatArray = np.cross(cosines[:3], cosines[3:])
    return normal


def stack_affine(
    image_orientation_patient: Sequence[float],
    pixel_spacing_mm: Sequence[float],
    *,
    first_position: Sequence[float],
    last_position: Sequence[float],
    slices: int,
) -> FloatArray:
    """Affine ``(slice, row, column, 1) -> LPS mm`` of slices spaced evenly from the first to the last position.

    ``pixel_spacing_mm`` is DICOM's (between rows, between columns). One slice gets 1 mm along the normal.
    """
    cosines = np.asarray(image_orientation_patient, dtype=np.float64)
    step = (np.asarray(last_position, dtype=np.float64) - first_position) / max(slices - 1, 1)
    affine = np.eye(4)
    affine[:3, 0] = step if slices > 1 else slice_normal(image_orientation_patient)
    affine[:3, 1] = cosines[3:] * pixel_spacing_mm[0]
    affine[:3, 2] = cosines[:3] * pixel_spacing_mm[1]
    affine[:3, 3] = first_position
    return affine
