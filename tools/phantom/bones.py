"""Femur, tibia, patella and fibula of the canonical right knee, as signed distances.

Origin: middle of the tibial plateau. The condyles are circles swept across (radius 19-20 mm behind, a longer ellipse in
front), the plateau is a superellipse with a concave medial and a convex lateral side.
"""

import numpy as np

from tools.phantom.anatomy import Anatomy
from tools.phantom.shapes import Field, Points, capsule, cut, ellipsoid, join, path, smoothstep

FEMUR_BOX = ((-50, -50, -2), (50, 46, 150))
TIBIA_BOX = ((-48, -46, -130), (48, 46, 14))
PATELLA_BOX = ((-30, -66, 0), (30, -18, 66))
FIBULA_BOX = ((-48, 0, -130), (-14, 34, -2))


def condyle_profile(p: Points, radius: float, bottom: float) -> Field:
    """Distance in the sagittal plane to the profile of one condyle, whatever x."""
    circle = np.hypot(p.y - np.float32(10), p.z - np.float32(bottom + radius)) - np.float32(radius)
    u, v = (p.y + 4) / np.float32(29), (p.z - np.float32(bottom + 27)) / np.float32(27)
    ellipse = (np.sqrt(u * u + v * v) - 1) * np.float32(27)
    return join(circle, ellipse, 6)


def femur(p: Points, a: Anatomy) -> Field:
    """The femur."""
    bottom = a.gap
    lateral = _swept(p, condyle_profile(p, a.lateral_radius, bottom), (-24, 13.5))
    medial = _swept(p, condyle_profile(p, a.medial_radius, bottom), (24, 13.5))
    body = ellipsoid(p, (0, -7, bottom + 33), (37, 25, 26))
    shaft = path(p, ((0, -7, bottom + 38), (0, -9, 80), (0, -10, 160)), (28, 16, 14))
    bone = join(join(join(lateral, medial, 4), body, 6), shaft, 12)
    bone = join(bone, ellipsoid(p, (36, 2, bottom + 28), (6, 9, 9)), 6)
    bone = join(bone, ellipsoid(p, (-36, 4, bottom + 26), (5, 8, 8)), 6)
    return cut(cut(bone, _notch(p, a), 4), _groove(p, a), 5)


def _swept(p: Points, profile: Field, place: tuple[float, float]) -> Field:
    """Sweep a sagittal profile across x = centre +- half width with round edges."""
    edge = np.float32(11)
    across = np.abs(p.x - np.float32(place[0])) - np.float32(place[1]) + edge
    return (
        np.hypot(np.maximum(profile + edge, 0), np.maximum(across, 0))
        - edge
        + np.minimum(np.maximum(profile + edge, across), 0)
    )


def _notch(p: Points, a: Anatomy) -> Field:
    """The intercondylar notch: open below and behind, its roof rising to the back."""
    roof = (p.z - 24 - np.float32(0.62) * (p.y - 4)) * np.float32(0.85)
    return np.maximum(np.abs(p.x + 1) - np.float32(a.notch_half_width), np.maximum(roof, -p.y - 19))


def _groove(p: Points, a: Anatomy) -> Field:
    """The trochlear groove: a ring around the axis of the condyles, cut into the front."""
    round_mm = np.hypot(p.y + 4, p.z - np.float32(a.gap + 29))
    ring = np.hypot(round_mm - np.float32(28 + 18), (p.x + 2) * np.float32(0.85)) - np.float32(18 + a.groove_depth)
    return np.maximum(np.maximum(ring, p.y + 6), p.z - np.float32(a.gap + 42))


def plateau_top(p: Points, a: Anatomy) -> Field:
    """Height of the bony tibial surface over (x, y)."""
    medial = ((p.x - 21) ** 2 + p.y * p.y) / 150 - np.float32(1.4)
    lateral = -(p.y * p.y) / 160 + np.float32(0.2)
    share = smoothstep(p.x, -6, 6)
    top = lateral + (medial - lateral) * share
    eminences = 7 * np.exp(-(((p.x - 5) / 4) ** 2 + ((p.y - 2) / 9) ** 2)) + 6 * np.exp(
        -(((p.x + 6) / 4) ** 2 + ((p.y - 3) / 8) ** 2)
    )
    return (top + eminences - np.float32(a.slope) * p.y).astype(np.float32)


def tibia(p: Points, a: Anatomy) -> Field:
    """The tibia."""
    taper = np.float32(0.36) + np.float32(0.64) * smoothstep(p.z, -72, -8)
    u, v = np.abs(p.x) / 38, np.abs(p.y - 1 + (1 - taper) * 10) / 26.5
    radius = (u**2.5 + v**2.5 + np.float32(1e-9)) ** np.float32(0.4)
    side = (radius - taper) * np.float32(29)
    back = np.hypot(p.x * np.float32(0.8), p.y - 34) - np.float32(12)
    bone = -join(-side, -(p.z - plateau_top(p, a)), 3)
    bone = cut(bone, np.maximum(back, -p.z - 25), 4)
    return join(bone, ellipsoid(p, (-2, -24, -32), (9, 7, 14)), 6)


def fibula(p: Points) -> Field:
    """The fibula."""
    return path(p, ((-33, 16, -19), (-31, 19, -38), (-29, 18, -140)), (8.5, 5.5, 6.5))


def patella(p: Points, a: Anatomy, femur_mm: Field) -> Field:
    """The patella: an ellipsoid whose back follows the trochlea at a constant distance."""
    centre_y = -31 - a.patella_radii[1]
    bone = ellipsoid(p, (-2, centre_y, a.patella_height), a.patella_radii)
    apex = capsule(p, (-2, centre_y - 1, a.patella_height - 14), (-2, centre_y + 1, a.patella_height - 23), (9, 4))
    facing = np.float32(a.patellar_cartilage + a.femoral_cartilage + 0.7)
    return cut(join(bone, apex, 5), femur_mm - facing, 2)
