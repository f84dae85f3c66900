"""Result objects open in other people's software, say what they are, and are the same bytes every time."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import cv2
import highdicom as hd
import numpy as np
import pydicom
import pydicom.encaps
import pytest

from services.common.errors import ADVICE, RefusalCode
from services.common.finding import Laterality, Structure
from services.common.measurement import Measurement, Quantity
from services.common.uids import is_result_uid, result_uid
from services.common.volume import Plane
from services.results.activation_map import activation_map_object
from services.results.feedback import Opinion, Verdict, feedback_object
from services.results.identity import RESEARCH_ONLY
from services.results.manifest import manifest_object
from services.results.no_result import no_result_object
from services.results.part10 import to_bytes
from services.results.report import Evidence, report_object
from services.results.saliency import most_important_slices, overlay, saliency_object
from services.results.segmentation import segmentation_object

EXPLAINED_WARNINGS = (
    "Warning - Unrecognized defined term <99ARTICULA>",
    "Warning - is only permitted to be empty when actually",
)
MEASUREMENTS = (
    Measurement(Quantity.VOLUME, Structure.FEMUR, 8.5, 0.7, Plane.SAGITTAL, 2),
    Measurement(Quantity.EXTRUSION, Structure.MEDIAL_MENISCUS, 4.25, 0.6, Plane.SAGITTAL, 3),
)
OPINIONS = (
    Opinion("ACL", Verdict.AGREE, "Curie^Marie", datetime(2024, 1, 3, 9, 0, 0, tzinfo=UTC), "0.1.0"),
    Opinion(
        "Medial Meniscus",
        Verdict.DISAGREE,
        "Roentgen^Wilhelm",
        datetime(2024, 1, 5, 10, 30, 0, tzinfo=UTC),
        "0.1.0",
        "the cleft is fluid",
    ),
)


@pytest.fixture
def heat(labels) -> np.ndarray:
    drawn = np.zeros(labels.shape, np.uint8)
    drawn[2, 10:20, 10:20] = 255
    drawn[3, 10:20, 10:20] = 40
    drawn[4, 10:20, 10:20] = 9
    return drawn


@pytest.fixture
def result_set(sources, labels, findings, heat, provenance) -> dict[str, pydicom.Dataset]:
    """One of each kind, as the service writes them."""
    seg = segmentation_object(sources, labels, plane=Plane.SAGITTAL, provenance=provenance)
    picture = (np.full(labels.shape, 90, np.uint8), heat)
    saliency = saliency_object(sources, picture, finding=findings[0], provenance=provenance)
    activation = activation_map_object(sources, heat, finding=findings[0], provenance=provenance)
    evidence = Evidence(
        {Plane.SAGITTAL: sources},
        segmentations={Plane.SAGITTAL: seg},
        overlays={"ACL": [saliency, activation]},
        slices={"ACL": most_important_slices(heat, 2)},
        measurements=MEASUREMENTS,
    )
    report = report_object(findings, evidence, laterality=Laterality.LEFT, provenance=provenance)
    no_result = no_result_object(sources[0].instance, RefusalCode.NO_GEOMETRY, provenance=provenance)
    objects = [seg.dataset, saliency, activation, report]
    return {
        **dict(zip(("seg", "saliency", "map", "report"), objects, strict=True)),
        "no_result": no_result,
        "manifest": manifest_object(objects, report, provenance=provenance),
        "feedback": feedback_object(report, OPINIONS),
    }


def written(folder: Path, result_set: dict[str, pydicom.Dataset]) -> dict[str, Path]:
    paths = {kind: folder / f"{kind}.dcm" for kind in result_set}
    for kind, path in paths.items():
        path.write_bytes(to_bytes(result_set[kind]))
    return paths


def content_text(dataset: pydicom.Dataset) -> str:
    texts = [str(dataset.get("TextValue", "")), str(dataset.get("ConceptCodeSequence", ""))]
    return "\n".join(texts + [content_text(item) for item in dataset.get("ContentSequence", [])])


def complaints(command: Sequence[str | Path], *starts: str) -> list[str]:
    if not shutil.which(str(command[0])):
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    return [line for line in lines if line.startswith(starts)]


def test_dciodvfy_finds_no_error_and_only_explained_warnings(tmp_path, result_set):
    """Every warning that is left stands in docs/results.md with its reason."""
    for kind, path in written(tmp_path, result_set).items():
        found = complaints(["dciodvfy", path], "Error", "Warning")
        assert [line for line in found if not line.startswith(EXPLAINED_WARNINGS)] == [], kind


def test_the_explained_warnings_are_those_of_the_documentation():
    """The list of this test and the table an administrator reads are one."""
    documented = (Path(__file__).parents[2] / "docs" / "results.md").read_text()
    assert [warning for warning in EXPLAINED_WARNINGS if f"`{warning}`" not in documented] == []


@pytest.mark.parametrize("code", list(RefusalCode))
def test_dciodvfy_finds_no_error_in_any_no_result_report(tmp_path, sources, code, provenance):
    """Codes of more than 16 characters included."""
    report = no_result_object(sources[0].instance, code, provenance=provenance)
    path = written(tmp_path, {"no_result": report})["no_result"]
    assert complaints(["dciodvfy", path], "Error") == []


DOCUMENTS = ("report", "no_result", "manifest", "feedback")


def test_dcmtk_prints_the_reports(tmp_path, result_set):
    """DCMTK's dsrdump reads all documents without an error or a warning."""
    paths = written(tmp_path, result_set)
    found = {kind: complaints(["dsrdump", "-q", paths[kind]], "E:", "F:", "W:") for kind in DOCUMENTS}
    assert [kind for kind, lines in found.items() if lines] == []


def test_dcmtk_renders_the_report_as_a_page(tmp_path, result_set):
    """What dsr2html makes of the documents holds the sentences that people are meant to read."""
    if not shutil.which("dsr2html"):
        pytest.skip("dsr2html is not installed")
    paths = written(tmp_path, result_set)
    pages = {}
    for kind in DOCUMENTS:
        # the Japanese name of the fixture's patient is beyond this build of DCMTK; it is told not to convert it
        command = ["dsr2html", "--charset-assume", "latin-1", paths[kind], tmp_path / f"{kind}.html"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert not [line for line in done.stderr.splitlines() if line.startswith(("E:", "F:"))], done.stderr
        pages[kind] = (tmp_path / f"{kind}.html").read_bytes().decode("latin-1")
    assert "Above threshold: Anterior cruciate ligament injury" in pages["report"]
    assert ADVICE[RefusalCode.NO_GEOMETRY] in pages["no_result"]
    assert "the cleft is fluid" in pages["feedback"]


def test_every_object_belongs_to_the_same_patient_and_study(tmp_path, sources, result_set):
    """Patient and study attributes come back byte for byte, a Japanese name included."""
    for path in written(tmp_path, result_set).values():
        dataset = pydicom.dcmread(path)
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID", "AccessionNumber"):
            assert dataset[keyword].value == sources[0].instance[keyword].value, keyword
        assert str(dataset.PatientName) == "Yamada^Tarou=山田^太郎"


def test_every_object_says_research_use_only(result_set):
    """Whatever a person opens, it says what it must not be used for."""
    for dataset in result_set.values():
        assert RESEARCH_ONLY in str(dataset.get("ImageComments", "")) + content_text(dataset)


def test_every_object_has_our_deterministic_uid_and_no_wall_clock(result_set, provenance):
    """UIDs lie under our root and dates are the source study's."""
    for kind, dataset in result_set.items():
        assert is_result_uid(dataset.SOPInstanceUID)
        assert is_result_uid(dataset.SeriesInstanceUID)
        assert dataset.ContentDate == ("20240105" if kind == "feedback" else "20240102")
    series = {dataset.SeriesInstanceUID for kind, dataset in result_set.items() if kind != "no_result"}
    assert len(series) == len(result_set) - 1, "one series an object; a study has a report or a no-result report"
    assert result_set["manifest"].SOPInstanceUID == result_uid(provenance.input_digest, "manifest")


def test_the_same_input_gives_the_same_bytes_in_another_process(tmp_path, result_set):
    """Two processes write identical files, so that a retry can never contradict an earlier result."""
    here = {kind: path.read_bytes() for kind, path in written(tmp_path, result_set).items()}
    other = tmp_path / "other"
    other.mkdir()
    test = f"{__file__}::test_writes_its_objects_where_it_is_told"
    root = Path(__file__).parents[2]
    environment = {"ARTICULA_TEST_OUT": str(other), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test]
    subprocess.run(command, check=True, env=environment, capture_output=True, cwd=root)
    assert [kind for kind, data in here.items() if (other / f"{kind}.dcm").read_bytes() != data] == []


def test_writes_its_objects_where_it_is_told(tmp_path, result_set, request):
    """The other process of the test above; on its own it checks that the files can be read."""
    import os  # noqa: PLC0415 - only this pair of tests talks through the environment

    del request
    folder = Path(os.environ.get("ARTICULA_TEST_OUT", tmp_path))
    for path in written(folder, result_set).values():
        assert pydicom.dcmread(path).Manufacturer == "Articula"


def test_the_segmentation_reads_back_voxel_for_voxel(tmp_path, sources, labels, result_set):
    """Highdicom's own reader returns the label map that went in, segment by segment, on the source's slices."""
    seg = hd.seg.segread(written(tmp_path, result_set)["seg"])
    names = {number: seg.get_segment_description(number).segment_label for number in seg.segment_numbers}
    assert list(names.values()) == ["Femur", "Tibia", "Medial meniscus"]
    uids = [source.sop_instance_uid for source in sources]
    voxels = seg.get_pixels_by_source_instance(uids)
    for index, value in enumerate((1, 2, 9)):
        assert np.array_equal(voxels[..., index], labels == value)


def test_a_label_map_without_structures_gives_no_object(sources, labels, provenance):
    """An empty segmentation is left out instead of stored."""
    assert segmentation_object(sources, labels * 0, plane=Plane.AXIAL, provenance=provenance) is None


def test_the_report_says_what_was_missing(result_set):
    """Notes of the pipeline travel in the report."""
    assert "missing: axial" in content_text(result_set["report"])


def test_saliency_shows_heat_only_where_there_is_some():
    """Without saliency the picture is the grey slice; full saliency is brighter than none."""
    grey = np.full((8, 8), 60, np.uint8)
    heat = np.zeros((8, 8), np.uint8)
    heat[4, 4] = 255
    mixed = overlay(grey, heat)
    assert mixed.shape == (8, 8, 3)
    assert (mixed[0, 0] == 60).all()
    assert mixed[4, 4].astype(int).sum() > 2 * 180


def test_saliency_decodes_to_one_frame_a_slice_that_shows_heat(tmp_path, sources, result_set):
    """The JPEG frames decode; slices whose heat nobody could see are left out, and the others are referenced."""
    dataset = pydicom.dcmread(written(tmp_path, result_set)["saliency"])
    referenced = [item.ReferencedSOPInstanceUID for item in dataset.SourceImageSequence]
    assert referenced == [source.sop_instance_uid for source in sources[2:4]]
    assert dataset.NumberOfFrames == len(referenced)
    frames = [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for data in decoded_frames(dataset)]
    blue, green, red = frames[0][15, 15].astype(int)
    assert red > blue + 40, "the hottest colour is yellow, not blue"
    assert green > blue + 40
    assert abs(frames[0][30:, 30:].astype(int) - 90).max() <= 3, "without heat it is grey"


def decoded_frames(dataset: pydicom.Dataset) -> list[bytes]:
    return list(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=dataset.NumberOfFrames))


@pytest.mark.parametrize("code", list(RefusalCode))
def test_a_no_result_report_gives_code_and_advice_on_the_poorest_header(provenance, code):
    """Class, instance, series and study UID are enough; the report names the code and what to do."""
    source = pydicom.Dataset()
    source.file_meta = pydicom.dataset.FileMetaDataset()
    source.SOPClassUID, source.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", "1.2.3.4.5"
    source.SeriesInstanceUID, source.StudyInstanceUID = "1.2.3.4", "1.2.3"
    report = pydicom.dcmread(BytesIO(to_bytes(no_result_object(source, code, provenance=provenance))))
    assert report.StudyInstanceUID == "1.2.3"
    assert code in content_text(report)
    assert ADVICE[code] in content_text(report)


def test_the_manifest_lists_every_object_of_the_set(result_set):
    """Its evidence names the objects it commits and nothing else."""
    listed = {
        item.ReferencedSOPInstanceUID
        for study in result_set["manifest"].CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert listed == {result_set[kind].SOPInstanceUID for kind in ("seg", "saliency", "map", "report")}
