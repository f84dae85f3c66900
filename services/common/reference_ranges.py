"""What measurements of other knees look like, and who measured them; standard library only, so that pages can use it.

A range is a comparison and no diagnosis: it is given only where a source can be named, and says what it was taken from.
"""

from dataclasses import dataclass

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


@dataclass(frozen=True)
class ReferenceRange:
    """Limits in the unit of the measurement; ``low`` is None where small values mean nothing."""

    low: float | None
    high: float
    description: str
    source: str

    def holds(self, value: float) -> bool:
        """Whether a value lies within the limits."""
        return value <= self.high and (self.low is None or value >= self.low)


def _cartilage(mean: float, deviation: float, description: str) -> ReferenceRange:
    return ReferenceRange(round(mean - 2 * deviation, 2), round(mean + 2 * deviation, 2), description, _LABEL_MAPS)


# by Measurement.key
REFERENCE_RANGES: dict[str, ReferenceRange] = {
    "femoral_cartilage_volume": _cartilage(11.9, 3.3, "Femoral cartilage"),
    "femoral_cartilage_thickness": _cartilage(1.91, 0.22, "Femoral cartilage"),
    "medial_tibial_cartilage_thickness": _cartilage(1.85, 0.25, "Tibial cartilage of both sides together"),
    "lateral_tibial_cartilage_thickness": _cartilage(1.85, 0.25, "Tibial cartilage of both sides together"),
    "patellar_cartilage_volume": _cartilage(2.8, 1.0, "Patellar cartilage"),
    "patellar_cartilage_thickness": _cartilage(2.1, 0.4, "Patellar cartilage"),
    "medial_meniscus_extrusion": ReferenceRange(None, 3.0, "Body of the medial meniscus", _EXTRUSION),
    "effusion_volume": ReferenceRange(None, 8.0, "Synovial fluid of the whole joint", _FLUID),
}
