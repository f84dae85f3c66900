"""What each tissue gives to the signal: relaxation times, and the equations of spin echo and of DESS.

The table is Gold et al. 2004 (AJR) and later measurements, checked against real T1 and T2 series. In proton-density
TSE the many refocusing pulses darken macromolecular tissue; ``TSE_LOSS`` holds the measured factors.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np


class Tissue(IntEnum):
    """What a voxel is made of; finer than ``Structure``."""

    AIR = 0
    SKIN = 1
    FAT = 2
    MUSCLE = 3
    MARROW = 4
    CORTEX = 5
    CARTILAGE = 6
    MENISCUS = 7
    ACL = 8
    PCL = 9
    TENDON = 10
    FLUID = 11
    VEIN = 12
    VOID = 13
    NERVE = 14
    RED_MARROW = 15
    OEDEMA = 16
    SYNOVIUM = 17
    TORN = 18
    MUCOID = 19
    SCLEROSIS = 20


# T1 and T2 in ms at 1.5 T, then at 3 T, and relative proton density
RELAXATION: dict[Tissue, tuple[float, float, float, float, float]] = {
    Tissue.AIR: (1000, 10, 1000, 10, 0.0),
    Tissue.SKIN: (900, 30, 1000, 28, 0.7),
    Tissue.FAT: (288, 165, 371, 133, 0.95),
    Tissue.MUSCLE: (1130, 35, 1420, 32, 0.80),
    Tissue.MARROW: (288, 165, 365, 133, 0.85),
    Tissue.CORTEX: (200, 0.4, 223, 0.4, 0.2),
    Tissue.CARTILAGE: (1060, 42, 1240, 37, 0.75),
    Tissue.MENISCUS: (550, 16, 600, 14.6, 0.65),
    Tissue.ACL: (700, 25, 800, 22, 0.70),
    Tissue.PCL: (650, 15, 750, 13, 0.65),
    Tissue.TENDON: (600, 8, 700, 7, 0.55),
    Tissue.FLUID: (2850, 1210, 3620, 767, 1.0),
    Tissue.VEIN: (1550, 250, 1900, 150, 0.9),
    Tissue.VOID: (1000, 10, 1000, 10, 0.02),
    Tissue.NERVE: (1000, 60, 1200, 55, 0.8),
    Tissue.RED_MARROW: (550, 60, 586, 49, 0.85),
    Tissue.OEDEMA: (1300, 90, 1500, 85, 0.95),
    Tissue.SYNOVIUM: (1300, 105, 1500, 100, 0.9),
    Tissue.TORN: (1100, 70, 1300, 65, 0.85),
    Tissue.MUCOID: (700, 28, 800, 26, 0.7),
    Tissue.SCLEROSIS: (400, 15, 450, 14, 0.4),
}
TSE_LOSS: dict[Tissue, float] = {
    Tissue.MUSCLE: 0.6,
    Tissue.CARTILAGE: 0.7,
    Tissue.MENISCUS: 0.4,
    Tissue.ACL: 0.4,
    Tissue.PCL: 0.4,
    Tissue.TENDON: 0.4,
}
FATTY: dict[Tissue, float] = {Tissue.FAT: 1.0, Tissue.MARROW: 1.0, Tissue.RED_MARROW: 0.5, Tissue.SKIN: 0.3}


@dataclass(frozen=True)
class Sequence:
    """A sequence. ``residual_fat`` is the share of the fat signal left: 1.0 without fat suppression.

    With a ``flip_degrees`` it is one of the two echoes of a DESS: the first (FISP) where the echo time is shorter than
    the repetition time, the second (PSIF) where it is longer. Without one it is a spin echo.
    """

    repetition_ms: float
    echo_ms: float
    field_tesla: float
    residual_fat: float = 1.0
    flip_degrees: float | None = None


def signals(sequence: Sequence) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Signal of each ``Tissue`` (21,)."""
    return np.array([_signal(tissue, sequence) for tissue in Tissue], dtype=np.float32)


def fat_share() -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """How much of the protons of each ``Tissue`` (21,) are fat, which chemical shift moves: 0..1."""
    return np.array([FATTY.get(tissue, 0.0) for tissue in Tissue], dtype=np.float32)


def _signal(tissue: Tissue, sequence: Sequence) -> float:
    low_t1, low_t2, high_t1, high_t2, density = RELAXATION[tissue]
    t1, t2 = (low_t1, low_t2) if sequence.field_tesla < 2 else (high_t1, high_t2)
    value = density * (_spin_echo(sequence, t1, t2) if sequence.flip_degrees is None else _dess(sequence, t1, t2))
    proton_density = sequence.repetition_ms > 1500 and sequence.echo_ms < 55
    loss = TSE_LOSS.get(tissue, 1.0) if proton_density else 1.0
    fatty = FATTY.get(tissue, 0.0)
    return float(value * loss * (1 - fatty * (1 - sequence.residual_fat)))


def _spin_echo(sequence: Sequence, t1: float, t2: float) -> float:
    return float((1 - np.exp(-sequence.repetition_ms / t1)) * np.exp(-sequence.echo_ms / t2))


def _dess(sequence: Sequence, t1: float, t2: float) -> float:
    """Steady state before (second echo) and after (first echo) the pulse, Haenicke and Vogel 2003."""
    e1, e2 = np.exp(-sequence.repetition_ms / t1), np.exp(-sequence.repetition_ms / t2)
    angle = np.deg2rad(sequence.flip_degrees or 0.0)
    cosine = np.cos(angle)
    p = 1 - e1 * cosine - e2**2 * (e1 - cosine)
    q = e2 * (1 - e1) * (1 + cosine)
    root = (1 - e2**2) / np.sqrt(p**2 - q**2)
    if sequence.echo_ms < sequence.repetition_ms:
        return float(np.tan(angle / 2) * (1 - (e1 - cosine) * root) * np.exp(-sequence.echo_ms / t2))
    # the second echo forms at the following pulse; it is read a little before, while it grows
    early = 2 * sequence.repetition_ms - sequence.echo_ms
    return float(np.tan(angle / 2) * (1 - (1 - e1 * cosine) * root) * np.exp(-early / t2))
