"""The phantom's files: every transfer syntax carries the same pixels, and the truth beside them is the truth."""

import json

import highdicom
import numpy as np
import pydicom
import pytest

from services.common.codes import STRUCTURE_CODES
from services.common.finding import LABELS, Structure
from services.common.volume import Plane
from tools.phantom import __main__ as command
from tools.phantom.study import WHOLE_EXAMINATION, Plan, encoded, image_study, instance, write_instances
from tools.phantom.truth import describe, write_truth

MATRIX = 48


@pytest.fixture(scope="module")
def study():
    return image_study(7, ["ACL", "Effusion"], plan=Plan(series=((Plane.SAGITTAL, "PD-FS"),), matrix=MATRIX))


@pytest.mark.parametrize("name", command.TRANSFER_SYNTAXES)
def test_each_transfer_syntax_carries_the_same_pixels(study, tmp_path, name):
    """Lossless, whatever the encoding; the instance stays the same instance."""
    plain = instance(study, 1, 12)
    path = tmp_path / "one.dcm"
    encoded(plain, command.TRANSFER_SYNTAXES[name]).save_as(path, enforce_file_format=True)
    read = pydicom.dcmread(path)
    assert read.file_meta.TransferSyntaxUID == command.TRANSFER_SYNTAXES[name]
    assert read.SOPInstanceUID == plain.SOPInstanceUID
    assert np.array_equal(read.pixel_array, study.series[0].image.voxels[12])


def test_the_truth_is_written_as_segmentation_and_json(study, tmp_path):
    """Highdicom reads the very label map back, and the box of a finding holds all of it."""
    write_truth(tmp_path, study, write_instances(tmp_path, study))
    seg = highdicom.seg.segread(tmp_path / "truth" / "1.dcm")
    labels = study.series[0].labels.voxels
    by_label = {STRUCTURE_CODES[each].label: each for each in Structure if each}
    volume = seg.get_volume(combine_segments=False)
    for number in seg.segment_numbers:
        structure = by_label[seg.get_segment_description(number).segment_label]
        assert int(volume.array[..., number - 1].sum()) == int((labels == structure).sum())
    truth = json.loads((tmp_path / "truth.json").read_text())
    assert truth["findings"]["ACL"]
    assert not truth["findings"]["Fracture"]
    box = truth["series"][0]["findings"]["ACL"]
    lesion = (study.series[0].lesions.voxels >> LABELS.index("ACL")) & 1
    inside = lesion[
        box["slices"][0] : box["slices"][1] + 1,
        box["rows"][0] : box["rows"][1] + 1,
        box["columns"][0] : box["columns"][1] + 1,
    ]
    assert inside.sum() == lesion.sum() > 0


def test_the_truth_of_a_healthy_knee_has_no_boxes():
    """Structures, and nothing else."""
    healthy = image_study(8, [], plan=Plan(series=((Plane.AXIAL, "PD-FS"),), matrix=MATRIX))
    truth = describe(healthy, ["1.2.3"])
    assert truth["series"][0]["findings"] == {}
    assert truth["series"][0]["structures"]["FEMUR"] > 20


def test_a_whole_examination_has_its_sequences_in_their_tags():
    """T1 has a short repetition time and no fat suppression, DESS is a gradient echo with a flip angle."""
    study = image_study(9, [], plan=Plan(WHOLE_EXAMINATION, 32))
    by_name = {
        (series.protocol.plane, series.protocol.name): instance(study, number, 0)
        for number, series in enumerate(study.series, start=1)
    }
    assert by_name[Plane.CORONAL, "T1"].RepetitionTime < 900
    assert by_name[Plane.CORONAL, "T1"].ScanOptions == ""
    assert by_name[Plane.SAGITTAL, "PD-FS"].ScanOptions == "FS"
    assert by_name[Plane.SAGITTAL, "DESS-1"].ScanningSequence == "GR"
    assert by_name[Plane.SAGITTAL, "DESS-1"].FlipAngle == 30
    assert len({each.SeriesInstanceUID for each in by_name.values()}) == len(WHOLE_EXAMINATION)


def test_further_series_leave_the_first_three_as_they_are():
    """A plane's PD-FS series is the same in a whole examination and in a short one."""
    short = image_study(9, [], matrix=32)
    whole = image_study(9, [], plan=Plan(WHOLE_EXAMINATION, 32))
    for one, other in zip(short.series, whole.series[:3], strict=True):
        assert np.array_equal(one.image.voxels, other.image.voxels)


def test_the_command_writes_what_it_is_asked_for(tmp_path, monkeypatch):
    """Series, truth and contact sheet of a spoilt knee in one go."""
    out = tmp_path / "study"
    words = ["phantom", "--matrix", "48", "--out", str(out), "--truth", "--sheet", str(tmp_path / "sheet.png")]
    monkeypatch.setattr("sys.argv", [*words, "--artefact", "motion", "--transfer-syntax", "rle", "--finding", "MCL"])
    command.main()
    assert len(list(out.glob("*/*.dcm"))) > 60
    assert (tmp_path / "sheet.png").stat().st_size > 10_000
    truth = json.loads((out / "truth.json").read_text())
    assert truth["findings"]["MCL"]
    assert all(series["artefacts"] == ["motion"] for series in truth["series"])
