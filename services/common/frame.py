"""One two-dimensional slice of an MR object, whichever object class carries it.

A classic instance is one frame; an enhanced or legacy converted one holds many, and says what is special about each in
nested functional groups (PS3.3 C.7.6.16). Everything downstream works on frames, so it never asks which kind it has: an
attribute is looked up from the most specific place to the least (frame, shared, instance), and the names that the
enhanced object gave to old attributes are tried in the same step.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import pydicom
from pydicom.tag import BaseTag

from services.common.attributes import BY_KEYWORD
from services.common.dicom import floats, number, text, texts
from services.common.errors import RefusalCode, StudyRefused

MAX_FRAMES = 2000
_ORTHONORMAL_TOLERANCE = 1e-3
# PS3.3 C.8.13: what the enhanced object calls an attribute of the classic one
_ENHANCED_NAMES = {
    "EchoTime": "EffectiveEchoTime",
    "InversionTime": "InversionTimes",
    "ImageType": "FrameType",
    "ImageLaterality": "FrameLaterality",
    "TemporalPositionIdentifier": "TemporalPositionIndex",
    "AcquisitionNumber": "FrameAcquisitionNumber",
    "TriggerTime": "NominalCardiacTriggerDelayTime",
    "SequenceName": "PulseSequenceName",
}

_PHILIPS, _PHILIPS_SCALE_SLOPE = "Philips MR Imaging DD 001", 0x2005000E
_SIEMENS, _IMAGES_IN_MOSAIC = "SIEMENS MR HEADER", 0x0019000A

Numbers = tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Frame:
    """One slice: its instance, its place in it (``index`` from 0), and its functional groups, most specific first."""

    instance: pydicom.Dataset
    index: int = 0
    groups: tuple[pydicom.Dataset, ...] = ()

    @cached_property
    def frame_number(self) -> int | None:
        """Number within a multi-frame instance, from 1; None for a classic instance."""
        return self.index + 1 if "PerFrameFunctionalGroupsSequence" in self.instance else None

    @cached_property
    def sop_class_uid(self) -> str:
        """Class of the instance."""
        return text(self.instance, "SOPClassUID")

    @cached_property
    def sop_instance_uid(self) -> str:
        """UID of the instance; all frames of one instance share it."""
        return text(self.instance, "SOPInstanceUID")

    @cached_property
    def series_instance_uid(self) -> str:
        """UID of the series."""
        return text(self.instance, "SeriesInstanceUID")

    @cached_property
    def orientation(self) -> Numbers | None:
        """ImageOrientationPatient, six numbers; None where it is missing or not two orthonormal vectors."""
        cosines = self.floats("ImageOrientationPatient", 6)
        if cosines is None:
            return None
        vectors = np.reshape(cosines, (2, 3))
        deviation = np.abs(vectors @ vectors.T - np.eye(2)).max()
        return cosines if deviation <= _ORTHONORMAL_TOLERANCE else None

    @cached_property
    def position_mm(self) -> Numbers | None:
        """ImagePositionPatient, LPS; None where it is missing."""
        return self.floats("ImagePositionPatient", 3)

    @cached_property
    def pixel_spacing_mm(self) -> Numbers | None:
        """PixelSpacing (between rows, between columns); None where it is missing or not positive."""
        spacing = self.floats("PixelSpacing", 2)
        return spacing if spacing and min(spacing) > 0 else None

    @property
    def inverted(self) -> bool:
        """Whether the smallest stored value is the brightest."""
        return self.values("PhotometricInterpretation") == ("MONOCHROME1",)

    @property
    def mosaic(self) -> bool:
        """Whether all slices are tiled into this one picture, as a Siemens scanner says in an element of its own."""
        return (self._private_number(_SIEMENS, _IMAGES_IN_MOSAIC) or 0) > 1

    @cached_property
    def rescale(self) -> tuple[float, float]:
        """Slope and intercept from stored to modality values.

        Philips scanners write a scale of their own beside the standard one, in a private group of each frame where the
        object is enhanced; with both, ``value = (stored * slope +
        intercept) / (slope * scale)`` compares between slices (Chenevert et al. 2014, Translational Oncology).
        """
        slope, intercept = self.number("RescaleSlope"), self.number("RescaleIntercept")
        slope, intercept = slope or 1.0, intercept or 0.0
        scale = self._private_number(_PHILIPS, _PHILIPS_SCALE_SLOPE)
        return (slope, intercept) if not scale else (1.0 / scale, intercept / (slope * scale))

    def number(self, keyword: str) -> float | None:
        """One finite number, the first of several; None where it is missing or malformed."""
        found = self._place_of(keyword)
        if found is None:
            return None
        dataset, name = found
        single = number(dataset, name)
        if single is not None:
            return single
        values = self.values(keyword)
        try:
            return float(values[0]) if values else None
        except ValueError:
            return None

    def floats(self, keyword: str, count: int) -> Numbers | None:
        """``count`` finite numbers, or None where they are missing or malformed."""
        found = self._place_of(keyword)
        return None if found is None else floats(found[0], found[1], count)

    def values(self, keyword: str) -> tuple[str, ...]:
        """All values as upper-case text without blanks at the ends; empty where the attribute is missing."""
        found = self._place_of(keyword)
        several = texts(*found) if found else ()
        return tuple(text for each in several if (text := each.upper()))

    def _private_number(self, creator: str, tag: int) -> float | None:
        """A number of a private block, from the most specific place that has it."""
        found = (_private_number(dataset, creator, tag) for dataset in (*self.groups, self.instance))
        return next((value for value in found if value is not None), None)

    def _place_of(self, keyword: str) -> tuple[pydicom.Dataset, str] | None:
        for dataset in (*self.groups, self.instance):
            for tag, name in _names(keyword):
                if tag in dataset:
                    return dataset, name
        return None


@lru_cache(maxsize=256)
def _names(keyword: str) -> tuple[tuple[BaseTag, str], ...]:
    """An attribute's classic name and its enhanced one, each with its tag: looking a name up costs more than a tag."""
    names = (keyword, *filter(None, [_ENHANCED_NAMES.get(keyword)]))
    return tuple((BY_KEYWORD[name], name) for name in names)


def frames_of(instance: pydicom.Dataset) -> list[Frame]:
    """The frames of an instance in stored order.

    Raises ``StudyRefused``: ``TOO_LARGE``, or ``NO_GEOMETRY`` where a multi-frame object does not describe its frames.
    """
    each_frame = _items(instance, "PerFrameFunctionalGroupsSequence")
    count = int(number(instance, "NumberOfFrames") or 0) if "NumberOfFrames" in instance else 1
    if count == 1 and not each_frame:
        return [Frame(instance)]
    if count > MAX_FRAMES:
        raise StudyRefused(RefusalCode.TOO_LARGE)
    if count < 1 or len(each_frame) != count:
        raise StudyRefused(RefusalCode.NO_GEOMETRY)
    shared = tuple(_groups(next(iter(_items(instance, "SharedFunctionalGroupsSequence")), None)))
    return [Frame(instance, index, (*_groups(item), *shared)) for index, item in enumerate(each_frame)]


def _items(instance: pydicom.Dataset, keyword: str) -> Sequence[pydicom.Dataset]:
    """Items of a sequence; none where the element is missing, or says that it is something else."""
    value = instance.get(keyword)
    return value if isinstance(value, pydicom.Sequence) else ()


def _private_number(instance: pydicom.Dataset, creator: str, tag: int) -> float | None:
    """A number of a private block; ``tag`` is its group and the offset in the block."""
    if not any(each >> 16 == tag >> 16 for each in instance.keys()):  # noqa: SIM118 - values would be decoded
        return None  # looking for the block costs more than reading the slice's header
    try:
        value = float(instance.private_block(tag >> 16, creator)[tag & 0xFF].value)
    except (KeyError, TypeError, ValueError):
        return None
    return value if np.isfinite(value) else None


def _groups(macros: pydicom.Dataset | None) -> Iterator[pydicom.Dataset]:
    """The one item of each functional group macro."""
    for element in macros or ():
        if element.VR == "SQ" and element.value:
            yield element.value[0]
