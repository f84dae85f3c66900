"""How the scanner is set: sequence, stack and field of view of one series, with the spread of real protocols.

Nuisance is drawn from its own random stream and never looks at the findings, so no label leaks into noise, field of
view or vendor.
"""

from dataclasses import dataclass, replace

import numpy as np

from services.common.volume import FloatArray, Plane
from tools.phantom.tissues import Sequence

PD_FS = Sequence(3500, 35, 3.0, residual_fat=0.1)
T2_FS = Sequence(4000, 70, 3.0, residual_fat=0.1)
PD = Sequence(3000, 28, 3.0)
T1 = Sequence(600, 12, 3.0)
T2 = Sequence(3200, 100, 3.0)
DESS_1 = Sequence(25, 7.5, 3.0, residual_fat=0.1, flip_degrees=30)
DESS_2 = Sequence(25, 42.5, 3.0, residual_fat=0.1, flip_degrees=30)
SEQUENCES = {"PD-FS": PD_FS, "T2-FS": T2_FS, "PD": PD, "T1": T1, "T2": T2, "DESS-1": DESS_1, "DESS-2": DESS_2}

# direction of a slice's rows and columns in LPS
_ORIENTATION: dict[Plane, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    Plane.SAGITTAL: ((0, 1, 0), (0, 0, -1)),
    Plane.CORONAL: ((1, 0, 0), (0, 0, -1)),
    Plane.AXIAL: ((1, 0, 0), (0, 1, 0)),
}
_CENTRE_MM: dict[Plane, tuple[float, float, float]] = {
    Plane.SAGITTAL: (0, -3, 10),
    Plane.CORONAL: (0, -2, 10),
    Plane.AXIAL: (0, 0, 18),
}


@dataclass(frozen=True)
class Protocol:
    """One series: ``matrix`` pixels square, millimetres, and noise as muscle's signal over its standard deviation."""

    plane: Plane
    sequence: Sequence
    name: str = "PD-FS"
    matrix: int = 320
    slices: int = 28
    field_of_view_mm: float = 160.0
    thickness_mm: float = 3.0
    spacing_mm: float = 3.6
    muscle_snr: float = 18.0
    pixel_bandwidth_hz: float = 290.0
    artefacts: frozenset[str] = frozenset()


def vary(protocol: Protocol, rng: np.random.Generator) -> Protocol:
    """The protocol as another hospital runs it."""
    thickness = float(rng.uniform(2.8, 3.6))
    sequence = replace(
        protocol.sequence,
        repetition_ms=round(protocol.sequence.repetition_ms * float(rng.uniform(0.8, 1.2))),
        echo_ms=round(protocol.sequence.echo_ms * float(rng.uniform(0.85, 1.15))),
        field_tesla=float(rng.choice([1.5, 3.0])),
        residual_fat=protocol.sequence.residual_fat * float(rng.uniform(0.5, 1.6))
        if protocol.sequence.residual_fat < 1
        else 1.0,
    )
    return replace(
        protocol,
        sequence=sequence,
        slices=int(rng.integers(24, 33)),
        field_of_view_mm=float(np.round(rng.uniform(150, 168))),
        thickness_mm=round(thickness, 1),
        spacing_mm=round(thickness * float(rng.uniform(1.0, 1.2)) + 0.15, 1),
        muscle_snr=float(rng.uniform(9, 28)),
    )


def stack(protocol: Protocol, rng: np.random.Generator) -> FloatArray:
    """Affine, index ``(slice, row, column, 1)`` -> knee-centred LPS mm, slightly oblique, in either slice order."""
    along_rows, along_columns = (np.asarray(v, dtype=np.float64) for v in _ORIENTATION[protocol.plane])
    turn = rotation(rng.normal(0, 0.035, 3))
    along_rows, along_columns = turn @ along_rows, turn @ along_columns
    normal = np.cross(along_rows, along_columns) * rng.choice([-1.0, 1.0])
    pixel = protocol.field_of_view_mm / protocol.matrix
    affine = np.eye(4)
    affine[:3, :3] = np.stack([normal * protocol.spacing_mm, along_columns * pixel, along_rows * pixel], axis=1)
    middle = (np.array([protocol.slices, protocol.matrix, protocol.matrix]) - 1) / 2
    centre = np.asarray(_CENTRE_MM[protocol.plane]) + rng.normal(0, 2.5, 3)
    affine[:3, 3] = centre - affine[:3, :3] @ middle
    return affine


def rotation(angles: FloatArray) -> FloatArray:
    """Rotation matrix of small angles about x, y, z in radians."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    turned: FloatArray = about_z @ about_y @ about_x
    return turned
