"""Wear and fluid: the findings that change the joint's shape while it is drawn, not after.

Osteoarthritis of a compartment is cartilage loss, bone spurs, marrow oedema and an extruded meniscus; effusion is a
wider pouch. The other findings are painted over the finished joint (``lesions``).
"""

import numpy as np

from tools.phantom.anatomy import Knee
from tools.phantom.scene import Box, Scene
from tools.phantom.shapes import Block, Field, Points, ellipsoid, join
from tools.phantom.tissues import Tissue

COMPARTMENTS = {"Medial OA": 1.0, "Lateral OA": -1.0}


def fluid_half_thickness(knee: Knee) -> float:
    """Half the thickness of the suprapatellar fluid: below 2 mm is normal."""
    draw = knee.stream("Effusion").uniform(3.2, 8.5)
    if "Effusion" in knee.findings:
        return float(draw)
    return max(knee.anatomy.free_fluid, 2.6 if "Synovitis" in knee.findings else 0.0)


def extrusion(knee: Knee, finding: str) -> float:
    """How far the meniscus of a compartment is pushed out, in mm."""
    draw = knee.stream(f"extrusion {finding}").uniform(1.5, 4.0)
    return float(draw) if finding in knee.findings else 0.0


def grow_spurs(scene: Scene, femur: Field, tibia: Field, patella: Field) -> None:
    """Join osteophytes to the rims of the compartments that are worn, in place."""
    for finding, side in COMPARTMENTS.items():
        rng = scene.knee.stream(f"spurs {finding}")
        for y in (-12.0, 2.0, 14.0):
            size = float(rng.uniform(2.5, 5.5))
            if finding in scene.knee.findings:
                _spur(scene, tibia, (side * (37 + size * 0.3), y, -2.0), (size, finding))
                _spur(scene, femur, (side * (36 + size * 0.3), y + 2, 13.0), (size, finding))
    rng, a = scene.knee.stream("spurs PF OA"), scene.knee.anatomy
    for x, dz in ((-22.0, 0.0), (20.0, 0.0), (-2.0, 20.0), (-2.0, -20.0)):
        size = float(rng.uniform(2.5, 4.5))
        if "PF OA" in scene.knee.findings:
            _spur(scene, patella, (x, -29 - a.patella_radii[1] * 0.6, a.patella_height + dz), (size, "PF OA"))


def _spur(scene: Scene, bone: Field, centre: tuple[float, float, float], spur: tuple[float, str]) -> None:
    size, finding = spur
    block = scene.block(_box(centre, size + 3))
    if bone[block].size:
        bump = ellipsoid(scene.points.crop(block), centre, (size, size * 1.1, size * 0.8))
        scene.cloud(block, (bump < 0).astype(np.float32) * np.float32(0.3), Tissue.CORTEX, finding)
        bone[block] = join(bone[block], bump, 2)


def worn(scene: Scene, block: Block, femoral: Field, tibial: Field) -> tuple[Field, Field, Field]:
    """Femoral, tibial and patellar cartilage thickness after wear."""
    p, knee = scene.points.crop(block), scene.knee
    keep = np.ones_like(femoral)
    for finding in COMPARTMENTS:
        if finding in knee.findings:
            keep = keep * (1 - _loss(p, knee, finding))
    patellofemoral = 1 - _loss(p, knee, "PF OA") if "PF OA" in knee.findings else np.ones_like(femoral)
    patellar = np.float32(knee.anatomy.patellar_cartilage) * patellofemoral
    return femoral * keep * patellofemoral, tibial * keep, patellar


def _loss(p: Points, knee: Knee, finding: str) -> Field:
    """Share of the cartilage that is lost, a smooth patch of 0..1."""
    rng = knee.stream(f"loss {finding}")
    depth, reach = rng.uniform(0.75, 1.0), rng.uniform(0.8, 1.3)
    if finding == "PF OA":
        centre, size = (rng.uniform(-14, 10), -34.0, knee.anatomy.patella_height), (13.0, 12.0, 13.0)
    else:
        centre, size = (COMPARTMENTS[finding] * 22, rng.uniform(-6, 8), 3.0), (11.0, 15.0, 12.0)
    u, v, w = (
        (a - np.float32(c)) / np.float32(s * reach) for a, c, s in zip((p.x, p.y, p.z), centre, size, strict=True)
    )
    patch: Field = np.clip(np.float32(1.9) * np.exp(-((u * u + v * v + w * w) ** 2)), 0, depth).astype(np.float32)
    return patch


def mark(scene: Scene, block: Block, *, whole: tuple[Field, Field], bones: tuple[Field, Field, Field]) -> None:
    """Fill the lost cartilage with fluid, and put oedema, a cyst and sclerosis into the bone below."""
    p, knee = scene.points.crop(block), scene.knee
    femur, tibia, patella = bones
    for finding in (*COMPARTMENTS, "PF OA"):
        if finding not in knee.findings:
            continue
        loss, rng = _loss(p, knee, finding), knee.stream(f"marrow {finding}")
        if finding == "PF OA":
            pairs = ((femur, whole[0]), (patella, np.full_like(femur, knee.anatomy.patellar_cartilage)))
        else:
            pairs = ((femur, whole[0]), (tibia, whole[1]))
        for bone, thickness in pairs:
            lost = np.maximum(np.maximum(-bone, bone - thickness), (np.float32(0.35) - loss) * 6)
            scene.lesion(block, lost, Tissue.FLUID, finding, 0.85)
            below = np.exp(-((bone / np.float32(rng.uniform(5, 9))) ** 2)) * (bone < -1) * loss
            scene.cloud(block, below * np.float32(rng.uniform(0.45, 0.7)), Tissue.OEDEMA, finding)
            rim = np.maximum(np.abs(bone + 1.5) - 1, (np.float32(0.5) - loss) * 6)
            scene.lesion(block, rim, Tissue.SCLEROSIS, finding, 0.7)


def _box(centre: tuple[float, float, float], reach: float) -> Box:
    x, y, z = centre
    return (x - reach, y - reach, z - reach), (x + reach, y + reach, z + reach)
