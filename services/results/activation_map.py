"""Where a finding was seen, as numbers: a float32 Parametric Map on the source series' own grid.

One frame a source slice, all of them, at the source's size: OHIF lays a map over its series by frame order and refuses
anything else. Values run from 0 to 1, relative to the strongest activation of the finding (DCM 130402). The pixels are
the largest thing this project writes, a megabyte a slice, so they become floats only while they go to the file.
"""

from collections.abc import Sequence

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.uid import ParametricMapStorage

from services.common.codes import CLASS_ACTIVATION, NO_UNITS, QUANTITY
from services.common.finding import LABELS, Finding
from services.common.frame import Frame
from services.common.study import Provenance
from services.results.encoding import coded, item, put
from services.results.frames import dimensions, shared_items, slice_frame_items, source_references
from services.results.identity import instance_uid, new_object, own_frame_of_reference, place, set_lossiness, sign
from services.results.part10 import FloatFrames

KIND = "activation-map"
_SERIES_NUMBER = 9030
_TYPE = "DERIVED\\PRIMARY\\VOLUME\\NONE"
_FULL_SCALE = 255


def activation_map_object(
    sources: Sequence[Frame], heat: NDArray[np.uint8], *, finding: Finding, provenance: Provenance
) -> pydicom.Dataset:
    """Parametric Map of one finding; ``heat`` is ``(slice, row, column)`` on the grid of ``sources``."""
    index = LABELS.index(finding.label)
    dataset = new_object(ParametricMapStorage, KIND, provenance=provenance, index=index)
    put(dataset, Modality="OT", SeriesNumber=str(_SERIES_NUMBER + index), Laterality="")
    place(dataset, sources[0], own_frame_of_reference(finding.location.plane, provenance))
    set_lossiness(dataset, sources[0].instance)
    _describe(dataset, finding)
    sequences: dict[str, Sequence[bytes]] = {
        "PerFrameFunctionalGroupsSequence": slice_frame_items(sources, CLASS_ACTIVATION),
        "SharedFunctionalGroupsSequence": shared_items(sources, **_map_groups(finding)),
        **dimensions(instance_uid(provenance, "map-dimension-organization", index), segmented=False),
        **source_references(sources),
    }
    put(dataset, **sequences)
    _set_pixels(dataset, heat)
    description = f"Articula activation map {finding.label}"
    return sign(dataset, sources[0].instance, kind="Activation map", description=description)


def _describe(dataset: pydicom.Dataset, finding: Finding) -> None:
    put(
        dataset,
        ImageType=_TYPE,
        PixelPresentation="MONOCHROME",
        ContentQualification="RESEARCH",
        ContentLabel="ACTIVATION",
        ContentCreatorName="",
        ContentDescription=f"Class activation of {finding.label}, research use only",
        DimensionOrganizationType="3D",
        AcquisitionContextSequence=[],
        BurnedInAnnotation="NO",
        RecognizableVisualFeatures="NO",
        PresentationLUTShape="IDENTITY",
    )


def _map_groups(finding: Finding) -> dict[str, list[bytes]]:
    quantity = item(
        ValueType="CODE", ConceptNameCodeSequence=[coded(QUANTITY)], ConceptCodeSequence=[coded(CLASS_ACTIVATION)]
    )
    mapping = item(
        LUTLabel="ACTIVATION",
        LUTExplanation=f"Class activation of {finding.label}, 1 is its maximum",
        MeasurementUnitsCodeSequence=[coded(NO_UNITS)],
        DoubleFloatRealWorldValueFirstValueMapped=[0.0],
        DoubleFloatRealWorldValueLastValueMapped=[1.0],
        RealWorldValueIntercept=[0.0],
        RealWorldValueSlope=[1.0],
        QuantityDefinitionSequence=[quantity],
    )
    return {
        "ParametricMapFrameTypeSequence": [item(FrameType=_TYPE)],
        "RealWorldValueMappingSequence": [mapping],
        "FrameVOILUTSequence": [item(WindowCenter="0.5", WindowWidth="1")],
        "PixelValueTransformationSequence": [item(RescaleIntercept="0", RescaleSlope="1", RescaleType="US")],
    }


def _set_pixels(dataset: pydicom.Dataset, heat: NDArray[np.uint8]) -> None:
    slices, rows, columns = heat.shape
    put(dataset, SamplesPerPixel=[1], PhotometricInterpretation="MONOCHROME2", NumberOfFrames=str(slices))
    put(dataset, Rows=[rows], Columns=[columns], BitsAllocated=[32])
    dataset.add_new("FloatPixelData", "OF", FloatFrames(heat, 1 / _FULL_SCALE))
