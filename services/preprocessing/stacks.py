"""From the frames of a study to stacks: parallel slices of one contrast, in order.

A stored series may hold several echoes, orientations, stacks, image types or time points. It is split by what a frame
says of itself; time points only where slices would otherwise lie on top of each other.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from services.common.errors import RefusalCode, StudyRefused
from services.common.frame import Frame
from services.common.pixels import has_pixel_data
from services.preprocessing.geometry import has_geometry, overlapping, sort_slices

_ENHANCED_ONLY = ("StackID", "ComplexImageComponent")
# what distinguishes slices at one place, in the order in which it is tried
_OCCASIONS = ("TemporalPositionIdentifier", "AcquisitionNumber", "DiffusionBValue", "TriggerTime", "FlipAngle")
# echo and inversion time in ms, six direction cosines, two pixel spacings in mm: differences up to these are rounding
_TOLERANCE = np.array([0.1, 1.0, *[2e-3] * 6, 1e-3, 1e-3])


def split(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Frames that belong together, series by series in the order given."""
    return [part for group in _alike(frames) for near in _near(group) for part in _occasions(near)]


def sorted_stack(frames: Sequence[Frame]) -> tuple[Frame, ...]:
    """The slices in order along their normal.

    Raises ``StudyRefused``: ``NO_GEOMETRY``, ``NO_PIXEL_DATA``, and what ``geometry.sort_slices`` raises.
    """
    if not all(has_geometry(frame) for frame in frames):
        raise StudyRefused(RefusalCode.NO_GEOMETRY)
    if not all(has_pixel_data(frame.instance) for frame in frames):
        raise StudyRefused(RefusalCode.NO_PIXEL_DATA)
    return sort_slices(frames)


def _alike(frames: Sequence[Frame]) -> list[list[Frame]]:
    """By everything that is a name or a count."""
    groups: dict[tuple[object, ...], list[Frame]] = defaultdict(list)
    for frame in frames:
        key = (
            frame.series_instance_uid,
            frame.values("ImageType"),
            *(frame.values(keyword) for keyword in _ENHANCED_ONLY if frame.groups),
            frame.number("Rows"),
            frame.number("Columns"),
        )
        groups[key].append(frame)
    return list(groups.values())


def _near(group: list[Frame]) -> list[list[Frame]]:
    """By everything that is measured, where equal means equal to rounding."""
    kinds: list[np.ndarray] = []
    parts: list[list[Frame]] = []
    for frame in group:
        values = np.array(list(_measured(frame)))
        same = (np.abs(np.reshape(kinds, (-1, len(_TOLERANCE))) - values) <= _TOLERANCE).all(axis=1)
        if same.any():
            parts[int(np.argmax(same))].append(frame)
            continue
        kinds.append(values)
        parts.append([frame])
    return parts


def _measured(frame: Frame) -> Iterator[float]:
    for keyword in ("EchoTime", "InversionTime"):
        value = frame.number(keyword)
        yield -1.0 if value is None else value
    yield from frame.orientation or [9.0] * 6
    yield from frame.pixel_spacing_mm or [-1.0] * 2


def _occasions(group: list[Frame]) -> list[list[Frame]]:
    """By time point, acquisition or the like, where that is what keeps slices apart."""
    if not all(has_geometry(frame) for frame in group) or not overlapping(group):
        return [group]
    for keyword in _OCCASIONS:
        parts: dict[float | None, list[Frame]] = defaultdict(list)
        for frame in group:
            parts[frame.number(keyword)].append(frame)
        if len(parts) > 1 and not any(overlapping(part) for part in parts.values()):
            return list(parts.values())
    return [group]
