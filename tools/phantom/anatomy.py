"""How one knee differs from another: every size that the seed decides.

Dimensions come from 34-68 measured label maps and the literature (mean and spread in millimetres); the lesions have
random streams of their own, so a finding never changes the anatomy under it.
"""

import zlib
from dataclasses import dataclass

import numpy as np

from services.common.finding import LABELS, Laterality
from tools.phantom.shapes import Field, Points


@dataclass(frozen=True)
class Anatomy:
    """Sizes of one knee in millimetres, angles in radians, ratios without unit."""

    scale: tuple[float, float, float]
    lateral_radius: float
    medial_radius: float
    notch_half_width: float
    groove_depth: float
    gap: float
    femoral_cartilage: float
    tibial_cartilage: float
    patellar_cartilage: float
    patella_radii: tuple[float, float, float]
    patella_height: float
    meniscus_width: float
    meniscus_height: float
    cortex: float
    leg_radius: float
    subcutaneous_fat: float
    muscle: float
    free_fluid: float
    slope: float
    warp: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Knee:
    """One knee: its seed, side, findings (names out of ``LABELS``) and sizes."""

    seed: int
    laterality: Laterality
    findings: frozenset[str]
    anatomy: Anatomy

    def stream(self, purpose: str) -> np.random.Generator:
        """Random numbers that depend on the seed and the purpose alone."""
        return stream(self.seed, purpose)


def stream(seed: int, purpose: str) -> np.random.Generator:
    """Random numbers of one purpose, independent of every other purpose of the same seed."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


def knee(seed: int, findings: frozenset[str] = frozenset()) -> Knee:
    """The knee of a seed with the given findings. Raises ``ValueError`` for a name outside ``LABELS``."""
    unknown = findings - set(LABELS)
    if unknown:
        message = f"unknown findings: {sorted(unknown)}"
        raise ValueError(message)
    side = Laterality.RIGHT if stream(seed, "side").random() < 0.5 else Laterality.LEFT
    return Knee(seed, side, findings, _anatomy(stream(seed, "anatomy")))


def _anatomy(rng: np.random.Generator) -> Anatomy:
    def draw(mean: float, spread: float) -> float:
        return float(mean + spread * np.clip(rng.standard_normal(), -2, 2))

    size = draw(1.0, 0.06)
    return Anatomy(
        scale=(size * draw(1, 0.03), size * draw(1, 0.03), size * draw(1, 0.03)),
        lateral_radius=draw(19.4, 1.2),
        medial_radius=draw(20.4, 1.4),
        notch_half_width=draw(11.0, 1.0),
        groove_depth=draw(6.0, 1.2),
        gap=draw(4.6, 0.4),
        femoral_cartilage=draw(2.1, 0.25),
        tibial_cartilage=draw(2.0, 0.25),
        patellar_cartilage=draw(2.6, 0.35),
        patella_radii=(draw(22.5, 2.0), draw(11.5, 0.8), draw(21.5, 2.0)),
        patella_height=draw(31.0, 4.0),
        meniscus_width=draw(9.8, 0.9),
        meniscus_height=draw(6.3, 0.6),
        cortex=draw(1.1, 0.2),
        leg_radius=draw(60.0, 4.0),
        subcutaneous_fat=float(rng.uniform(4, 16)),
        muscle=draw(1.0, 0.1),
        free_fluid=float(rng.uniform(0.3, 1.6)),
        slope=draw(0.10, 0.04),
        warp=tuple(_wave(rng) for _ in range(9)),
    )


def _wave(rng: np.random.Generator) -> tuple[float, ...]:
    """Amplitude in mm, three wave numbers in rad/mm, phase."""
    direction = rng.standard_normal(3)
    direction *= 2 * np.pi / rng.uniform(60, 130) / np.linalg.norm(direction)
    return float(rng.normal(0, 0.9)), *direction.tolist(), float(rng.uniform(0, 2 * np.pi))


def canonical(p: Points, anatomy: Anatomy) -> Points:
    """Undo the knee's size and its smooth warp, so that all shapes are drawn in one canonical frame."""
    waves = anatomy.warp
    third = len(waves) // 3
    axes: list[Field] = []
    for axis, own in enumerate((p.x, p.y, p.z)):
        shift = np.zeros_like(own)
        for amplitude, kx, ky, kz, phase in waves[axis * third : (axis + 1) * third]:
            angle = np.float32(kx) * p.x + np.float32(ky) * p.y + np.float32(kz) * p.z + np.float32(phase)
            shift += np.float32(amplitude) * np.sin(angle)
        axes.append((own + shift) / np.float32(anatomy.scale[axis]))
    return Points(*axes)
