"""Whether the series that an analysis needs are all there, told by the places of their slices. Pure functions.

The knee pipeline wants one stack of slices in each plane. Orthanc indexes position and orientation of every classic
image, so this costs no look into a file. Enhanced multi-frame objects keep them inside; a study of these waits for the
study's own quiet time, and so does one whose planes can't be told. It only decides *when* a study is sent: what it is
worth is the service's to judge.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from services.common.volume import PLANES, Plane, nearest_plane, slice_normal
from services.forwarder.eligibility import StoredInstance

_FEWEST_SLICES = 8  # fewer are a localizer's
_LARGEST_GAP = 1.5  # in slice distances; more, and a slice is still on its way
_DECIMALS = 2  # of direction cosines: one stack's slices differ by less


def complete(instances: Iterable[StoredInstance]) -> bool:
    """Whether every plane has a stack without gaps."""
    stacks: dict[tuple[str, tuple[float, ...]], list[tuple[float, ...]]] = defaultdict(list)
    for each in instances:
        if each.orientation and each.position:
            direction = tuple(round(cosine, _DECIMALS) for cosine in each.orientation)
            stacks[each.series_id, direction].append(each.position)
    return {_plane(cosines) for (_, cosines), places in stacks.items() if _whole(cosines, places)} == set(PLANES)


def numbers(text: str, count: int) -> tuple[float, ...]:
    """The values of a multi-valued DICOM attribute; none where they are not so many finite numbers."""
    try:
        values = tuple(float(each) for each in text.split("\\"))
    except ValueError:
        return ()
    return values if len(values) == count and all(map(math.isfinite, values)) else ()


def _whole(cosines: Sequence[float], places: Sequence[Sequence[float]]) -> bool:
    depths = np.unique(np.round(np.array(places) @ slice_normal(cosines), _DECIMALS))
    if len(depths) < _FEWEST_SLICES:
        return False
    gaps = np.diff(depths)
    return bool(gaps.max() < _LARGEST_GAP * np.median(gaps))


def _plane(cosines: Sequence[float]) -> Plane:
    return nearest_plane(np.array(cosines[3:]), np.array(cosines[:3]))
