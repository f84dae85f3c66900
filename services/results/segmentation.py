"""Label maps as DICOM Segmentation objects on the source series' own geometry."""

from collections.abc import Sequence

import highdicom as hd
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.sr.coding import Code as CodedConcept
from pydicom.uid import UID, ExplicitVRLittleEndian

from services.common.codes import STRUCTURE_CODES, Code, StructureCode
from services.common.finding import Structure
from services.common.study import Provenance
from services.common.volume import Plane
from services.results.identity import (
    DEVICE_SERIAL_NUMBER,
    MANUFACTURER,
    MODEL_NAME,
    instance_uid,
    series_uid,
    sign,
    with_required,
)

KIND = "segmentation"
_SERIES_NUMBER = 9001
_ALGORITHM_FAMILY = CodedConcept("123109", "DCM", "Artificial Intelligence")


def segmentation_object(
    sources: Sequence[pydicom.Dataset], labels: NDArray[np.uint8], *, plane: Plane, provenance: Provenance
) -> pydicom.Dataset | None:
    """BINARY SEG of the structures present, one segment each; None where no structure is present.

    ``sources`` are the instances of one series in slice order, ``labels`` their label map ``(slice, row, column)``.
    """
    present = [structure for structure in STRUCTURE_CODES if np.any(labels == structure)]
    if not present:
        return None
    index = list(Plane).index(plane)
    numbers = np.zeros(max(Structure) + 1, dtype=np.uint8)
    numbers[present] = np.arange(1, len(present) + 1)
    dataset = hd.seg.Segmentation(
        source_images=[_source(source, provenance, index) for source in sources],
        pixel_array=numbers[labels],
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _segment(number, STRUCTURE_CODES[structure], provenance)
            for number, structure in enumerate(present, start=1)
        ],
        series_instance_uid=series_uid(provenance, KIND, index),
        series_number=_SERIES_NUMBER + index,
        sop_instance_uid=instance_uid(provenance, KIND, index),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=provenance.software_version,
        device_serial_number=DEVICE_SERIAL_NUMBER,
        content_label="KNEE",
        content_description="Knee structures, research use only",
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    organization = instance_uid(provenance, "dimension-organization", index)
    dataset.DimensionOrganizationSequence[0].DimensionOrganizationUID = organization
    for item in dataset.DimensionIndexSequence:
        item.DimensionOrganizationUID = organization
    return sign(dataset, sources[0], kind="Segmentation", description=f"Articula segmentation {plane}")


def _source(source: pydicom.Dataset, provenance: Provenance, index: int) -> pydicom.Dataset:
    """A source highdicom accepts; a series without a frame of reference is one of its own."""
    complete = with_required(source)
    if not complete.get("FrameOfReferenceUID"):
        complete.FrameOfReferenceUID = UID(instance_uid(provenance, "frame-of-reference", index))
    return complete


def _segment(number: int, structure: StructureCode, provenance: Provenance) -> hd.seg.SegmentDescription:
    description = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=structure.label,
        segmented_property_category=coded(structure.category),
        segmented_property_type=coded(structure.type),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name="knee_segmentation",
            family=_ALGORITHM_FAMILY,
            version=provenance.software_version,
            source=MANUFACTURER,
            parameters={"onnx_sha256": provenance.model_digests["knee_segmentation"]},
        ),
        anatomic_regions=[coded(structure.region)] if structure.region else None,
        display_color=hd.color.CIELabColor.from_rgb(*structure.colour),
    )
    if structure.modifier:
        modifier = hd.sr.CodedConcept.from_code(coded(structure.modifier))
        description.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [modifier]
    return description


def coded(code: Code) -> CodedConcept:
    """The same concept as pydicom writes it."""
    return CodedConcept(code.value, code.scheme, code.meaning)
