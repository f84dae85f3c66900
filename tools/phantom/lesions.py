"""Findings painted over the finished joint, by published sizes and looks.

Each finding has its own random stream, so it looks the same in every series of the study, and the knee below it is the
same knee with or without it. The mimics at the end are drawn into every knee, whatever its labels.
"""

import numpy as np

from tools.phantom.joint import ACL_NODES, Joint, acl
from tools.phantom.scene import Box, Scene
from tools.phantom.shapes import Field, Points, capsule, ellipsoid, slab, smoothstep
from tools.phantom.surroundings import MCL_BOX, mcl
from tools.phantom.tissues import Tissue

Place = tuple[float, float, float]
MENISCUS_BOX = ((-44, -26, -8), (44, 30, 18))
_OVER_BONE: tuple[Place, ...] = ((24, -6, 20), (-24, -4, 20), (24, 14, 22), (-24, 14, 22), (26, 4, -12), (-26, 10, -12))


def paint_lesions(scene: Scene, joint: Joint) -> None:
    """Paint every finding of the knee that is not part of its shape, then the mimics."""
    found = scene.knee.findings
    _mimics(scene, joint)
    if "ACL" in found:
        _acl(scene, joint)
    if "MCL" in found:
        _mcl(scene)
    for name, distance in (("Medial Meniscus", joint.medial_meniscus), ("Lateral Meniscus", joint.lateral_meniscus)):
        if name in found:
            _meniscus(scene, distance, name)
    if "Effusion" in found:
        block = scene.block(((-52, -64, 0), (52, 14, 112)))
        scene.lesion(block, joint.pouch[block], Tissue.FLUID, "Effusion", 0.3)
    if "Synovitis" in found:
        _synovitis(scene, joint)
    if "Baker's" in found:
        _baker(scene)
    if "Contusion" in found:
        _contusion(scene, joint)
    if "Fracture" in found:
        _fracture(scene, joint)


def _acl(scene: Scene, joint: Joint) -> None:
    """A complete tear (swollen, with a gap) or a partial one (thick and bright)."""
    rng = scene.knee.stream("ACL lesion")
    complete, swelling = rng.random() < 0.65, rng.uniform(1.25, 1.6)
    block = scene.block(((-20, -18, -8), (18, 28, 38)))
    p, bone = scene.points.crop(block), np.minimum(joint.femur[block], joint.tibia[block])
    mass = np.maximum(acl(p, float(swelling)), -bone + np.float32(0.5))
    scene.lesion(block, mass, Tissue.TORN, "ACL", 0.92 if complete else 0.75)
    if complete:
        middle = np.asarray(ACL_NODES[1]) + rng.normal(0, 2, 3)
        gap = ellipsoid(p, middle.tolist(), (6, rng.uniform(3.5, 6), rng.uniform(3.5, 6)))
        scene.lesion(block, np.maximum(gap, -bone + np.float32(0.5)), Tissue.FLUID, "ACL", 0.8)


def _mcl(scene: Scene) -> None:
    """Fluid along and inside the medial band."""
    rng = scene.knee.stream("MCL lesion")
    block = scene.block(MCL_BOX)
    p = scene.points.crop(block)
    sheath = mcl(p, float(rng.uniform(3.0, 5.0)))
    low, high = rng.uniform(-40, -10), rng.uniform(24, 42)
    sheath = np.maximum(sheath, np.maximum(p.z - np.float32(high), np.float32(low) - p.z))
    kept = 0.0 if rng.random() < 0.4 else 1.2
    ligament = mcl(p, kept) if kept else np.full_like(sheath, 9)
    scene.lesion(block, np.maximum(sheath, -ligament), Tissue.FLUID, "MCL", float(rng.uniform(0.55, 0.85)))


def _meniscus(scene: Scene, distance: Field, name: str) -> None:
    """A tear that reaches the surface: horizontal, oblique, vertical or radial, mostly in the posterior horn."""
    rng = scene.knee.stream(f"{name} lesion")
    side = 1.0 if name.startswith("Medial") else -1.0
    block = scene.block(MENISCUS_BOX)
    p, own = scene.points.crop(block), distance[block]
    angle = rng.choice([rng.uniform(0.5, 1.2), rng.uniform(-0.4, 0.4), rng.uniform(-1.2, -0.5)], p=[0.6, 0.3, 0.1])
    x, y = side * (21 + 11 * np.cos(angle)), 1 + (16 if side > 0 else 13) * np.sin(angle)
    through = (float(x), float(y), float(scene.knee.anatomy.tibial_cartilage + 2.2 - scene.knee.anatomy.slope * y))
    tilt, turn = rng.choice([rng.uniform(0, 0.4), rng.uniform(0.5, 1.0), 1.57]), rng.uniform(0, 2 * np.pi)
    normal = (np.sin(tilt) * np.cos(turn), np.sin(tilt) * np.sin(turn), np.cos(tilt))
    reach = rng.uniform(7, 13)
    within = ellipsoid(p, through, (reach, reach, 9))
    for extra in range(1 + int(rng.random() < 0.35)):
        plane = slab(p, through, np.roll(normal, extra).tolist(), float(rng.uniform(1.1, 2.2)))
        tear = np.maximum(np.maximum(plane, own - np.float32(0.3)), within)
        scene.lesion(block, tear, Tissue.FLUID, name, float(rng.uniform(0.7, 1.0)))
    scene.lesion(block, np.maximum(own, within + 2), Tissue.MUCOID, name, 0.5)


def _synovitis(scene: Scene, joint: Joint) -> None:
    """A thick grey rim of the pouch, fronds inside and haze in the fat pad."""
    rng = scene.knee.stream("Synovitis lesion")
    block = scene.block(((-54, -66, -6), (54, 16, 114)))
    p, pouch = scene.points.crop(block), joint.pouch[block]
    bone = np.minimum(np.minimum(joint.femur[block], joint.tibia[block]), joint.patella[block])
    half = float(rng.uniform(1.0, 2.0))
    rim = np.maximum(np.abs(pouch - np.float32(0.3)) - np.float32(half), -bone)
    scene.lesion(block, rim, Tissue.SYNOVIUM, "Synovitis", 0.9)
    fronds = np.sin(p.x * np.float32(0.9)) * np.sin(p.z * np.float32(0.8)) * np.sin(p.y * np.float32(1.1))
    scene.lesion(block, np.maximum(pouch, (np.float32(0.3) - fronds) * 3), Tissue.SYNOVIUM, "Synovitis", 0.8)
    haze = np.exp(-(((p.x + 2) / 16) ** 2 + ((p.y + 30) / 6) ** 2 + ((p.z - 6) / 9) ** 2)) * (bone > 2)
    scene.cloud(block, haze * np.float32(rng.uniform(0.35, 0.65)), Tissue.SYNOVIUM, "Synovitis")


def _baker(scene: Scene) -> None:
    """A sac between semimembranosus and the medial gastrocnemius, with a neck to the joint."""
    rng = scene.knee.stream("Baker's lesion")
    centre = (float(rng.uniform(20, 28)), float(rng.uniform(43, 48)), float(rng.uniform(-8, 14)))
    radii = (float(rng.uniform(7, 13)), float(rng.uniform(6, 10)), float(rng.uniform(13, 25)))
    block = scene.block(((2, 24, -42), (48, 66, 46)))
    p = scene.points.crop(block)
    sac = np.minimum(ellipsoid(p, centre, radii), capsule(p, (19, 30, 12), centre, (2.0, 3.5)))
    scene.lesion(block, sac, Tissue.FLUID, "Baker's", 1.0)


def _contusion(scene: Scene, joint: Joint) -> None:
    """One to three fuzzy clouds of oedema under the surface of femur or tibia."""
    rng = scene.knee.stream("Contusion lesion")
    for index in rng.permutation(len(_OVER_BONE))[: int(rng.integers(1, 4))]:
        centre = np.asarray(_OVER_BONE[index]) + rng.normal(0, 2.5, 3)
        radius, strength = float(rng.uniform(8, 15)), float(rng.uniform(0.5, 0.8))
        block = scene.block(_around(centre, radius * 1.6))
        p, bone = scene.points.crop(block), np.minimum(joint.femur[block], joint.tibia[block])
        squared = ((p.x - centre[0]) ** 2 + (p.y - centre[1]) ** 2 + (p.z - centre[2]) ** 2) / radius**2
        texture = 1 + 0.25 * np.sin(p.x * np.float32(0.8)) * np.sin(p.y * np.float32(0.7) + p.z * np.float32(0.9))
        cloud = np.exp(-(squared**1.5)) * texture * smoothstep(-bone, 0.8, 1.6) * strength
        scene.cloud(block, np.clip(cloud, 0, 1), Tissue.OEDEMA, "Contusion")


def _fracture(scene: Scene, joint: Joint) -> None:
    """A dark line from the surface into the bone, with a narrow seam of oedema."""
    rng = scene.knee.stream("Fracture lesion")
    site = int(rng.integers(0, 3))
    side = float(rng.choice([-1.0, 1.0]))
    if site == 0:
        bone, centre, normal = (
            joint.tibia,
            (side * 20, rng.uniform(-8, 8), -10.0),
            (1.0, rng.normal(0, 0.4), side * 0.5),
        )
    elif site == 1:
        bone, centre, normal = (
            joint.femur,
            (side * 24, rng.uniform(-10, 8), 20.0),
            (side * 0.8, rng.normal(0, 0.5), 0.6),
        )
    else:
        a = scene.knee.anatomy
        bone, centre, normal = (
            joint.patella,
            (-2.0, -31 - a.patella_radii[1], a.patella_height),
            (rng.normal(0, 0.2), 0.2, 1.0),
        )
    reach = float(rng.uniform(15, 24))
    block = scene.block(_around(np.asarray(centre), reach))
    p, own = scene.points.crop(block), bone[block]
    waves = 0.8 * np.sin(p.x * np.float32(0.5)) + 0.8 * np.sin((p.y + p.z) * np.float32(0.45))
    bent = Points(p.x + waves, p.y, p.z + waves)
    within = np.maximum(ellipsoid(p, centre, (reach, reach, reach)), own)
    seam = np.abs(slab(bent, centre, normal, 0.0))
    oedema = np.exp(-((seam / np.float32(rng.uniform(3.5, 6))) ** 2)) * smoothstep(-within, 0.8, 3)
    scene.cloud(block, oedema * np.float32(rng.uniform(0.5, 0.75)), Tissue.OEDEMA, "Fracture")
    line = np.maximum(seam - np.float32(rng.uniform(0.6, 1.0)), within)
    scene.lesion(block, line, Tissue.CORTEX, "Fracture", 1.0)


def _mimics(scene: Scene, joint: Joint) -> None:
    """Signal inside a meniscus that reaches no surface, and the transverse ligament."""
    rng = scene.knee.stream("mimics")
    block = scene.block(MENISCUS_BOX)
    p = scene.points.crop(block)
    for distance in (joint.medial_meniscus, joint.lateral_meniscus):
        own, strength = distance[block], float(rng.uniform(0, 0.7))
        scene.cloud(block, smoothstep(-own, 1.0, 2.2) * np.float32(strength), Tissue.MUCOID, None)
    bone = np.minimum(joint.femur[block], joint.tibia[block])
    transverse = capsule(p, (-17, -17, 4.5), (17, -19, 5), (1.2, 1.2))
    scene.paint(block, np.maximum(transverse, -bone), Tissue.TENDON)


def _around(centre: np.ndarray[tuple[int], np.dtype[np.float64]], reach: float) -> Box:
    x, y, z = (float(value) for value in centre)
    return (x - reach, y - reach, z - reach), (x + reach, y + reach, z + reach)
