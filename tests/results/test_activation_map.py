"""The activation map holds the saliency's numbers where the source lies."""

from io import BytesIO
from itertools import pairwise

import highdicom as hd
import numpy as np
import pydicom
import pytest

from services.common.volume import Plane
from services.results.activation_map import activation_map_object
from services.results.part10 import FloatFrames, to_bytes, write_file
from services.results.saliency import most_important_slices, slices_to_show
from services.results.segmentation import segmentation_object


@pytest.fixture
def heat(labels) -> np.ndarray:
    drawn = np.zeros(labels.shape, np.uint8)
    drawn[2:4, 10:20, 10:20] = np.random.default_rng(1).integers(0, 256, (2, 10, 10))
    return drawn


def test_highdicom_reads_the_numbers_in_the_source_s_place(tmp_path, sources, labels, heat, findings, provenance):
    """A 255th of what the model said, on the same affine as the segmentation of the series."""
    path = tmp_path / "map.dcm"
    write_file(activation_map_object(sources, heat, finding=findings[0], provenance=provenance), path)
    volume = hd.imread(path).get_volume()
    places = np.array([volume.affine @ [index, 0, 0, 1] for index in range(len(sources))])[:, :3]
    order = [int(np.linalg.norm(places - source.position_mm, axis=1).argmin()) for source in sources]
    assert sorted(order) == list(range(len(sources)))
    assert np.allclose(np.asarray(volume.array).reshape(heat.shape)[order], heat / 255, atol=1e-6)
    seg = segmentation_object(sources, labels, plane=Plane.SAGITTAL, provenance=provenance).dataset
    (tmp_path / "seg.dcm").write_bytes(to_bytes(seg))
    segmented = hd.seg.segread(tmp_path / "seg.dcm").get_volume()
    assert np.allclose(volume.affine[:3, :3], segmented.affine[:3, :3], atol=1e-5), (
        "a stack with fewer slices, else the same"
    )


def test_it_holds_what_highdicom_would_have_written(sources, heat, findings, provenance):
    """Attribute by attribute, functional group by functional group; only the frame type is ours."""
    ours = pydicom.dcmread(
        BytesIO(to_bytes(activation_map_object(sources, heat, finding=findings[0], provenance=provenance)))
    )
    plain = [frame.instance for frame in sources]
    for each in plain:
        each.PatientName = "Yamada^Tarou"
        del each.SpecificCharacterSet
    mapping = hd.pm.RealWorldValueMapping(
        "ACTIVATION",
        str(ours.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0].LUTExplanation),
        hd.sr.CodedConcept("1", "UCUM", "no units"),
        (0.0, 1.0),
        slope=1.0,
        intercept=0.0,
        quantity_definition=hd.sr.CodedConcept("130402", "DCM", "Class activation"),
    )
    theirs = hd.pm.ParametricMap(
        plain,
        (heat / 255).astype(np.float32),
        "1.2.3.60",
        9030,
        "1.2.3.61",
        1,
        "Articula",
        "Articula knee MRI",
        "0.1.0",
        "articula",
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[hd.VOILUTTransformation(window_center=0.5, window_width=1.0)],
        content_label="ACTIVATION",
        derivation=hd.sr.CodedConcept("130402", "DCM", "Class activation"),
    )
    assert set(theirs.dir()) - set(ours.dir()) <= {"ContributingEquipmentSequence"}
    shared = [each.SharedFunctionalGroupsSequence[0] for each in (ours, theirs)]
    for each in shared:
        del each.ParametricMapFrameTypeSequence
        each.PixelMeasuresSequence[0].SpacingBetweenSlices = 3.5  # ours is rounded to a nanometre
    assert shared[0].to_json_dict() == shared[1].to_json_dict()
    pairs = zip(ours.PerFrameFunctionalGroupsSequence, theirs.PerFrameFunctionalGroupsSequence, strict=True)
    frames = [[frame.to_json_dict() for frame in pair] for pair in pairs]
    backwards = [[one, other] for (one, _), (_, other) in zip(frames, reversed(frames), strict=True)]
    positions = [frame["00209113"] for frame, _ in frames]
    assert positions in ([other["00209113"] for _, other in pairs_of] for pairs_of in (frames, backwards))


def test_frames_follow_the_slices_of_the_source(sources, heat, findings, provenance):
    """All slices, in order: OHIF lays frames over a series by counting them."""
    ours = activation_map_object(sources, heat, finding=findings[0], provenance=provenance)
    named = [
        frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        for frame in ours.PerFrameFunctionalGroupsSequence
    ]
    assert named == [source.sop_instance_uid for source in sources]
    indices = [frame.FrameContentSequence[0].DimensionIndexValues for frame in ours.PerFrameFunctionalGroupsSequence]
    assert all(int(after) == int(before) + 1 for before, after in pairwise(indices))


def test_the_file_with_holes_has_the_bytes_of_the_one_without(tmp_path, sources, heat, findings, provenance):
    """Frames without heat are not written, and are read as zero."""
    ours = activation_map_object(sources, heat, finding=findings[0], provenance=provenance)
    write_file(ours, tmp_path / "map.dcm")
    assert (tmp_path / "map.dcm").read_bytes() == to_bytes(ours)
    cold = activation_map_object(sources, heat * 0, finding=findings[0], provenance=provenance)
    write_file(cold, tmp_path / "cold.dcm")
    assert (tmp_path / "cold.dcm").read_bytes() == to_bytes(cold)


def test_a_buffer_of_floats_reads_in_any_pieces():
    """Positions between floats included."""
    stored = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    expected = (stored * np.float32(0.5)).astype("<f4").tobytes()
    buffer = FloatFrames(stored, 0.5)
    pieces = iter(lambda: buffer.read(7), b"")
    assert b"".join(pieces) == expected
    assert buffer.seek(0) == 0
    assert buffer.read() == expected
    assert buffer.seek(-4, 2) == len(expected) - 4 == buffer.tell()
    assert (buffer.readable(), buffer.seekable(), len(buffer)) == (True, True, len(expected))


def test_the_most_important_slices_are_the_deciding_one_and_then_the_hottest(heat):
    """Slices without heat are never important."""
    heat[3] //= 2
    assert most_important_slices(heat, 4) == [4, 2, 3]
    assert most_important_slices(heat * 0, 1) == [1]


def test_the_picture_shows_heat_and_the_deciding_slice(heat):
    """From the first slice that shows heat to the last, with the deciding one even where it shows none."""
    assert slices_to_show(heat, 2) == (2, 3)
    assert slices_to_show(heat, 5) == (2, 5)
    assert slices_to_show(heat * 0, 4) == (4, 4)
    heat[5, 0, 0] = 20
    assert slices_to_show(heat, 2) == (2, 3), "a tenth of the strongest heat is the least that anybody sees"
