"""A whole result set of the small study of ``tests.studies``, made with highdicom: the pages read others' DICOM too.

The study's bright block is the phantom: the segmentation draws exactly that, the map is hot in its middle.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
from highdicom.sr.coding import CodedConcept
from pydicom.sr.codedict import codes
from pydicom.uid import Comprehensive3DSRStorage, KeyObjectSelectionDocumentStorage

from services.common.finding import LABELS
from services.common.uids import result_uid
from tests.studies import part10

BLOCK = (slice(20, 44), slice(24, 48))  # rows, columns of the bright block in every slice
HOT = (slice(26, 38), slice(30, 42))
HOT_SLICES = slice(3, 6)
BLUE = (24000, 40000, 6000)  # CIELab as DICOM scales it, a strong blue
_ORDER = ("segmentation", "activation-map", "report")  # the fake service counts what comes before the manifest
_NAMES = {"manufacturer": "Articula", "manufacturer_model_name": "Articula knee MRI", "software_versions": "0.1.0"}
_DEVICE = {**_NAMES, "device_serial_number": "1"}


def knee_results(header: Any, instances: Sequence[bytes], *, hostile: str = "") -> list[bytes]:
    """Segmentation of the first series, map and report, and the manifest last; ``hostile`` goes into the texts."""
    datasets = [pydicom.dcmread(BytesIO(each)) for each in instances]
    for each in datasets:
        each.AccessionNumber = each.StudyID = each.ReferringPhysicianName = ""  # highdicom wants them to be there
    first = datasets[0].SeriesInstanceUID
    series = sorted(
        (each for each in datasets if each.SeriesInstanceUID == first), key=lambda each: each.InstanceNumber
    )
    digest = header.input_digest
    segmentation, heat = _segmentation(series, digest), _map(series, digest)
    report = _document(Comprehensive3DSRStorage, "SR", "report", series[0], digest)
    report.ContentSequence = _content(series, heat, hostile)
    objects = [segmentation, heat, report]
    manifest = _document(KeyObjectSelectionDocumentStorage, "KO", "manifest", series[0], digest)
    manifest.CurrentRequestedProcedureEvidenceSequence = [_evidence(objects)]
    return [part10(each) for each in (*objects, manifest)]


def _uids(digest: str, kind: str) -> dict[str, Any]:
    return {
        "sop_instance_uid": result_uid(digest, *(("object", _ORDER.index(kind)) if kind in _ORDER else (kind,))),
        "series_instance_uid": result_uid(digest, f"{kind}-series"),
        "instance_number": 1,
    }


def _segmentation(series: Sequence[pydicom.Dataset], digest: str) -> pydicom.Dataset:
    mask = np.zeros((len(series), series[0].Rows, series[0].Columns), np.uint8)
    mask[:, *BLOCK] = 1
    description = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="Femur",
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=codes.SCT.Femur,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
    )
    made = hd.seg.Segmentation(
        series,
        mask,
        hd.seg.SegmentationTypeValues.BINARY,
        [description],
        series_number=9001,
        series_description="Articula segmentation sagittal",
        **_uids(digest, "segmentation"),
        **_DEVICE,
    )
    made.SegmentSequence[0].RecommendedDisplayCIELabValue = list(BLUE)
    return made


def _map(series: Sequence[pydicom.Dataset], digest: str) -> pydicom.Dataset:
    values = np.zeros((len(series), series[0].Rows, series[0].Columns), np.float32)
    values[HOT_SLICES, *HOT] = 1.0
    mapping = hd.pm.RealWorldValueMapping(
        lut_label="1",
        lut_explanation="activation",
        unit=codes.UCUM.NoUnits,
        value_range=(0.0, 1.0),
        slope=1.0,
        intercept=0.0,
    )
    return hd.pm.ParametricMap(
        series,
        values,
        series_number=9030,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[hd.VOILUTTransformation(window_center=0.5, window_width=1.0)],
        series_description="Articula activation map ACL",
        **_uids(digest, "activation-map"),
        **_DEVICE,
    )


def _document(sop_class: str, modality: str, kind: str, source: pydicom.Dataset, digest: str) -> pydicom.Dataset:
    made = pydicom.Dataset()
    made.file_meta = pydicom.dataset.FileMetaDataset()
    made.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    uids = _uids(digest, kind)
    made.SOPClassUID, made.SOPInstanceUID = sop_class, uids["sop_instance_uid"]
    made.SeriesInstanceUID, made.Modality = uids["series_instance_uid"], modality
    made.SeriesDescription, made.SeriesNumber, made.InstanceNumber = f"Articula {kind}", 9000, 1
    made.SoftwareVersions, made.ValueType = "0.1.0", "CONTAINER"
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate"):
        made[keyword] = source[keyword]
    return made


def _content(series: Sequence[pydicom.Dataset], heat: pydicom.Dataset, hostile: str) -> list[pydicom.Dataset]:
    groups = [_finding(label, number, series, heat) for number, label in enumerate(LABELS)]
    measured = _item(
        "CONTAINER",
        codes.DCM.MeasurementGroup,
        ContentSequence=[
            _item("TEXT", codes.DCM.TrackingIdentifier, TextValue=f"Effusion{hostile}"),
            _number(codes.SCT.Volume, 14.0, "cm3", ContentSequence=_range()),
        ],
    )
    return [
        _item("CONTAINER", codes.DCM.ImagingMeasurements, ContentSequence=[*groups, measured]),
        _item("TEXT", codes.DCM.Conclusion, TextValue=f"Above threshold: ACL.{hostile}"),
        _item("TEXT", codes.DCM.Comment, TextValue=f"missing: no usable axial series{hostile}"),
        _item("TEXT", codes.DCM.Comment, TextValue="pipeline knee 0.1.0: " + "ab" * 32),
    ]


def _range() -> list[pydicom.Dataset]:
    upper = CodedConcept("371933007", "SCT", "Normal Range Upper Limit")
    authority = CodedConcept("121408", "DCM", "Normal Range Authority")
    return [_number(upper, 8.0, "cm3"), _item("TEXT", authority, TextValue="A book, page 7")]


def _finding(label: str, number: int, series: Sequence[pydicom.Dataset], heat: pydicom.Dataset) -> pydicom.Dataset:
    probability = 0.91 if label == "ACL" else 0.3 - 0.02 * number
    links = [_image(codes.DCM.SourceOfMeasurement, series[4])]
    links += [_image(CodedConcept("125201", "DCM", "Illustration of Finding"), heat)] if label == "ACL" else []
    children = [
        _item("TEXT", codes.DCM.TrackingIdentifier, TextValue=label),
        _item("CODE", codes.DCM.Finding, ConceptCodeSequence=[CodedConcept("F", "99ARTICULA", f"{label} injury")]),
        _number(codes.DCM.Probability, probability),
        _number(CodedConcept("THRESHOLD", "99ARTICULA", "Threshold"), 0.4),
        *links,
    ]
    return _item("CONTAINER", codes.DCM.MeasurementGroup, ContentSequence=children)


def _item(value_type: str, name: Any, **attributes: Any) -> pydicom.Dataset:
    made = pydicom.Dataset()
    made.RelationshipType, made.ValueType = "CONTAINS", value_type
    made.ConceptNameCodeSequence = [CodedConcept(name.value, name.scheme_designator, name.meaning)]
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def _number(name: Any, value: float, unit: str = "1", **attributes: Any) -> pydicom.Dataset:
    measured = pydicom.Dataset()
    measured.NumericValue = round(value, 4)
    measured.MeasurementUnitsCodeSequence = [CodedConcept(unit, "UCUM", unit)]
    return _item("NUM", name, MeasuredValueSequence=[measured], **attributes)


def _image(name: Any, target: pydicom.Dataset) -> pydicom.Dataset:
    return _item("IMAGE", name, ReferencedSOPSequence=[_reference(target)])


def _reference(target: pydicom.Dataset) -> pydicom.Dataset:
    made = pydicom.Dataset()
    made.ReferencedSOPClassUID, made.ReferencedSOPInstanceUID = target.SOPClassUID, target.SOPInstanceUID
    return made


def _evidence(objects: Sequence[pydicom.Dataset]) -> pydicom.Dataset:
    made = pydicom.Dataset()
    made.StudyInstanceUID = objects[0].StudyInstanceUID
    made.ReferencedSeriesSequence = []
    for each in objects:
        series = pydicom.Dataset()
        series.SeriesInstanceUID, series.ReferencedSOPSequence = each.SeriesInstanceUID, [_reference(each)]
        made.ReferencedSeriesSequence.append(series)
    return made
