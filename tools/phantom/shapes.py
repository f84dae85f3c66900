"""Signed distances of simple solids, from which the whole knee is built.

Every function takes points in knee millimetres and returns distances in millimetres, negative inside. They are
approximate away from the surface, which is enough: only the sign and a few millimetres around zero are used.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Vector = Sequence[float]
Block = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Points:
    """Knee coordinates of sample points: x to medial, y to posterior, z to the head; three arrays of one shape."""

    x: Field
    y: Field
    z: Field

    def crop(self, block: Block) -> "Points":
        """The points of one index block."""
        return Points(self.x[block], self.y[block], self.z[block])


def ellipsoid(p: Points, centre: Vector, radii: Vector) -> Field:
    """Ellipsoid with axes along x, y, z."""
    u, v, w = ((a - np.float32(c)) / np.float32(r) for a, c, r in zip((p.x, p.y, p.z), centre, radii, strict=True))
    inner = np.sqrt(u * u + v * v + w * w)
    u, v, w = u / np.float32(radii[0]), v / np.float32(radii[1]), w / np.float32(radii[2])
    return inner * (inner - 1) / (np.sqrt(u * u + v * v + w * w) + np.float32(1e-6))


def capsule(p: Points, start: Vector, end: Vector, radii: tuple[float, float]) -> Field:
    """Round cone from ``start`` to ``end``; ``radii`` at the two ends."""
    return band(p, (start, end), radii=radii, flat=(1.0, 1.0, 1.0))


def band(p: Points, ends: tuple[Vector, Vector], *, radii: tuple[float, float], flat: Vector) -> Field:
    """Round cone whose width along each axis is divided by ``flat`` (0.2 along x: five times as wide in x)."""
    scale = np.asarray(flat, dtype=np.float32)
    start = np.asarray(ends[0], dtype=np.float32) * scale
    axis = np.asarray(ends[1], dtype=np.float32) * scale - start
    x, y, z = p.x * scale[0] - start[0], p.y * scale[1] - start[1], p.z * scale[2] - start[2]
    along = np.clip((x * axis[0] + y * axis[1] + z * axis[2]) / np.float32(axis @ axis), 0, 1)
    x, y, z = x - along * axis[0], y - along * axis[1], z - along * axis[2]
    return np.sqrt(x * x + y * y + z * z) - np.float32(radii[0]) - np.float32(radii[1] - radii[0]) * along


def path(p: Points, nodes: Sequence[Vector], radii: Sequence[float]) -> Field:
    """Round cones along a polyline."""
    parts = [capsule(p, nodes[i], nodes[i + 1], (radii[i], radii[i + 1])) for i in range(len(nodes) - 1)]
    return np.minimum.reduce(parts)


def slab(p: Points, through: Vector, normal: Vector, thickness_mm: float) -> Field:
    """Plane with a thickness; ``normal`` needs no unit length."""
    n = np.asarray(normal, dtype=np.float32) / np.float32(np.linalg.norm(normal))
    distance = (p.x - np.float32(through[0])) * n[0] + (p.y - np.float32(through[1])) * n[1]
    return np.abs(distance + (p.z - np.float32(through[2])) * n[2]) - np.float32(thickness_mm / 2)


def join(a: Field, b: Field, blend_mm: float) -> Field:
    """Union with a fillet."""
    h = np.clip(0.5 + (b - a) * np.float32(0.5 / blend_mm), 0, 1)
    return b + (a - b) * h - np.float32(blend_mm) * h * (1 - h)


def cut(a: Field, b: Field, blend_mm: float) -> Field:
    """``a`` without ``b``, with a fillet."""
    return -join(-a, b, blend_mm)


def smoothstep(value: Field, low: float, high: float) -> Field:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((value - np.float32(low)) / np.float32(high - low), 0, 1)
    return t * t * (3 - 2 * t)


def coverage(distance: Field, softness_mm: float) -> Field:
    """Share of a pixel that lies inside, from the distance at its centre."""
    return np.clip(np.float32(0.5) - distance / np.float32(softness_mm), 0, 1)
