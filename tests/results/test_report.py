"""The report says in codes and in words what was found, measured, read, and by what."""

from io import BytesIO

import highdicom as hd
import numpy as np
import pydicom
import pytest

from services.common.codes import LOWER_UNCERTAINTY, NORMALITY, UPPER_UNCERTAINTY
from services.common.finding import LABELS, Category, Finding, Laterality, Location, Structure
from services.common.frame import Frame, frames_of
from services.common.measurement import Measurement, Quantity
from services.common.volume import Plane
from services.results.activation_map import activation_map_object
from services.results.conclusion import conclusion_text
from services.results.part10 import to_bytes
from services.results.report import MOST_IMPORTANT_SLICES, Evidence, report_object
from services.results.saliency import saliency_object
from services.results.segmentation import segmentation_object
from tests.studies import enhanced, series

EXTRUSION = Measurement(Quantity.EXTRUSION, Structure.MEDIAL_MENISCUS, 4.25, 0.6, Plane.SAGITTAL, 3)
MEASUREMENTS = (Measurement(Quantity.VOLUME, Structure.FEMUR, 8.5, 0.7, Plane.SAGITTAL, 2), EXTRUSION)


def read(dataset: pydicom.Dataset) -> hd.sr.Comprehensive3DSR:
    return hd.sr.srread(BytesIO(to_bytes(dataset)))


def named(dataset: pydicom.Dataset, name: str) -> list[pydicom.Dataset]:
    """All content items of one name, at any depth."""
    found = [dataset] if name in str(dataset.get("ConceptNameCodeSequence", "")) else []
    return found + [each for item in dataset.get("ContentSequence", []) for each in named(item, name)]


@pytest.fixture
def evidence(sources, labels, provenance) -> Evidence:
    seg = segmentation_object(sources, labels, plane=Plane.SAGITTAL, provenance=provenance)
    return Evidence(
        {Plane.SAGITTAL: sources},
        segmentations={Plane.SAGITTAL: seg},
        slices={"ACL": [2, 3, 1]},
        measurements=MEASUREMENTS,
    )


@pytest.fixture
def report(findings, evidence, provenance) -> hd.sr.Comprehensive3DSR:
    return read(report_object(findings, evidence, laterality=Laterality.LEFT, provenance=provenance))


def test_it_lists_all_findings_with_numbers_states_and_images(report, findings):
    """TID 1501 groups carry label, probability, threshold, state, category and the deciding image first."""
    groups = report.content.get_image_measurement_groups()
    assert [group.tracking_identifier for group in groups] == list(LABELS)
    for group, finding in zip(groups, findings, strict=True):
        probability, threshold = group.get_measurements()
        assert float(probability.value) == pytest.approx(finding.probability)
        assert float(threshold.value) == pytest.approx(finding.threshold)
        state, category = (each.value.meaning for each in group.get_qualitative_evaluations())
        assert (state, category) == (("Present", "Likely") if finding.positive else ("Absent", "Unlikely"))
        assert group.source_images[0].referenced_sop_instance_uid == finding.location.sop_instance_uid
        assert group.finding_sites[0].laterality.meaning == "Left"


def test_it_names_the_most_important_slices(report):
    """As references, and in words that count from one."""
    group = report.content.get_image_measurement_groups()[0]
    assert [each.referenced_sop_instance_uid for each in group.source_images] == ["1.2.3.4.3", "1.2.3.4.4", "1.2.3.4.2"]
    sentence = named(report, MOST_IMPORTANT_SLICES.meaning)[0].TextValue
    assert sentence == "sagittal slice 3, 4, 2 of 6, the most important first"


def test_measurements_hang_on_their_segment_with_uncertainty_and_range(report, evidence):
    """TID 1411 groups: unit, both uncertainties, normality, the limit and who set it, the image, the segment."""
    _, meniscus = report.content.get_volumetric_roi_measurement_groups()
    (value,) = meniscus.get_measurements()
    assert (float(value.value), value.unit.value) == (4.25, "mm")
    for name in (UPPER_UNCERTAINTY, LOWER_UNCERTAINTY):
        (uncertainty,) = named(value[0], name.meaning)
        assert float(uncertainty.MeasuredValueSequence[0].NumericValue) == 0.6
    assert named(value[0], NORMALITY.meaning)[0].ConceptCodeSequence[0].CodeMeaning == "Abnormal"
    assert "10.1007/s00330-018-5914-0" in named(value[0], "Normal Range Authority")[0].TextValue
    assert value.referenced_images[0].referenced_sop_instance_uid == "1.2.3.4.4"
    segmentation = evidence.segmentations[Plane.SAGITTAL]
    (segment,) = named(meniscus[0], "Referenced Segment")
    reference = segment.ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == segmentation.dataset.SOPInstanceUID
    described = segmentation.dataset.SegmentSequence[int(reference.ReferencedSegmentNumber) - 1]
    assert described.SegmentLabel == "Medial meniscus"
    assert described.TrackingUID == meniscus.tracking_uid


def test_a_value_without_a_published_range_has_none(report):
    """Nothing is compared with a number that nobody can look up."""
    femur, _ = report.content.get_volumetric_roi_measurement_groups()
    assert named(femur[0], "Normal") == []


def test_it_links_each_finding_to_its_pictures(sources, labels, findings, provenance):
    """Picture and map stand in the finding's own group and in the evidence."""
    heat = np.where(labels > 0, 255, 0).astype(np.uint8)
    overlays = [
        saliency_object(sources, (heat, heat), finding=findings[0], provenance=provenance),
        activation_map_object(sources, heat, finding=findings[0], provenance=provenance),
    ]
    evidence = Evidence({Plane.SAGITTAL: sources}, overlays={"ACL": overlays})
    report = read(report_object(findings, evidence, laterality=Laterality.LEFT, provenance=provenance))
    first, second, *_ = report.content.get_image_measurement_groups()
    shown = [each.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for each in named(first[0], "Illustration")]
    assert shown == [each.SOPInstanceUID for each in overlays]
    assert named(second[0], "Illustration") == []
    listed = {
        item.ReferencedSOPInstanceUID
        for group in report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        for item in group.ReferencedSOPSequence
    }
    assert set(shown) | {source.sop_instance_uid for source in sources} == listed


def test_the_image_library_holds_every_image_that_was_read(report, sources):
    """In slice order, with what they are images of."""
    (group,) = named(report, "Image Library Group")
    images = [item.ReferencedSOPSequence[0] for item in group.ContentSequence if item.ValueType == "IMAGE"]
    assert [each.ReferencedSOPInstanceUID for each in images] == [source.sop_instance_uid for source in sources]
    assert named(group, "Modality")[0].ConceptCodeSequence[0].CodeValue == "MR"


def test_it_says_which_networks_answered(report):
    """Name, version, manufacturer and digest in every group; all digests, and preprocessing, as comments."""
    for group in report.content.get_image_measurement_groups():
        texts = [str(item.get("TextValue", "")) for item in group[0].ContentSequence]
        assert {"knee_classification", "0.1.0", "Articula", f"onnx_sha256={'a' * 64}"} <= set(texts)
    comments = [item.TextValue for item in named(report, "Comment")]
    assert f"model knee_cam: sha256 {'a' * 64}" in comments
    assert f"input digest: {'d' * 64}" in comments


def multi_frame(plane: Plane = Plane.SAGITTAL) -> list[Frame]:
    """Slices of one enhanced object whose frames lie in reverse order of the stack."""
    return frames_of(enhanced(series(plane, slices=6)))[::-1]


def test_frames_of_an_enhanced_object_are_named_by_number(labels, findings, provenance):
    """In the report, the segmentation, the picture and the map; the evidence names the instance once."""
    frames = multi_frame()
    labels = labels[:, :, :40]
    heat = np.where(labels > 0, 255, 0).astype(np.uint8)
    seg = segmentation_object(frames, labels, plane=Plane.SAGITTAL, provenance=provenance)
    picture = saliency_object(frames, (heat, heat), finding=findings[0], provenance=provenance)
    activation = activation_map_object(frames, heat, finding=findings[0], provenance=provenance)
    evidence = Evidence({Plane.SAGITTAL: frames}, segmentations={Plane.SAGITTAL: seg}, measurements=MEASUREMENTS)
    report = read(report_object(findings, evidence, laterality=Laterality.LEFT, provenance=provenance))
    group = report.content.get_image_measurement_groups()[0]
    assert list(group.source_images[0].referenced_frame_numbers) == [4], "slice 2 of the reversed frames"
    (source,) = picture.SourceImageSequence
    assert list(source.ReferencedFrameNumber) == [5, 4, 3, 2]
    for each, expected in ((seg.dataset, 5), (activation, 6)):
        named_first = each.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
        assert named_first.ReferencedFrameNumber == expected
        assert len(each.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 1
    positions = [
        list(each.PlanePositionSequence[0].ImagePositionPatient) for each in activation.PerFrameFunctionalGroupsSequence
    ]
    assert np.allclose(positions, [frame.position_mm for frame in frames])
    listed = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert [len(each.ReferencedSOPSequence) for each in listed] == [1, 1]


def test_the_conclusion_can_be_dictated(findings):
    """What is above threshold first, then what is open, then measurements outside their range, then nothing."""
    place = Location(Plane.SAGITTAL, 2, "1.2.3.4.3")
    open_one = Finding("MCL", 0.4, 0.5, place)
    text = conclusion_text([findings[0], open_one, *findings[2:]], [EXTRUSION], Laterality.LEFT)
    assert text == (
        "MRI of the left knee, automated reading. "
        "Above threshold: Anterior cruciate ligament injury (probability 0.90). "
        "Equivocal, below threshold: Medial collateral ligament injury (probability 0.40). "
        "Outside the reference range: Medial meniscus extrusion 4.2 +- 0.6 mm (up to 3.0)."
    )
    healthy = conclusion_text(findings[1:], [], Laterality.UNKNOWN)
    assert (
        healthy == "MRI of the knee, side unknown, automated reading. None of the twelve findings is above threshold."
    )


@pytest.mark.parametrize(
    ("probability", "threshold", "category"),
    [
        (0.51, 0.5, Category.EQUIVOCAL),
        (0.49, 0.5, Category.EQUIVOCAL),
        (0.70, 0.5, Category.LIKELY),
        (0.30, 0.5, Category.UNLIKELY),
        (0.30, 0.1, Category.LIKELY),
        (0.04, 0.1, Category.UNLIKELY),
        (1.0, 0.5, Category.LIKELY),
        (0.0, 0.5, Category.UNLIKELY),
    ],
)
def test_a_category_is_the_distance_from_the_threshold_in_odds(probability, threshold, category):
    """Twice the threshold's odds are likely, half of them unlikely, whatever the threshold."""
    assert Finding("ACL", probability, threshold, Location(Plane.SAGITTAL, 0, "1.2")).category is category
