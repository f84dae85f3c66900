"""The joint itself: bones with their marrow, cartilages, menisci, cruciates and fluid, painted in order.

``Joint`` keeps the distances that lesions need afterwards: a tear follows its meniscus, an oedema stays in its bone.
"""

from dataclasses import dataclass

import numpy as np

from services.common.finding import Structure
from tools.phantom import bones, wear
from tools.phantom.anatomy import Anatomy
from tools.phantom.scene import Scene
from tools.phantom.shapes import Field, Points, cut, ellipsoid, path, smoothstep
from tools.phantom.surroundings import paint_tendons
from tools.phantom.tissues import Tissue

JOINT_BOX = ((-46, -62, -16), (46, 46, 62))
ACL_NODES = ((3, -5, 3), (-1, 3, 12), (-6.5, 14, 25))
PCL_NODES = ((0, 25, -9), (2, 24, 4), (4, 15, 15), (6, 3, 21))


@dataclass(frozen=True, eq=False)
class Joint:
    """Distances in mm at all points of the scene (far away where they don't matter)."""

    femur: Field
    tibia: Field
    patella: Field
    fibula: Field
    medial_meniscus: Field
    lateral_meniscus: Field
    pouch: Field


def paint_joint(scene: Scene) -> Joint:
    """Paint the joint over its surroundings."""
    a = scene.knee.anatomy
    femur, tibia, fibula, patella = scene.far(), scene.far(), scene.far(), scene.far()
    _fill(scene, femur, bones.FEMUR_BOX, lambda p, _: bones.femur(p, a))
    _fill(scene, tibia, bones.TIBIA_BOX, lambda p, _: bones.tibia(p, a))
    _fill(scene, fibula, bones.FIBULA_BOX, lambda p, _: bones.fibula(p))
    _fill(scene, patella, bones.PATELLA_BOX, lambda p, block: bones.patella(p, a, femur[block]))
    wear.grow_spurs(scene, femur, tibia, patella)
    pouch = _paint_fluid(scene, femur, patella)
    paint_tendons(scene)
    for distance, structure in (
        (femur, Structure.FEMUR),
        (tibia, Structure.TIBIA),
        (patella, Structure.PATELLA),
        (fibula, Structure.FIBULA),
    ):
        _paint_bone(scene, distance, structure)
    medial, lateral = _paint_cartilage(scene, femur, tibia, patella)
    _paint_cruciates(scene, femur, tibia)
    return Joint(femur, tibia, patella, fibula, medial, lateral, pouch)


def _fill(scene: Scene, target: Field, box: object, distance: object) -> None:
    block = scene.block(box)  # type: ignore[arg-type]
    if block[0].stop > block[0].start:
        target[block] = distance(scene.points.crop(block), block)  # type: ignore[operator]


BONE_BOXES = {
    Structure.FEMUR: bones.FEMUR_BOX,
    Structure.TIBIA: bones.TIBIA_BOX,
    Structure.PATELLA: bones.PATELLA_BOX,
    Structure.FIBULA: bones.FIBULA_BOX,
}


def _paint_bone(scene: Scene, distance: Field, structure: Structure) -> None:
    """Cortex, marrow, patches of red marrow and the scar of the growth plate."""
    block = scene.block(BONE_BOXES[structure])
    a, p, own = scene.knee.anatomy, scene.points.crop(block), distance[block]
    scene.paint(block, own, Tissue.CORTEX, structure)
    shaft = np.float32(2.4) * smoothstep(np.abs(p.z - 10), 38, 90)
    scene.paint(block, own + np.float32(a.cortex) + shaft, Tissue.MARROW)
    if structure in {Structure.FEMUR, Structure.TIBIA}:
        rng = scene.knee.stream(f"marrow {structure}")
        height = 52 if structure is Structure.FEMUR else -22
        patch = np.exp(-(((np.abs(p.z - height) - 12) / 12) ** 2)) * np.float32(rng.uniform(0, 0.55))
        pace = rng.uniform(0.1, 0.3, 6).astype(np.float32)
        waves = (
            np.sin(p.x * pace[0] + p.z * pace[1])
            + np.sin(p.y * pace[2] - p.x * pace[3])
            + np.sin(p.z * pace[4] + p.y * pace[5])
        )
        scene.cloud(block, patch * smoothstep(waves, 0.3, 1.5) * (own < -3), Tissue.RED_MARROW, None)
        scar = np.abs(p.z - height - 2 * np.sin(p.x / 9)) - np.float32(0.5)
        scene.paint(block, np.maximum(scar, own + 3) + np.float32(0.3), Tissue.SCLEROSIS)


def _paint_fluid(scene: Scene, femur: Field, patella: Field) -> Field:
    """Joint fluid of the suprapatellar pouch, the gutters and the anterior recess; returns the pouch's distance."""
    thick = wear.fluid_half_thickness(scene.knee)
    box = ((-50, -60, 2), (50, 10, 108))
    block = scene.block(box)
    p, result = scene.points.crop(block), scene.far()
    pouch = ellipsoid(p, (-1, -28 - thick * 0.8, 66), (22 + thick, 1 + thick, 20 + thick))
    for side in (-1, 1):
        gutter = ellipsoid(p, (side * 38, -14, 36), (0.8 + thick * 0.6, 12 + thick, 14 + thick * 1.2))
        pouch = np.minimum(pouch, gutter)
    pouch = np.minimum(pouch, ellipsoid(p, (0, -24, 9), (14, 1 + 0.3 * thick, 2 + 0.4 * thick)))
    pouch = np.maximum(pouch, -np.minimum(femur[block], patella[block]))
    scene.paint(block, pouch, Tissue.FLUID, Structure.EFFUSION)
    result[block] = pouch
    return result


def femoral_thickness(p: Points, a: Anatomy) -> Field:
    """Cartilage thickness over the femur: only on the articular surface."""
    profile = np.minimum(
        bones.condyle_profile(p, a.lateral_radius, a.gap), bones.condyle_profile(p, a.medial_radius, a.gap)
    )
    trochlea = np.exp(-(((p.x + 2) / 15) ** 2)) * smoothstep(-p.y, 6, 14)
    sides = smoothstep(profile + 4 + 8 * trochlea, -2, 1)
    top = np.float32(a.gap + 31) + 14 * smoothstep(-p.y, -4, 6)
    return np.float32(a.femoral_cartilage) * sides * smoothstep(top - p.z, 0, 5)


def tibial_thickness(p: Points, a: Anatomy) -> Field:
    """Cartilage thickness over the tibia: thickest laterally, none on the eminences and the rim."""
    u, v = np.abs(p.x) / 38, np.abs(p.y - 1) / 26.5
    on_top = smoothstep(p.z - bones.plateau_top(p, a), -2.5, -0.5)
    edge: Field = np.asarray((u**2.5 + v**2.5 + 1e-9) ** 0.4, dtype=np.float32)
    rim: Field = on_top * smoothstep(-edge, -0.99, -0.86)
    centre = 1 + 0.5 * np.exp(-(((p.x + 20) / 9) ** 2 + (p.y / 11) ** 2))
    return np.float32(a.tibial_cartilage) * rim * smoothstep(np.abs(p.x), 7, 11) * centre.astype(np.float32)


def _paint_cartilage(scene: Scene, femur: Field, tibia: Field, patella: Field) -> tuple[Field, Field]:
    """Cartilages with their wear, and the menisci in the wedge between them; returns the menisci's distances."""
    a, block = scene.knee.anatomy, scene.block(JOINT_BOX)
    p, on_femur, on_tibia, on_patella = scene.points.crop(block), femur[block], tibia[block], patella[block]
    whole_femoral, whole_tibial = femoral_thickness(p, a), tibial_thickness(p, a)
    femoral, tibial, patellar = wear.worn(scene, block, whole_femoral, whole_tibial)
    film = np.minimum(np.maximum(on_femur - whole_femoral, on_tibia - whole_tibial) - 0.9, on_femur - whole_femoral)
    film = np.maximum(film, np.minimum(on_tibia, on_patella) - np.float32(5.2))
    scene.paint(block, np.maximum(film, np.abs(p.x) - 34), Tissue.FLUID)
    scene.paint(block, _shell(on_tibia, tibial) + 50 * (p.x < 0), Tissue.CARTILAGE, Structure.MEDIAL_TIBIAL_CARTILAGE)
    scene.paint(block, _shell(on_tibia, tibial) + 50 * (p.x >= 0), Tissue.CARTILAGE, Structure.LATERAL_TIBIAL_CARTILAGE)
    scene.paint(block, _shell(on_femur, femoral), Tissue.CARTILAGE, Structure.FEMORAL_CARTILAGE)
    back = np.maximum(
        _shell(on_patella, patellar), on_femur - np.float32(a.femoral_cartilage + a.patellar_cartilage + 1.2)
    )
    scene.paint(block, back, Tissue.CARTILAGE, Structure.PATELLAR_CARTILAGE)
    wear.mark(scene, block, whole=(whole_femoral, whole_tibial), bones=(on_femur, on_tibia, on_patella))
    return _paint_menisci(scene, femur, tibia)


def _paint_menisci(scene: Scene, femur: Field, tibia: Field) -> tuple[Field, Field]:
    results = []
    for finding, medial, structure in (
        ("Medial OA", True, Structure.MEDIAL_MENISCUS),
        ("Lateral OA", False, Structure.LATERAL_MENISCUS),
    ):
        block = scene.block(((2, -26, -7), (46, 30, 16)) if medial else ((-46, -26, -7), (-2, 30, 16)), 3)
        p, a, result = scene.points.crop(block), scene.knee.anatomy, scene.far()
        gaps = (femur[block] - femoral_thickness(p, a), tibia[block] - tibial_thickness(p, a))
        result[block] = meniscus(p, a, gaps, medial=medial, shift=wear.extrusion(scene.knee, finding))
        scene.paint(block, result[block], Tissue.MENISCUS, structure)
        results.append(result)
    return results[0], results[1]


def _shell(bone: Field, thickness: Field) -> Field:
    """Distance to a layer on a bone's surface; nothing where it is thinner than 0.4 mm."""
    layer = np.maximum(bone - thickness, -bone)
    return np.where(thickness > 0.4, layer, np.float32(9))


def meniscus(p: Points, a: Anatomy, gaps: tuple[Field, Field], *, medial: bool, shift: float) -> Field:
    """A C-shaped wedge between the cartilages: ``gaps`` are the distances to both cartilage surfaces."""
    side = 1.0 if medial else -1.0
    centre_x, centre_y, axis_x, axis_y = (21.0, 1.0, 17.5, 21.5) if medial else (20.5, 0.5, 16.5, 17.0)
    u, v = p.x * np.float32(side) - np.float32(centre_x + shift), p.y - np.float32(centre_y)
    radius = np.sqrt((u / axis_x) ** 2 + (v / axis_y) ** 2 + np.float32(1e-9))
    depth = (1 - radius) * np.hypot(u, v) / radius
    width = np.float32(a.meniscus_width) * (1 + np.float32(0.12 if medial else 0.0) * np.tanh(v / 8))
    rise = np.maximum(width - depth, 0) / width
    height = np.float32(0.6) + (np.float32(a.meniscus_height) - np.float32(0.6)) * rise
    wedge = np.maximum(gaps[1] - height, np.maximum(-gaps[0], -gaps[1]) + np.float32(0.15))
    wedge = np.maximum(wedge, bones.plateau_top(p, a) - p.z - np.float32(0.5))
    mouth = np.arctan2(np.abs(v), -u)
    opening = (np.float32(0.85 if medial else 0.5) - mouth) * 8
    return np.maximum(np.maximum(-depth, depth - width), np.maximum(wedge, opening)).astype(np.float32)


def acl(p: Points, thickness: float = 1.0) -> Field:
    """The anterior cruciate ligament, thinner in the middle."""
    return path(p, ACL_NODES, (5.0 * thickness, 3.8 * thickness, 5.2 * thickness))


def _paint_cruciates(scene: Scene, femur: Field, tibia: Field) -> None:
    block = scene.block(((-16, -14, -14), (16, 34, 34)))
    p, bone = scene.points.crop(block), np.minimum(femur[block], tibia[block])
    scene.paint(block, cut(path(p, PCL_NODES, (4.5, 5.5, 5.5, 5.5)), bone, 0.5), Tissue.PCL, Structure.PCL)
    band = cut(acl(p), bone, 0.5)
    scene.paint(block, band, Tissue.ACL, Structure.ACL)
    stripes = np.abs(np.sin((p.y + p.z * np.float32(-0.9)) * np.float32(1.1))) * np.float32(0.22)
    scene.cloud(block, stripes * (band < -0.5), Tissue.FLUID, None)
