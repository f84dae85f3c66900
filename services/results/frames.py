"""Where each frame of a segmentation lies: functional groups and dimensions of an enhanced multi-frame object."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pydicom
from pydicom.valuerep import format_number_as_ds

from services.common.codes import SEGMENTATION, SOURCE_IMAGE
from services.common.dicom import number
from services.common.finding import Structure
from services.common.volume import slice_normal
from services.results.encoding import Value, coded, elements, item, joined

_DECIMAL_CHARACTERS = 16
_SEGMENT_IDENTIFICATION, _SEGMENT_NUMBER = 0x0062000A, 0x0062000B
_PLANE_POSITION, _IMAGE_POSITION = 0x00209113, 0x00200032


@dataclass(frozen=True)
class Frame:
    """One structure on one slice of the source series."""

    structure: Structure
    slice_index: int


def frame_items(
    sources: Sequence[pydicom.Dataset], frames: Sequence[Frame], numbers: Mapping[Structure, int]
) -> list[bytes]:
    """Per-frame functional groups: source image, position and segment; what a slice repeats is encoded once."""
    derivation = [_derivation(source) for source in sources]
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


def shared_items(sources: Sequence[pydicom.Dataset]) -> list[bytes]:
    """Shared functional groups: orientation and voxel size of the first slice, which stands for the stack."""
    first = sources[0]
    spacing = _spacing_between_slices(sources)
    thickness = number(first, "SliceThickness") or spacing  # often absent, sometimes 0
    measures: dict[str, Value] = {"SliceThickness": _decimal(thickness), "PixelSpacing": _decimals(first.PixelSpacing)}
    if spacing > 0:
        measures["SpacingBetweenSlices"] = _decimal(spacing)
    orientation = item(ImageOrientationPatient=_decimals(first.ImageOrientationPatient))
    return [item(PlaneOrientationSequence=[orientation], PixelMeasuresSequence=[item(**measures)])]


def dimensions(organization_uid: str) -> dict[str, Sequence[bytes]]:
    """Frames are ordered by segment, then along the stack."""
    pointers = (
        ("Referenced Segment Number", _SEGMENT_NUMBER, _SEGMENT_IDENTIFICATION),
        ("Image Position Patient", _IMAGE_POSITION, _PLANE_POSITION),
    )
    indices = [
        item(
            DimensionOrganizationUID=organization_uid,
            DimensionIndexPointer=[pointer],
            FunctionalGroupPointer=[group],
            DimensionDescriptionLabel=label,
        )
        for label, pointer, group in pointers
    ]
    return {
        "DimensionOrganizationSequence": [item(DimensionOrganizationUID=organization_uid)],
        "DimensionIndexSequence": indices,
    }


def _derivation(source: pydicom.Dataset) -> bytes:
    image = item(
        ReferencedSOPClassUID=source.SOPClassUID,
        ReferencedSOPInstanceUID=source.SOPInstanceUID,
        SpatialLocationsPreserved="YES",
        PurposeOfReferenceCodeSequence=[coded(SOURCE_IMAGE)],
    )
    derived = item(SourceImageSequence=[image], DerivationCodeSequence=[coded(SEGMENTATION)])
    return elements(DerivationImageSequence=[derived])


def _frame_content(*index_values: int) -> bytes:
    return elements(FrameContentSequence=[item(DimensionIndexValues=index_values)])


def _position(source: pydicom.Dataset) -> bytes:
    return elements(PlanePositionSequence=[item(ImagePositionPatient=_decimals(source.ImagePositionPatient))])


def _segment_identification(number: int) -> bytes:
    return elements(SegmentIdentificationSequence=[item(ReferencedSegmentNumber=[number])])


def _spacing_between_slices(sources: Sequence[pydicom.Dataset]) -> float:
    """Mean distance of neighbours along the normal in mm; 0 for a single slice."""
    if len(sources) == 1:
        return 0.0
    normal = slice_normal(sources[0].ImageOrientationPatient)
    along = np.array([source.ImagePositionPatient for source in (sources[0], sources[-1])], dtype=np.float64) @ normal
    return round(float(abs(along[1] - along[0])) / (len(sources) - 1), 6)


def _decimals(values: Sequence[float]) -> str:
    return "\\".join(_decimal(value) for value in values)


def _decimal(value: float) -> str:
    """A decimal string as the source wrote it where it fits, else with as many digits as do."""
    written = str(value)
    return written if len(written) <= _DECIMAL_CHARACTERS else format_number_as_ds(float(value))
