"""What is encoded by hand equals what highdicom, an independent implementation, would have written."""

import copy
import json

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code as CodedConcept

from services.common.codes import ABNORMAL, FINDING_CODES, KNEE_JOINT, LEFT, STRUCTURE_CODES, SUM_OF_VOXELS, Code
from services.common.finding import LABELS, Finding, Laterality, Structure
from services.common.frame import Frame
from services.common.measurement import Measurement, Quantity
from services.common.volume import Plane
from services.results.color import cielab
from services.results.document import PROCEDURE
from services.results.encoding import coded, item, raw_element
from services.results.identity import DEVICE_SERIAL_NUMBER, MANUFACTURER, MODEL_NAME, instance_uid
from services.results.measured import EXTRUSION
from services.results.part10 import to_bytes
from services.results.report import CATEGORY, CATEGORY_CODES, STATE, THRESHOLD, Evidence, report_object
from services.results.segmentation import Segmentation, segmentation_object, structure_uid


def concept(code: Code) -> CodedConcept:
    return CodedConcept(code.value, code.scheme, code.meaning)


def highdicom_group(finding: Finding, image: Frame, provenance) -> hd.sr.MeasurementsAndQualitativeEvaluations:
    uid = instance_uid(provenance, "finding", LABELS.index(finding.label))
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=uid, identifier=finding.label),
        finding_type=concept(FINDING_CODES[finding.label]),
        finding_sites=[hd.sr.FindingSite(concept(KNEE_JOINT), laterality=concept(LEFT))],
        algorithm_id=hd.sr.AlgorithmIdentification(
            "knee_classification",
            provenance.software_version,
            parameters=[f"onnx_sha256={'a' * 64}"],
            manufacturer=MANUFACTURER,
        ),
        measurements=[
            hd.sr.Measurement(codes.DCM.Probability, finding.probability, codes.UCUM.NoUnits),
            hd.sr.Measurement(concept(THRESHOLD), finding.threshold, codes.UCUM.NoUnits),
        ],
        qualitative_evaluations=[
            hd.sr.QualitativeEvaluation(concept(STATE), codes.SCT.Present if finding.positive else codes.SCT.Absent),
            hd.sr.QualitativeEvaluation(concept(CATEGORY), concept(CATEGORY_CODES[finding.category])),
        ],
        source_images=[hd.sr.SourceImageForMeasurementGroup(image.sop_class_uid, image.sop_instance_uid)],
    )


def highdicom_measurement(measurement: Measurement, frame: Frame) -> hd.sr.Measurement:
    name, unit = {
        Quantity.VOLUME: (codes.SCT.Volume, codes.UCUM.CubicCentimeter),
        Quantity.EXTRUSION: (concept(EXTRUSION), codes.UCUM.Millimeter),
    }[measurement.quantity]
    normal = None
    if measurement.reference:
        limit = hd.sr.NumContentItem(
            codes.SCT.NormalRangeUpperLimit, measurement.reference.high, unit, relationship_type="HAS PROPERTIES"
        )
        normal = hd.sr.NormalRangeProperties(
            [limit], description=measurement.reference.description, authority=measurement.reference.source
        )
    return hd.sr.Measurement(
        name,
        measurement.value,
        unit,
        method=concept(SUM_OF_VOXELS) if measurement.quantity is Quantity.VOLUME else None,
        properties=hd.sr.MeasurementProperties(
            normality=concept(ABNORMAL) if normal else None,
            normal_range_properties=normal,
            upper_measurement_uncertainty=measurement.uncertainty,
            lower_measurement_uncertainty=measurement.uncertainty,
        ),
        referenced_images=[hd.sr.SourceImageForMeasurement(frame.sop_class_uid, frame.sop_instance_uid)],
    )


def highdicom_structure(measurement: Measurement, seg: Segmentation, frames: list[Frame], provenance):
    structure = STRUCTURE_CODES[measurement.structure]
    site = hd.sr.FindingSite(
        concept(structure.region or KNEE_JOINT),
        laterality=concept(LEFT),
        topographical_modifier=concept(structure.modifier) if structure.modifier else None,
    )
    uid = structure_uid(measurement.structure, provenance)
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=uid, identifier=structure.label),
        referenced_segment=hd.sr.ReferencedSegment(
            seg.dataset.SOPClassUID,
            seg.dataset.SOPInstanceUID,
            seg.numbers[measurement.structure],
            source_series=hd.sr.SourceSeriesForSegmentation(frames[0].series_instance_uid),
        ),
        finding_type=concept(structure.type),
        finding_sites=[site],
        algorithm_id=hd.sr.AlgorithmIdentification(
            "knee_segmentation",
            provenance.software_version,
            parameters=[f"onnx_sha256={'a' * 64}"],
            manufacturer=MANUFACTURER,
        ),
        measurements=[highdicom_measurement(measurement, frames[measurement.slice_index])],
    )


MEASUREMENTS = (
    Measurement(Quantity.VOLUME, Structure.FEMUR, 8.5, 0.7, Plane.SAGITTAL, 2),
    Measurement(Quantity.EXTRUSION, Structure.MEDIAL_MENISCUS, 4.25, 0.6, Plane.SAGITTAL, 3),
)
UNCERTAINTIES = {"371886008", "371885007"}


def without_uncertainty_units(items: list[dict]) -> list[dict]:
    """The tree, where the unit of an uncertainty is left out: highdicom writes "no units" for one in millimetres."""
    plain = json.loads(json.dumps(items).replace("Source Series for Seg", "Source series for seg"))  # as PS3.16
    waiting = list(plain)
    while waiting:
        each = waiting.pop()
        waiting += each.get("0040A730", {}).get("Value", [])
        name = each.get("0040A043", {}).get("Value", [{}])[0].get("00080100", {}).get("Value", [""])[0]
        if name in UNCERTAINTIES:
            del each["0040A300"]["Value"][0]["004008EA"]
    return plain


def test_the_report_is_the_tid_1500_tree_that_highdicom_builds(sources, labels, findings, provenance):
    """Item by item, code by code, down to the number strings; ours only goes on where highdicom's ends."""
    seg = segmentation_object(sources, labels, plane=Plane.SAGITTAL, provenance=provenance)
    evidence = Evidence({Plane.SAGITTAL: sources}, segmentations={Plane.SAGITTAL: seg}, measurements=MEASUREMENTS)
    ours = report_object(findings, evidence, laterality=Laterality.LEFT, provenance=provenance)
    groups = [highdicom_group(finding, sources[2], provenance) for finding in findings]
    groups += [highdicom_structure(each, seg, sources, provenance) for each in MEASUREMENTS]
    root = highdicom_report(groups, provenance)
    for keyword in ("ValueType", "ConceptNameCodeSequence", "ContinuityOfContent", "ContentTemplateSequence"):
        assert ours[keyword].to_json_dict(None, 0) == root[keyword].to_json_dict(None, 0)
    written = {name_of(each): each for each in ours.ContentSequence}
    for theirs in root.ContentSequence:
        assert trimmed(written[name_of(theirs)]) == without_uncertainty_units([theirs.to_json_dict()])


def name_of(item: pydicom.Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeMeaning)


def trimmed(item: pydicom.Dataset) -> list[dict]:
    """Our item without what highdicom has no words for: the sentence about slices."""
    plain = json.loads(json.dumps(item.to_json_dict()))
    for group in plain.get("0040A730", {}).get("Value", []):
        children = group.get("0040A730", {}).get("Value", [])
        children[:] = [each for each in children if "Most important slices" not in json.dumps(each)]
    return without_uncertainty_units([plain])


def highdicom_report(groups: list, provenance, images: list[pydicom.Dataset] | None = None) -> pydicom.Dataset:
    observer = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=instance_uid(provenance, "device"),
        name=f"{MODEL_NAME} {provenance.software_version}",
        manufacturer_name=MANUFACTURER,
        model_name=MODEL_NAME,
        serial_number=DEVICE_SERIAL_NUMBER,
    )
    context = hd.sr.ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=observer)
    return hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=context),
        procedure_reported=concept(PROCEDURE),
        imaging_measurements=groups,
        referenced_images=images,
        title=codes.DCM.ImagingMeasurementReport,
    )[0]


@pytest.fixture
def both(tmp_path, sources, labels, provenance) -> tuple[hd.seg.Segmentation, hd.seg.Segmentation]:
    """Our segmentation and highdicom's of the same labels, each read back by highdicom."""
    present = sorted(set(np.unique(labels)) - {0})
    theirs = hd.seg.Segmentation(
        source_images=[hd_readable(source.instance) for source in sources],
        pixel_array=np.searchsorted([0, *present], labels).astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=[highdicom_segment(number, value) for number, value in enumerate(present, start=1)],
        series_instance_uid="1.2.3.50",
        series_number=9001,
        sop_instance_uid="1.2.3.51",
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions="0.1.0",
        device_serial_number=DEVICE_SERIAL_NUMBER,
    )
    theirs.save_as(tmp_path / "theirs.dcm")
    ours = segmentation_object(sources, labels, plane=Plane.SAGITTAL, provenance=provenance).dataset
    (tmp_path / "ours.dcm").write_bytes(to_bytes(ours))
    return hd.seg.segread(tmp_path / "ours.dcm"), hd.seg.segread(tmp_path / "theirs.dcm")


def hd_readable(source: pydicom.Dataset) -> pydicom.Dataset:
    """A copy without the names and character sets that highdicom refuses; geometry is what is compared."""
    plain = copy.deepcopy(source)
    plain.PatientName = "Yamada^Tarou"
    del plain.SpecificCharacterSet
    return plain


def highdicom_segment(number: int, value: int) -> hd.seg.SegmentDescription:
    structure = STRUCTURE_CODES[value]
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=structure.label,
        segmented_property_category=concept(structure.category),
        segmented_property_type=concept(structure.type),
        algorithm_type="AUTOMATIC",
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            "knee_segmentation", codes.cid7162.ArtificialIntelligence, "0.1.0"
        ),
        display_color=hd.color.CIELabColor.from_rgb(*structure.colour),
    )


def test_both_segmentations_lie_in_the_same_place(both):
    """One affine from voxel to patient, on an oblique stack."""
    ours, theirs = (each.get_volume() for each in both)
    assert np.allclose(ours.affine, theirs.affine, atol=1e-4)
    assert np.array_equal(ours.array, theirs.array)


def test_both_segmentations_have_the_same_attributes(both):
    """Nothing required is missing; what differs is what highdicom says about itself and what only we say."""
    ours, theirs = (set(each.dir()) for each in both)
    assert theirs - ours <= {"ContributingEquipmentSequence", "PresentationLUTShape", "NumberOfFrames"}
    only_ours = {
        "SeriesDescription",
        "ImageComments",
        "InstanceCreatorUID",
        "ContentCreatorName",
        "SpecificCharacterSet",
    }
    assert ours - theirs <= only_ours | {"SeriesDate", "SeriesTime", "StudyDescription"}


def test_frames_and_shared_groups_hold_the_same_attributes(both):
    """Functional groups match element by element, apart from the order of the frames."""
    ours, theirs = both
    spacing = [shared_groups(each).PixelMeasuresSequence[0].pop("SpacingBetweenSlices").value for each in both]
    assert spacing[0] == pytest.approx(spacing[1], abs=1e-5)  # ours is rounded to a nanometre
    assert shared_groups(ours).to_json_dict() == shared_groups(theirs).to_json_dict()

    assert frames_as_json(ours) == frames_as_json(theirs)


def shared_groups(seg: pydicom.Dataset) -> pydicom.Dataset:
    return seg.SharedFunctionalGroupsSequence[0]


def frames_as_json(seg: pydicom.Dataset) -> list[str]:
    frames = list(seg.PerFrameFunctionalGroupsSequence)
    for frame in frames:
        del frame.FrameContentSequence
    return sorted(frame.to_json() for frame in frames)


@pytest.mark.parametrize("structure", STRUCTURE_CODES.values(), ids=lambda structure: structure.label)
def test_display_colours_are_those_of_highdicom(structure):
    """The same CIELab triplet to within rounding."""
    theirs = hd.color.CIELabColor.from_rgb(*structure.colour).value
    assert np.allclose(cielab(structure.colour), theirs, atol=1)


def test_a_long_code_travels_as_a_long_code_value():
    """Code Value holds 16 characters, Long Code Value the rest."""
    dataset = pydicom.Dataset()
    element = raw_element("ConceptCodeSequence", [coded(Code("UNSUPPORTED_TRANSFER_SYNTAX", "99ARTICULA", "x"))])
    dataset[element.tag] = element
    assert dataset.ConceptCodeSequence[0].LongCodeValue == "UNSUPPORTED_TRANSFER_SYNTAX"
    assert "CodeValue" not in dataset.ConceptCodeSequence[0]


def test_elements_are_written_in_the_order_of_their_tags():
    """Whatever the order of the call; anything else would be invalid DICOM."""
    assert item(CodeMeaning="b", CodeValue="a") == item(CodeValue="a", CodeMeaning="b")


def test_text_beyond_ascii_can_not_break_the_source_s_character_set():
    """Other characters become question marks, because only ASCII is common to every character set."""
    assert b"caf? " in item(TextValue="café ")


def test_an_unknown_keyword_is_refused():
    """A typing error fails at once instead of storing an unreadable object."""
    with pytest.raises(ValueError, match="no such DICOM keyword"):
        item(CodeValu="a")
