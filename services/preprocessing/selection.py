"""Which series answers each plane's question, and why the others do not.

A stored series may hold several echoes or orientations, so it is first split into stacks. Every stack is either a
candidate with a stated score or a rejection with a code; nothing is dropped in silence. Physics decides (repetition and
echo time, fat suppression), a description never does.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pydicom

from services.common.dicom import MR_STORAGE, number
from services.common.errors import RefusalCode, StudyRefused
from services.common.uids import is_result_uid
from services.common.volume import PLANES, Plane, nearest_plane
from services.preprocessing.geometry import has_geometry, orientation, sort_slices

_NOT_DIAGNOSTIC = frozenset({"LOCALIZER", "SCOUT", "SECONDARY", "PROJECTION IMAGE", "SUBTRACTION"})
_FAT_SUPPRESSED = frozenset({"FS", "FATSAT", "FAT_SAT", "SFS", "WE"})
_LONG_TR_MS, _FLUID_TE_MS, _IDEAL_TE_MS = 1500.0, 25.0, 40.0

# the most telling reason first, for a study in which no stack is usable
_TELLING = (
    RefusalCode.NO_GEOMETRY,
    RefusalCode.UNEVEN_SLICES,
    RefusalCode.TOO_FEW_SLICES,
    RefusalCode.NO_PIXEL_DATA,
    RefusalCode.NO_USABLE_SERIES,
)


@dataclass(frozen=True, eq=False)
class Stack:
    """Sorted slices of one series, one echo and one orientation, and how well they suit their plane."""

    slices: tuple[pydicom.Dataset, ...]
    plane: Plane
    score: float

    @property
    def description(self) -> str:
        """Plane, echo time and slice count; holds nothing of the patient."""
        echo_time = number(self.slices[0], "EchoTime")
        timing = "" if echo_time is None else f", echo time {echo_time:g} ms"
        return f"{self.plane}{timing}, {len(self.slices)} slices"


@dataclass(frozen=True)
class Rejected:
    """A stack that can't serve, and why."""

    series_instance_uid: str
    code: RefusalCode


@dataclass(frozen=True)
class Selection:
    """The best stack for each plane that has one, and all rejections."""

    chosen: dict[Plane, Stack]
    rejected: tuple[Rejected, ...]

    @property
    def missing(self) -> tuple[Plane, ...]:
        """Planes without a usable stack."""
        return tuple(plane for plane in PLANES if plane not in self.chosen)


def select_series(instances: Sequence[pydicom.Dataset]) -> Selection:
    """Choose one stack a plane.

    Raises ``StudyRefused`` where no stack is usable: ``NOT_MR`` without any MR image, else the most telling rejection.
    """
    images = [each for each in instances if each.SOPClassUID in MR_STORAGE and not is_result_uid(each.SOPInstanceUID)]
    if not images:
        raise StudyRefused(RefusalCode.NOT_MR)
    stacks: list[Stack] = []
    rejected: list[Rejected] = []
    for group in _split(images):
        try:
            stacks.append(_stack(group))
        except StudyRefused as refusal:
            rejected.append(Rejected(str(group[0].SeriesInstanceUID), refusal.code))
    if not stacks:
        codes = {each.code for each in rejected}
        raise StudyRefused(next((code for code in _TELLING if code in codes), RefusalCode.NO_USABLE_SERIES))
    best = {plane: max((each for each in stacks if each.plane == plane), key=_rank, default=None) for plane in PLANES}
    return Selection({plane: stack for plane, stack in best.items() if stack}, tuple(rejected))


def _split(images: Iterable[pydicom.Dataset]) -> list[list[pydicom.Dataset]]:
    groups: dict[tuple[object, ...], list[pydicom.Dataset]] = defaultdict(list)
    for image in images:
        cosines = orientation(image)
        direction = None if cosines is None else tuple(np.round(cosines, 2))
        key = (image.SeriesInstanceUID, direction, number(image, "EchoTime"), image.get("Rows"), image.get("Columns"))
        groups[key].append(image)
    return list(groups.values())


def _stack(group: list[pydicom.Dataset]) -> Stack:
    first = group[0]
    image_type = {str(value).upper() for value in first.get("ImageType") or ()}
    if image_type & _NOT_DIAGNOSTIC or number(first, "NumberOfFrames"):
        raise StudyRefused(RefusalCode.NO_USABLE_SERIES)
    if not all(has_geometry(each) for each in group):
        raise StudyRefused(RefusalCode.NO_GEOMETRY)
    if not all("PixelData" in each and each.PixelData for each in group):
        raise StudyRefused(RefusalCode.NO_PIXEL_DATA)
    slices = sort_slices(group)
    cosines = np.asarray(first.ImageOrientationPatient, dtype=float)
    return Stack(tuple(slices), nearest_plane(cosines[3:], cosines[:3]), suitability(first))


def suitability(instance: pydicom.Dataset) -> float:
    """Score of a sequence for findings: fluid-sensitive and fat-suppressed first, T1 last.

    Public ablations on knee MRI lose most without a fluid-sensitive series and nothing without the others.
    """
    repetition_time, echo_time = number(instance, "RepetitionTime") or 0.0, number(instance, "EchoTime") or 0.0
    fluid = repetition_time >= _LONG_TR_MS and echo_time >= _FLUID_TE_MS
    options = instance.get("ScanOptions") or ()
    spoken = {options} if isinstance(options, str) else set(options)
    nearness = 1.0 / (1.0 + abs(echo_time - _IDEAL_TE_MS) / _IDEAL_TE_MS)
    return 4.0 * fluid + 2.0 * bool(spoken & _FAT_SUPPRESSED) + nearness


def _rank(stack: Stack) -> tuple[float, int, str]:
    return stack.score, len(stack.slices), str(stack.slices[0].SeriesInstanceUID)
