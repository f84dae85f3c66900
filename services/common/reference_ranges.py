"""What measurements of other knees look like, and who measured them; standard library only, so that pages can use it.

A range is a comparison and no diagnosis: it is given only where a source can be named, and says what it was taken from.
"""

from dataclasses import dataclass
from enum import StrEnum

_LABEL_MAPS = (
    "Label maps of 34 to 68 knees of the Osteoarthritis Initiative (3T DESS, published with Woo et al. 2022), "
    "measured by this project; mean +- 2 SD, not all of the knees are healthy"
)
_EXTRUSION = (
    "Svensson et al. 2019, Eur Radiol 29:2616-2623, doi 10.1007/s00330-018-5914-0: 3 mm is the common limit, 4 mm "
    "separates knees with osteoarthritis better"
)
_FLUID = (
    "Balazs et al. 1967, Arthritis Rheum 10:357: 5 to 8 ml in normal knees. With 4 ml the suprapatellar recess is 4 mm "
    "wide (Schweitzer et al. 1992, AJR 159:361-363)"
)


class Worse(StrEnum):
    """The side of a range on which disease lies."""

    LOW = "low"
    HIGH = "high"


@dataclass(frozen=True)
class ReferenceRange:
    """Limits in the unit of the measurement; ``low`` is None where small values mean nothing.

    ``worse`` tells which side speaks for disease: cartilage gets lost, and slices at a slant make it look thicker, so a
    thick one is no finding.
    """

    low: float | None
    high: float
    worse: Worse
    description: str
    source: str

    def beyond(self, value: float) -> float:
        """How far a value lies beyond the limit that matters; negative within."""
        if self.worse is Worse.LOW:
            return (self.low or 0.0) - value
        return value - self.high


def _cartilage(mean: float, deviation: float, description: str) -> ReferenceRange:
    low, high = round(mean - 2 * deviation, 2), round(mean + 2 * deviation, 2)
    return ReferenceRange(low, high, Worse.LOW, description, _LABEL_MAPS)


# by Measurement.key
REFERENCE_RANGES: dict[str, ReferenceRange] = {
    "femoral_cartilage_volume": _cartilage(11.9, 3.3, "Femoral cartilage"),
    "femoral_cartilage_thickness": _cartilage(1.91, 0.22, "Femoral cartilage"),
    "medial_tibial_cartilage_thickness": _cartilage(1.85, 0.25, "Tibial cartilage of both sides together"),
    "lateral_tibial_cartilage_thickness": _cartilage(1.85, 0.25, "Tibial cartilage of both sides together"),
    "patellar_cartilage_volume": _cartilage(2.8, 1.0, "Patellar cartilage"),
    "patellar_cartilage_thickness": _cartilage(2.1, 0.4, "Patellar cartilage"),
    "medial_meniscus_extrusion": ReferenceRange(None, 3.0, Worse.HIGH, "Body of the medial meniscus", _EXTRUSION),
    "effusion_volume": ReferenceRange(None, 8.0, Worse.HIGH, "Synovial fluid of the whole joint", _FLUID),
}
