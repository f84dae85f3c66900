"""Where each frame of a result lies: functional groups and dimensions of an enhanced multi-frame object.

Sources are frames of one series in slice order, classic or enhanced; the result lies in their frame of reference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from pydicom.valuerep import format_number_as_ds

from services.common.codes import SEGMENTATION, SOURCE_IMAGE, Code
from services.common.finding import Structure
from services.common.frame import Frame
from services.common.volume import slice_normal
from services.results.content import image_items
from services.results.encoding import Value, coded, elements, item, joined

_DECIMAL_CHARACTERS = 16
_SEGMENT_IDENTIFICATION, _SEGMENT_NUMBER = 0x0062000A, 0x0062000B
_PLANE_POSITION, _IMAGE_POSITION = 0x00209113, 0x00200032


@dataclass(frozen=True)
class SegmentFrame:
    """One structure on one slice of the source series."""

    structure: Structure
    slice_index: int


def segment_frame_items(
    sources: Sequence[Frame], frames: Sequence[SegmentFrame], numbers: Mapping[Structure, int]
) -> list[bytes]:
    """Per-frame functional groups: source image, position and segment; what a slice repeats is encoded once."""
    derivation = [_derivation(source, SEGMENTATION) for source in sources]
    position = [_position(source) for source in sources]
    segment = {each: _segment_identification(value) for each, value in numbers.items()}
    return [
        joined(
            derivation[frame.slice_index],
            _frame_content(numbers[frame.structure], frame.slice_index + 1),
            position[frame.slice_index],
            segment[frame.structure],
        )
        for frame in frames
    ]


def slice_frame_items(sources: Sequence[Frame], derived_by: Code) -> list[bytes]:
    """Per-frame functional groups of a result with one frame a slice."""
    return [
        joined(_derivation(source, derived_by), _frame_content(number), _position(source))
        for number, source in enumerate(sources, start=1)
    ]


def shared_items(sources: Sequence[Frame], **groups: Value) -> list[bytes]:
    """Shared functional groups: orientation and voxel size of the first slice, which stands for the stack, and more."""
    first = sources[0]
    spacing = _spacing_between_slices(sources)
    thickness = first.number("SliceThickness") or spacing  # often absent, sometimes 0
    pixel_spacing = _decimals(first.pixel_spacing_mm or ())
    measures: dict[str, Value] = {"SliceThickness": _decimal(thickness), "PixelSpacing": pixel_spacing}
    if spacing > 0:
        measures["SpacingBetweenSlices"] = _decimal(spacing)
    orientation = item(ImageOrientationPatient=_decimals(first.orientation or ()))
    return [item(PlaneOrientationSequence=[orientation], PixelMeasuresSequence=[item(**measures)], **groups)]


def dimensions(organization_uid: str, *, segmented: bool) -> dict[str, Sequence[bytes]]:
    """Frames are ordered along the stack, those of a segmentation by segment before."""
    by_segment = ("Referenced Segment Number", _SEGMENT_NUMBER, _SEGMENT_IDENTIFICATION)
    by_slice = ("Image Position Patient", _IMAGE_POSITION, _PLANE_POSITION)
    indices = [
        item(
            DimensionOrganizationUID=organization_uid,
            DimensionIndexPointer=[pointer],
            FunctionalGroupPointer=[group],
            DimensionDescriptionLabel=label,
        )
        for label, pointer, group in ((by_segment, by_slice) if segmented else (by_slice,))
    ]
    return {
        "DimensionOrganizationSequence": [item(DimensionOrganizationUID=organization_uid)],
        "DimensionIndexSequence": indices,
    }


def source_references(sources: Sequence[Frame]) -> dict[str, Sequence[bytes]]:
    """The series and every image that a result was made from; the series names instances, the images also frames."""
    instances = {(each.sop_class_uid, each.sop_instance_uid): None for each in sources}
    listed = [item(ReferencedSOPClassUID=one, ReferencedSOPInstanceUID=uid) for one, uid in instances]
    series = item(SeriesInstanceUID=sources[0].series_instance_uid, ReferencedInstanceSequence=listed)
    return {"ReferencedSeriesSequence": [series], "SourceImageSequence": image_items(sources)}


def _derivation(source: Frame, derived_by: Code) -> bytes:
    images = image_items(
        [source], SpatialLocationsPreserved="YES", PurposeOfReferenceCodeSequence=[coded(SOURCE_IMAGE)]
    )
    derived = item(SourceImageSequence=images, DerivationCodeSequence=[coded(derived_by)])
    return elements(DerivationImageSequence=[derived])


@cache
def _frame_content(*index_values: int) -> bytes:
    return elements(FrameContentSequence=[item(DimensionIndexValues=index_values)])


def _position(source: Frame) -> bytes:
    return elements(PlanePositionSequence=[item(ImagePositionPatient=_decimals(source.position_mm or ()))])


@cache
def _segment_identification(number: int) -> bytes:
    return elements(SegmentIdentificationSequence=[item(ReferencedSegmentNumber=[number])])


def _spacing_between_slices(sources: Sequence[Frame]) -> float:
    """Mean distance of neighbours along the normal in mm; 0 for a single slice."""
    if len(sources) == 1:
        return 0.0
    normal = slice_normal(sources[0].orientation or ())
    along = np.array([source.position_mm for source in (sources[0], sources[-1])], dtype=np.float64) @ normal
    return round(float(abs(along[1] - along[0])) / (len(sources) - 1), 6)


def _decimals(values: Sequence[float]) -> str:
    return "\\".join(_decimal(value) for value in values)


def _decimal(value: float) -> str:
    """A decimal string with all digits where they fit, else with as many as do."""
    written = str(value)
    return written if len(written) <= _DECIMAL_CHARACTERS else format_number_as_ds(float(value))
