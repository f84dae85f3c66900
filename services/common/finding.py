"""The vocabulary of results: 12 findings, 13 structures, and what the system says about one study.

The label order is a contract with the models, the wire and every stored result (the vocabulary of the RSNA 2026 knee
challenge). MRNet's three labels are derived from it.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from services.common.volume import Plane

LABELS = (
    "ACL",
    "MCL",
    "Medial Meniscus",
    "Lateral Meniscus",
    "Medial OA",
    "Lateral OA",
    "PF OA",
    "Effusion",
    "Synovitis",
    "Baker's",
    "Contusion",
    "Fracture",
)


class Structure(IntEnum):
    """Voxel values of a label map."""

    BACKGROUND = 0
    FEMUR = 1
    TIBIA = 2
    PATELLA = 3
    FIBULA = 4
    FEMORAL_CARTILAGE = 5
    MEDIAL_TIBIAL_CARTILAGE = 6
    LATERAL_TIBIAL_CARTILAGE = 7
    PATELLAR_CARTILAGE = 8
    MEDIAL_MENISCUS = 9
    LATERAL_MENISCUS = 10
    ACL = 11
    PCL = 12
    EFFUSION = 13


class Laterality(StrEnum):
    """Side of the knee; DICOM's code values where the side is known."""

    RIGHT = "R"
    LEFT = "L"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Location:
    """The slice that weighed most for a finding.

    ``slice_index`` counts the source series' slices from 0; ``frame_number`` counts from 1 within a multi-frame
    instance and is None for a classic one.
    """

    plane: Plane
    slice_index: int
    sop_instance_uid: str
    frame_number: int | None = None


class Category(StrEnum):
    """How sure the system is, in words for people; the order runs from sure of nothing to sure of a finding."""

    UNLIKELY = "unlikely"
    EQUIVOCAL = "equivocal"
    LIKELY = "likely"


EQUIVOCAL_ODDS = 2.0  # times or part of the threshold's odds, within which a probability decides nothing


@dataclass(frozen=True)
class Finding:
    """One label's answer. ``positive`` means ``probability >= threshold``."""

    label: str
    probability: float
    threshold: float
    location: Location

    @property
    def positive(self) -> bool:
        """Whether the system reports the finding."""
        return self.probability >= self.threshold

    @property
    def category(self) -> Category:
        """Likely or unlikely where the odds are more than ``EQUIVOCAL_ODDS`` away from the threshold's.

        The threshold is calibrated per label, so the words mean the same for a frequent and for a rare finding.
        """
        ratio = _odds(self.probability) / _odds(self.threshold)
        if 1 / EQUIVOCAL_ODDS < ratio < EQUIVOCAL_ODDS:
            return Category.EQUIVOCAL
        return Category.LIKELY if ratio > 1 else Category.UNLIKELY


def _odds(probability: float) -> float:
    bounded = min(max(probability, 1e-6), 1 - 1e-6)
    return bounded / (1 - bounded)


def mrnet_probabilities(probability: dict[str, float]) -> dict[str, float]:
    """MRNet's three labels from the twelve: the most probable member decides each.

    Source of the three labels: Bien et al. 2018, PLOS Medicine.
    """
    meniscus = max(probability["Medial Meniscus"], probability["Lateral Meniscus"])
    return {"abnormal": max(probability.values()), "acl": probability["ACL"], "meniscus": meniscus}
