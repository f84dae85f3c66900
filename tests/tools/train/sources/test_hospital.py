"""A hospital's own studies: DICOM read as the service reads it, findings from a table, drawn structures."""

import subprocess
import sys
from pathlib import Path

import highdicom
import numpy as np
import pytest
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentationTypeValues, SegmentDescription
from pydicom.sr.coding import Code

from services.common.codes import STRUCTURE_CODES
from services.common.errors import StudyRefused
from services.common.finding import LABELS, Laterality, Structure
from services.common.volume import PLANES, Plane
from tests.studies import STUDY, series, study, write
from tools.train import dataset, import_dataset, imported
from tools.train.partial import UNKNOWN, unlabelled
from tools.train.sources import hospital
from tools.train.sources.drawings import structure_named
from tools.train.sources.example import example_of
from tools.train.sources.record import Record
from tools.train.sources.refusal import DataRefused

BONES = (Structure.FEMUR, Structure.TIBIA)


def drawn(instances, segments, *, label=lambda each: STRUCTURE_CODES[each].label):
    """A Segmentation of a series: each structure a block of its own, up to down, on all but the outer slices."""
    masks = np.zeros((len(instances), 64, 72, len(segments)), np.uint8)
    for index in range(len(segments)):
        masks[1:-1, 10 + 12 * index : 20 + 12 * index, 20:50, index] = 1
    descriptions = [
        SegmentDescription(
            number,
            label(each),
            Code(STRUCTURE_CODES[each].category.value, "SCT", "c"),
            Code(STRUCTURE_CODES[each].type.value, STRUCTURE_CODES[each].type.scheme, "t"),
            SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, each in enumerate(segments, start=1)
    ]
    return highdicom.seg.Segmentation(
        source_images=instances,
        pixel_array=masks,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=descriptions,
        series_instance_uid=highdicom.UID(),
        series_number=99,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="Reader",
        manufacturer_model_name="Pencil",
        software_versions="1",
        device_serial_number="0",
    )


def complete(instances):
    """What highdicom wants of a source beside what the service reads."""
    for each in instances:
        each.AccessionNumber, each.ReferringPhysicianName, each.StudyID = "", "", "1"
        each.PositionReferenceIndicator = ""
    return instances


@pytest.fixture
def folder(tmp_path):
    """One study of a left knee with a Segmentation of its sagittal series, among files that are none of it."""
    instances = complete(study(Laterality="L"))
    write(tmp_path / "archive/a", instances)
    sagittal = [each for each in instances if str(each.SeriesInstanceUID) == f"{STUDY}.1"]
    drawn(sagittal, BONES).save_as(tmp_path / "archive/drawn.dcm")
    (tmp_path / "archive/notes.txt").write_text("nothing")
    (tmp_path / "labels.csv").write_text(
        f"StudyInstanceUID,Report,ACL,MCL,Baker's\n{STUDY},,1.0,0,\n{STUDY}.77,,0,0,0\n"
    )
    return tmp_path


def known(findings):
    return {name: bool(value) for name, value in zip(LABELS, findings, strict=True) if value != UNKNOWN}


def test_a_study_has_its_planes_its_side_and_what_the_table_says(folder):
    """An empty cell is unknown, and so is a finding without a column."""
    (one,) = hospital.find(folder, None)
    record = one.read()
    assert {series.image.plane for series in record.series} == set(PLANES)
    assert record.laterality is Laterality.LEFT
    example = example_of(record)
    assert known(example.findings) == {"ACL": True, "MCL": False}
    assert example.slice_mask.sum(axis=1).tolist() == [8, 8, 8]
    assert example.volumes.any(axis=(1, 2, 3)).all()


def test_a_segmentation_lies_on_the_series_it_was_drawn_on(folder):
    """The same voxels on the series' own grid; beyond its slices, and in the other planes, nothing is known."""
    record = hospital.find(folder, None)[0].read()
    by_plane = {series.image.plane: series for series in record.series}
    found = by_plane[Plane.SAGITTAL].structures
    assert (found[1:-1, 10:20, 20:50] == Structure.FEMUR).all()
    assert (found[1:-1, 22:32, 20:50] == Structure.TIBIA).all()
    assert (found[1:-1, 40:] == unlabelled(BONES)).all()
    assert (found[[0, -1]] == UNKNOWN).all()
    assert by_plane[Plane.CORONAL].structures is None
    example = example_of(record)
    assert (example.labels[PLANES.index(Plane.CORONAL)][example.slice_mask[1] > 0][:, 20:236, 20:236] == UNKNOWN).all()
    assert {1, 2} <= set(np.unique(example.labels[0]))


def test_where_nobody_drew_the_joint_the_segmentation_finds_it(folder):
    """As when the models are served; a plane that is missing has none."""
    record = hospital.find(folder, None)[0].read()
    asked = []

    def found(volume):
        asked.append(volume.any())
        labels = np.zeros_like(volume)
        labels[10:20, 100:150, 80:130] = Structure.MEDIAL_MENISCUS
        return labels

    without = Record(tuple(each for each in record.series if each.image.plane is not Plane.AXIAL), record.findings)
    example = example_of(without, segmentation=found)
    assert asked == [True, True]
    rows, columns = example.region[0, [0, 2]], example.region[0, [1, 3]]
    assert (rows[0] < 105, rows[1] > 145) == (True, True)
    assert (columns[0] < 85, columns[1] > 125) == (True, True)
    assert not example.region[PLANES.index(Plane.AXIAL)].any()
    assert not example_of(without).region.any()


def test_segments_without_a_code_of_their_own_are_told_by_their_words(tmp_path):
    """Cartilages and menisci share a code; what names no structure is left out."""
    instances = complete(series(Plane.SAGITTAL))
    write(tmp_path / "a", instances)
    chosen = (Structure.MEDIAL_MENISCUS, Structure.FEMORAL_CARTILAGE, Structure.LATERAL_MENISCUS)
    words = dict(zip(chosen, ("Meniscus, medial", "Hyaline", "meniscus lateralis, lateral meniscus"), strict=True))
    drawn(instances, chosen, label=words.__getitem__).save_as(tmp_path / "drawn.dcm")
    found = hospital.find(tmp_path, None)[0].read().series[0].structures
    expected = {Structure.MEDIAL_MENISCUS, Structure.LATERAL_MENISCUS}
    assert set(np.unique(found)) == {*expected, unlabelled(expected), UNKNOWN}


@pytest.mark.parametrize("structure", [each for each in Structure if each])
def test_our_own_labels_name_their_structures(structure):
    """What the service writes can be corrected and read back."""
    assert structure_named(STRUCTURE_CODES[structure].label) is structure
    assert structure_named(structure.name.replace("_", " ")) is structure


@pytest.mark.parametrize("label", ["Femur lesion", "Tendon of patella", "bone", "Meniscus", "tibial cartilage", ""])
def test_words_that_name_no_structure_are_no_structure(label):
    """A side that is not said is not guessed."""
    assert structure_named(label) is None


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("Study,ACL\n1.2,1\n", "lacks the columns StudyInstanceUID"),
        ("StudyInstanceUID,Cruciate\n1.2,1\n", "No column is named as a finding"),
        ("StudyInstanceUID,ACL\n1.2,torn\n", "Row 2 holds neither 0 nor 1"),
        ("StudyInstanceUID,ACL\n1.2,1\n1.2,0\n", "Row 3 contradicts"),
        ("", "lacks the columns"),
    ],
)
def test_a_table_that_can_not_be_meant_is_refused_without_its_content(folder, table, said):
    """The row's number is enough to find it; its content may name a patient."""
    path = folder / "other.csv"
    path.write_text(table)
    with pytest.raises(DataRefused, match=said) as refused:
        hospital.find(folder, path)
    assert "1.2" not in str(refused.value)
    assert "torn" not in str(refused.value)


def test_what_the_service_would_refuse_is_refused_here(tmp_path):
    """With the same code."""
    write(tmp_path, series(Plane.SAGITTAL, ImagePositionPatient=None))
    with pytest.raises(StudyRefused, match="NO_GEOMETRY"):
        hospital.find(tmp_path, None)[0].read()


def run(*words):
    command = [sys.executable, "-m", "tools.train.import_dataset", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_command_imports_counts_and_names_nobody(folder, tmp_path):
    """One example whose file says what is known in it; a study without labels is counted by its code."""
    write(folder / "b", study(StudyInstanceUID=f"{STUDY}.5"))
    out = tmp_path / "data"
    ended = run("hospital", folder, "--out", out, "--held-out", "0")
    assert ended.returncode == 0, ended.stderr
    assert "1 to train, 0 held out" in ended.stdout
    assert "1 NOTHING_LABELLED" in ended.stdout
    (path,) = imported.paths(imported.FINDINGS, held_out=False, data=out)
    assert [path] == imported.paths(imported.STRUCTURES, held_out=False, data=out)
    assert imported.paths(imported.FINDINGS, held_out=True, data=out) == []
    assert known(dataset.load(path).findings) == {"ACL": True, "MCL": False}
    whole = ended.stdout + ended.stderr + path.name
    assert "anary" not in whole.lower()
    assert STUDY not in whole


def test_the_command_goes_on_where_it_was(folder, tmp_path, monkeypatch, capsys):
    """What is there already is counted and not made again."""
    words = ["import_dataset", "hospital", str(folder), "--out", str(tmp_path / "data"), "--held-out", "1"]
    monkeypatch.setattr("sys.argv", words)
    stamps = []
    for _ in range(2):
        assert import_dataset.main() == 0
        assert "0 to train, 1 held out" in capsys.readouterr().out
        (path,) = imported.paths(imported.FINDINGS, held_out=True, data=tmp_path / "data")
        stamps.append(path.stat().st_mtime_ns)
    assert stamps[0] == stamps[1]


def placed(data):
    """Which studies are trained on and which are held out, by how many slices they have."""
    return {
        use: sorted(
            int(dataset.load(path).slice_mask[0].sum()) for path in imported.folder(data, held_out=use).glob("*npz")
        )
        for use in (False, True)
    }


def bring(folder, data, share, **more):
    studies = hospital.find(folder, folder / "labels.csv")
    return import_dataset.Import("hospital", data, share, **more).run(studies)


@pytest.fixture
def people(tmp_path):
    """Three studies of one person and one of another, told apart by how many slices they have."""
    folder = tmp_path / "archive"
    rows = ["StudyInstanceUID,ACL"]
    for slices, person in ((8, "one"), (9, "one"), (10, "one"), (11, "other")):
        uid = f"{STUDY}.{slices}"
        write(folder / uid, series(Plane.SAGITTAL, slices=slices, StudyInstanceUID=uid, PatientID=person))
        rows.append(f"{uid},1")
    folder.joinpath("labels.csv").write_text("\n".join(rows))
    return folder


def test_another_share_moves_nobody(people, tmp_path):
    """Who was trained on is never measured on, and the other way round."""
    bring(people, tmp_path / "data", 0.0)
    bring(people, tmp_path / "data", 1.0)
    assert placed(tmp_path / "data") == {False: [8, 9, 10, 11], True: []}
    bring(people, tmp_path / "held", 1.0)
    bring(people, tmp_path / "held", 0.0)
    assert placed(tmp_path / "held") == {False: [], True: [8, 9, 10, 11]}


def test_the_studies_of_a_person_stay_together(people, tmp_path):
    """Whatever the secret and the share; one that comes later goes where the others are."""
    sides = set()
    for attempt in range(12):
        data = tmp_path / str(attempt)
        bring(people, data, 0.5)
        together = placed(data)
        assert any({8, 9, 10} <= set(slices) for slices in together.values())
        sides.add(10 in together[True])
    assert sides == {False, True}
    first, *others = (each for each in hospital.find(people, people / "labels.csv") if each.person == "one")
    import_dataset.Import("hospital", tmp_path / "later", 1.0).run([first])
    import_dataset.Import("hospital", tmp_path / "later", 0.0).run(others)
    assert len(placed(tmp_path / "later")[True]) == 3


def test_people_without_a_number_are_told_apart_by_study(tmp_path):
    """They are not all one person."""
    rows = ["StudyInstanceUID,ACL"]
    for index in range(12):
        uid = f"{STUDY}.{index}"
        write(tmp_path / "in" / uid, series(Plane.SAGITTAL, StudyInstanceUID=uid, PatientID=""))
        rows.append(f"{uid},1")
    tmp_path.joinpath("in/labels.csv").write_text("\n".join(rows))
    bring(tmp_path / "in", tmp_path / "data", 0.5)
    names = [path.name.split("-")[1] for path in imported.paths(imported.FINDINGS, data=tmp_path / "data")]
    names += [
        path.name.split("-")[1] for path in imported.paths(imported.FINDINGS, held_out=True, data=tmp_path / "data")
    ]
    assert len(set(names)) == 12


def test_corrected_labels_are_read_when_asked_for(people, tmp_path):
    """What is there stays and is counted as such; ``again`` reads everything anew and leaves one file a study."""
    data = tmp_path / "data"
    bring(people, data, 0.0)
    people.joinpath("labels.csv").write_text(people.joinpath("labels.csv").read_text().replace(",1", ",0"))
    assert bring(people, data, 0.0).present["ACL"] == 4
    assert bring(people, data, 0.0).studies[import_dataset.KEPT] == 4
    anew = bring(people, data, 0.0, again=True)
    assert (anew.present["ACL"], anew.absent["ACL"], anew.studies[import_dataset.KEPT]) == (0, 4, 0)
    assert len(imported.paths(imported.FINDINGS, data=data)) == 4


def test_a_file_name_can_not_be_guessed_from_a_patients_number(people, tmp_path):
    """Another folder has another secret, which nobody else may read."""
    names = []
    for data in (tmp_path / "one", tmp_path / "two"):
        bring(people, data, 0.0)
        names.append({path.name.split("-")[1] for path in imported.paths(imported.FINDINGS, data=data)})
        assert (data / "imported" / "secret").stat().st_mode & 0o077 == 0
    assert len(names[0]) == 2
    assert not names[0] & names[1]


@pytest.mark.parametrize("name", import_dataset.DATA_SETS)
def test_a_wrong_folder_ends_with_a_code_and_the_layout(name, tmp_path, monkeypatch, capsys):
    """One line on stderr, status 1, nothing written."""
    monkeypatch.setattr("sys.argv", ["import_dataset", name, str(tmp_path), "--out", str(tmp_path / "data")])
    assert import_dataset.main() == 1
    assert capsys.readouterr().err.startswith("FOLDER_UNKNOWN: ")
    assert not (tmp_path / "data").exists()


def test_where_nothing_can_be_used_the_command_says_why(tmp_path, monkeypatch, capsys):
    """The count of each code, then the verdict."""
    write(tmp_path / "in", study())
    monkeypatch.setattr("sys.argv", ["import_dataset", "hospital", str(tmp_path / "in"), "--out", str(tmp_path / "o")])
    assert import_dataset.main() == 1
    captured = capsys.readouterr()
    assert "1 NOTHING_LABELLED" in captured.out
    assert captured.err.startswith("NOTHING_USABLE")


def test_a_missing_reader_ends_the_command_with_what_to_install(tmp_path):
    """Not one line a file."""
    (tmp_path / "imagesTr").mkdir()
    (tmp_path / "labelsTr").mkdir()
    (tmp_path / "imagesTr/a_0000.nii.gz").touch()
    (tmp_path / "labelsTr/a.nii.gz").touch()
    code = (
        "import sys; sys.modules['SimpleITK'] = None; sys.argv[1:] = ['oai', sys.argv[1], '--out', sys.argv[1]]; "
        "from tools.train.import_dataset import main; sys.exit(main())"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 1
    assert "READER_MISSING" in ended.stderr
    assert "pip install" in ended.stderr


def test_the_folder_of_imports_is_below_the_training_data():
    """So that training finds it without being told."""
    assert Path("build/train/data") == dataset.DATA
