"""Everything around the joint: skin, fat, muscles, vessels and tendons.

A model that never saw muscle beside bone takes it for bone on a real scan, so the surroundings matter as much as the
joint itself.
"""

import numpy as np

from tools.phantom.anatomy import Anatomy
from tools.phantom.scene import Scene
from tools.phantom.shapes import Field, Points, Vector, band, capsule
from tools.phantom.tissues import Tissue

_Tube = tuple[Vector, Vector, tuple[float, float]]

# start, end, radii at both: gastrocnemius, semimembranosus, biceps, vasti, sartorius, popliteus/soleus, tibialis
MUSCLES: tuple[_Tube, ...] = (
    ((20, 44, 24), (22, 44, -140), (12, 26)),
    ((-22, 44, 22), (-22, 44, -140), (11, 24)),
    ((29, 40, 26), (20, 34, 150), (11, 24)),
    ((-36, 30, 14), (-26, 36, 150), (9, 22)),
    ((33, -18, 42), (26, -16, 150), (10, 34)),
    ((-32, -18, 54), (-28, -14, 150), (9, 34)),
    ((45, 22, 0), (42, 18, 150), (8, 11)),
    ((-6, 27, -20), (0, 26, -140), (10, 28)),
    ((-26, -8, -30), (-26, -8, -140), (9, 24)),
)
POPLITEAL: tuple[tuple[_Tube, Tissue], ...] = (
    (((-2, 42, -130), (0, 42, 150), (3.2, 3.6)), Tissue.VOID),
    (((-6, 48, -130), (-4, 48, 150), (3.6, 4.4)), Tissue.VEIN),
    (((-9, 53, -130), (-6, 53, 150), (2.6, 3.2)), Tissue.NERVE),
    (((50, 20, -130), (50, 26, 150), (1.6, 1.9)), Tissue.VEIN),
)


def leg(p: Points, a: Anatomy) -> Field:
    """Distance to the skin."""
    swell = 1 + p.z * np.float32(0.0012)
    u = np.abs(p.x) / (np.float32(a.leg_radius + 2) * swell)
    v = np.abs(p.y - 3) / (np.float32(a.leg_radius + 6) * swell)
    return ((u * u * u + v * v * v + np.float32(1e-9)) ** np.float32(1 / 3) - 1) * np.float32(a.leg_radius)


def paint_surroundings(scene: Scene) -> None:
    """Skin, fat, muscles and vessels of the whole field of view."""
    everything = scene.block(((-500, -500, -500), (500, 500, 500)))
    a, skin = scene.knee.anatomy, leg(scene.points, scene.knee.anatomy)
    scene.paint(everything, skin, Tissue.SKIN)
    scene.paint(everything, skin + np.float32(1.9), Tissue.FAT)
    deep = skin + np.float32(a.subcutaneous_fat * 0.6 + 2)
    for start, end, radii in MUSCLES:
        block = scene.block(_around(start, end, max(radii) + 3))
        p = scene.points.crop(block)
        distance = capsule(p, start, end, (radii[0] * a.muscle, radii[1] * a.muscle))
        scene.paint(block, np.maximum(distance, deep[block]), Tissue.MUSCLE)
    for (start, end, radii), tissue in POPLITEAL:
        block = scene.block(_around(start, end, max(radii) + 1))
        distance = capsule(scene.points.crop(block), start, end, radii)
        scene.paint(block, np.maximum(distance, skin[block] + 3), tissue)


def paint_tendons(scene: Scene) -> None:
    """Quadriceps and patellar tendon, iliotibial band, collateral ligaments."""
    a = scene.knee.anatomy
    back, top = -31 - a.patella_radii[1], a.patella_height
    patellar = ((-2, back - 3, top - 18), (-3, -33, -26))
    quadriceps = ((-2, back - 2, top + 16), (0, back + 2, 150))
    for ends, radii, flat in (
        (patellar, (2.4, 2.4), (0.19, 1.0, 1.0)),
        (quadriceps, (3.4, 4.0), (0.2, 1.0, 1.0)),
        (((-42, -12, 60), (-36, -24, -12)), (1.2, 1.4), (1.0, 0.2, 1.0)),
        (((-41, 6, 34), (-35, 16, -14)), (1.8, 1.8), (1.0, 1.0, 1.0)),
    ):
        block = scene.block(_around(ends[0], ends[1], 18))
        scene.paint(block, band(scene.points.crop(block), ends, radii=radii, flat=flat), Tissue.TENDON)
    block = scene.block(MCL_BOX)
    scene.paint(block, mcl(scene.points.crop(block), 1.5), Tissue.TENDON)


MCL_BOX = ((24, -16, -64), (56, 20, 50))


def mcl(p: Points, half_thickness: float) -> Field:
    """The medial collateral ligament: a band over both bones, 12 mm wide."""
    radii, flat = (half_thickness, half_thickness), (1.0, 0.25, 1.0)
    upper = band(p, ((43, 2, 34), (41.5, 2, 4)), radii=radii, flat=flat)
    middle = band(p, ((41.5, 2, 4), (38, -1, -18)), radii=radii, flat=flat)
    lower = band(p, ((38, -1, -18), (26, -4, -52)), radii=radii, flat=flat)
    return np.minimum(np.minimum(upper, middle), lower)


def _around(start: Vector, end: Vector, reach: float) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    low = np.minimum(start, end) - reach
    high = np.maximum(start, end) + reach
    return (float(low[0]), float(low[1]), float(low[2])), (float(high[0]), float(high[1]), float(high[2]))
