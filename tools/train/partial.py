"""What is known where a data set labels only some findings and some structures.

A finding is 0, 1 or ``UNKNOWN``. A positive finding without a lesion cell anywhere in its study is known, but not where
it is; a negative one is nowhere. A voxel below 14 is a ``Structure``; every other value says what it may be:

    255 - bits    not labelled; bit i of ``bits`` is set where all structures of ``GROUPS[i]`` are drawn in this volume,
                  so the voxel is none of them (255: it may be anything)
    64, 65        tibial cartilage, meniscus, medial or lateral

``POSSIBLE`` holds that as a table, so training sums the probability of all that a voxel may be, and an ordinary label
is the case of one.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from services.common.finding import Structure

UNKNOWN = 255
TIBIAL_CARTILAGE, MENISCUS = 64, 65
GROUPS: tuple[frozenset[Structure], ...] = (
    frozenset({Structure.FEMUR, Structure.TIBIA}),
    frozenset({Structure.PATELLA}),
    frozenset({Structure.FIBULA}),
    frozenset({Structure.FEMORAL_CARTILAGE, Structure.MEDIAL_TIBIAL_CARTILAGE, Structure.LATERAL_TIBIAL_CARTILAGE}),
    frozenset({Structure.PATELLAR_CARTILAGE}),
    frozenset({Structure.MEDIAL_MENISCUS, Structure.LATERAL_MENISCUS}),
    frozenset({Structure.ACL, Structure.PCL, Structure.EFFUSION}),
)


def unlabelled(drawn: Iterable[Structure]) -> int:
    """The value of a voxel without a label in a volume in which these structures are drawn wherever they are.

    Where all thirteen are drawn it is background.
    """
    present = set(drawn)
    bits = sum(1 << index for index, group in enumerate(GROUPS) if group <= present)
    return int(Structure.BACKGROUND) if bits == (1 << len(GROUPS)) - 1 else UNKNOWN - bits


def _possible() -> NDArray[np.bool_]:
    table = np.zeros((UNKNOWN + 1, len(Structure)), dtype=bool)
    table[: len(Structure)] = np.eye(len(Structure), dtype=bool)
    table[TIBIAL_CARTILAGE, [Structure.MEDIAL_TIBIAL_CARTILAGE, Structure.LATERAL_TIBIAL_CARTILAGE]] = True
    table[MENISCUS, [Structure.MEDIAL_MENISCUS, Structure.LATERAL_MENISCUS]] = True
    for bits in range(1 << len(GROUPS)):
        table[UNKNOWN - bits] = True
        for index, group in enumerate(GROUPS):
            table[UNKNOWN - bits, sorted(group)] = not bits >> index & 1
    return table


POSSIBLE = _possible()  # (256, 14): which structures a voxel of each value may be


def located(findings: NDArray[np.uint8], lesions: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Findings (12,) whose place is known: the absent ones, and those with a cell in ``lesions`` (3,32,12,32,32)."""
    return np.asarray((findings == 0) | ((findings == 1) & lesions.any(axis=(0, 1, 3, 4))))
