"""When studies of so many hospitals arrive, second by second: days, weekends, holidays, bursts, and outages' backlogs.

From the Canadian Medical Imaging Inventory (Canada's Drug Agency, surveys 2019-20 and 2022-23): 1.80 MR exams an hour
and unit; units run 15.3 hours a day and 97.4 a week; 17 % of the sites run around the clock. The rest are assumptions,
each with its name in ``Hospital``; all of a hospital's MR studies are read, all hospitals keep the same hours.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DAY = 86400
_BLOCK = 600  # seconds over which the rate of one burst holds
Counts = NDArray[np.int16]


@dataclass(frozen=True)
class Hospital:
    """One hospital; counts are a year's unless they say otherwise."""

    scanners: int = 4
    exams_an_hour: float = 1.80
    weekday_hours: float = 15.3
    weekend_hours: float = (97.4 - 5 * 15.3) / 2
    night_share: float = 0.17 / 8  # of the day's busiest rate, between midnight and six
    holidays: int = 10  # like Sundays
    burstiness: float = 0.5  # coefficient of variation of the rate over ten minutes
    outages: int = 6  # of the network or the archive of one hospital; what was scanned is sent afterwards
    outage_hours: float = 1.5  # median; log-normal with sigma 0.7
    resend_seconds: float = 4.0  # between two studies of a backlog: 50 MB at 100 Mbit/s
    common_outages: int = 2  # of all hospitals at once, an hour each

    @property
    def weekday_studies(self) -> float:
        """Studies on a working day."""
        return self.scanners * self.exams_an_hour * self.weekday_hours


def arrivals(hospitals: int, days: int, seed: int, hospital: Hospital | None = None) -> Counts:
    """Studies that are complete in each second of so many days from a Monday, ``(second,)``."""
    hospital = hospital or Hospital()
    rng = np.random.default_rng([seed, hospitals])
    rate = _rate(hospital, days, rng) * hospitals * _bursts(hospital, hospitals, days, rng)
    counts = rng.poisson(np.repeat(rate, 60)).astype(np.int16)
    for _ in range(rng.poisson(hospitals * hospital.outages * days / 365)):
        seconds = rng.lognormal(np.log(hospital.outage_hours * 3600), 0.7)
        _hold_back(counts, 1 / hospitals, hospital.resend_seconds, seconds, rng)
    for _ in range(rng.poisson(hospital.common_outages * days / 365)):
        _hold_back(counts, 1.0, hospital.resend_seconds / hospitals, 3600.0, rng)
    return counts


def _rate(hospital: Hospital, days: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Studies a second of one hospital, ``(minute,)``: a morning rise, a plateau, an evening decline, a quiet night."""
    hour = np.arange(1440) / 60
    shape = np.clip(np.interp(hour, (5.5, 8.5, 11, 13, 14.5, 18, 22.5), (0, 0.9, 1, 0.8, 1, 0.7, 0)), 0, None)
    shape = np.maximum(shape, hospital.night_share)
    weekend = hospital.weekend_hours / hospital.weekday_hours
    free = set(rng.choice(365, hospital.holidays, replace=False))
    volume = [weekend if day % 7 >= 5 or day in free else 1.0 for day in range(days)]
    daily = shape * hospital.weekday_studies / (shape.sum() * 60)
    return np.outer(volume, daily).ravel()


def _bursts(hospital: Hospital, hospitals: int, days: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Factors of the rate around 1, ``(minute,)``; independent hospitals even each other out."""
    sources = hospitals / hospital.burstiness**2
    return np.repeat(rng.gamma(sources, 1 / sources, days * DAY // _BLOCK), _BLOCK // 60)


def _hold_back(counts: Counts, share: float, pause: float, seconds: float, rng: np.random.Generator) -> None:
    """An outage at some time: that share of what arrives meanwhile comes after it, one by one."""
    begin = int(rng.integers(len(counts)))
    end = min(begin + int(seconds), len(counts))
    held = rng.binomial(counts[begin:end], min(share, 1.0))
    counts[begin:end] -= held.astype(np.int16)
    late = end + (np.arange(held.sum()) * pause).astype(np.int64)
    np.add.at(counts, late[late < len(counts)], 1)
