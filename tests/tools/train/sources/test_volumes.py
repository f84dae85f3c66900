"""SKM-TEA, fastMRI+ and OAI's masks, written as they are published: HDF5, JSON, CSV, NIfTI, MetaImage over DICOM."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

h5py = pytest.importorskip("h5py", reason="h5py is not installed (extra: datasets)")
itk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed (extra: datasets)")

from services.common.finding import LABELS, Laterality, Structure  # noqa: E402
from services.common.volume import PLANES, Plane, Volume  # noqa: E402
from tests.studies import series, write  # noqa: E402
from tools.train.partial import MENISCUS, TIBIAL_CARTILAGE, UNKNOWN, unlabelled  # noqa: E402
from tools.train.sources import fastmri, oai, skmtea  # noqa: E402
from tools.train.sources.example import example_of, knows_structures  # noqa: E402
from tools.train.sources.formats import medical_image, sampled  # noqa: E402
from tools.train.sources.record import Record, Series, bit_of, usual_affine  # noqa: E402
from tools.train.sources.refusal import DataRefused  # noqa: E402

SHARED = Path(__file__).parents[5] / "shared/data/annotations"
SPACING = (2.5, 2.5, 6.4)  # an eighth of SKM-TEA's matrix in each direction, at its field of view
SHAPE = (64, 64, 20)


def scan(**changes):
    return {
        "id": 1,
        "file_name": "MTR_005.h5",
        "scan_id": "MTR_005",
        "voxel_spacing": SPACING,
        "matrix_shape": SHAPE,
        "orientation": ["SI", "AP", "LR"],
        "inspected": True,
    } | changes


def box(category, tissue, bounds, image=1):
    return {"id": 1, "image_id": image, "category_id": category, "tissue_id": tissue, "bbox": bounds, "confidence": 5}


def structures():
    """Of a right knee: the patient's left comes first, and medial lies there."""
    one_hot = np.zeros((*SHAPE, 6), np.uint8)
    one_hot[20:24, 20:44, 2:18, 1] = 1
    one_hot[30:34, 20:44, 3:9, 2] = one_hot[30:34, 20:44, 11:17, 3] = 1
    one_hot[26:30, 20:28, 3:8, 4] = one_hot[26:30, 20:28, 12:17, 5] = 1
    return one_hot


@pytest.fixture
def skmtea_folder(tmp_path):
    def write_folder(boxes, **changes):
        (tmp_path / "image_files").mkdir()
        (tmp_path / "annotations/v1.0.0").mkdir(parents=True)
        with h5py.File(tmp_path / "image_files/MTR_005.h5", "w") as file:
            rows = np.arange(SHAPE[0], dtype=np.float32)[:, None, None] * np.ones(SHAPE, np.float32)
            file["echo1"], file["echo2"], file["seg"] = rows, rows[::-1], structures()
            file["stats/echo1/mean"] = 1.0
        table = {"images": [scan(**changes)], "annotations": boxes, "categories": [], "tissues": []}
        (tmp_path / "annotations/v1.0.0/train.json").write_text(json.dumps(table))
        return tmp_path

    return write_folder


def known(findings):
    return {name: bool(value) for name, value in zip(LABELS, findings, strict=True) if value != UNKNOWN}


def test_a_skmtea_scan_is_seen_in_three_planes_with_its_structures(skmtea_folder):
    """Rows run from head to foot, medial is where the medial masks are, and what is free is no cartilage."""
    (study,) = skmtea.find(skmtea_folder([]), None)
    record = study.read()
    example = example_of(record)
    assert record.laterality is Laterality.RIGHT
    assert study.held_out is False
    assert {series.image.plane for series in record.series} == set(PLANES)
    assert example.slice_mask.sum(axis=1).tolist() == [20, 32, 32]
    for plane in range(3):
        assert set(np.unique(example.labels[plane])) - {0} == {5, 6, 7, 9, 10, unlabelled(skmtea.CHANNELS)}
    used = example.volumes[0][example.slice_mask[0] > 0]
    assert (np.diff(used.mean(axis=(0, 2))) >= 0).all()
    assert (np.diff(example.recoloured[0, 16].mean(axis=1)) <= 0).all()
    slices = [np.argwhere(example.labels[0] == each)[:, 0].mean() for each in (Structure.LATERAL_MENISCUS, 9)]
    assert slices[0] < slices[1]
    columns = [np.argwhere(example.labels[1] == each)[:, 2].mean() for each in (Structure.LATERAL_MENISCUS, 9)]
    assert columns[0] < columns[1]


def test_a_left_skmtea_knee_is_mirrored(skmtea_folder):
    """Lateral comes first on the grid of either knee."""
    folder = skmtea_folder([])
    with h5py.File(folder / "image_files/MTR_005.h5", "a") as file:
        file["seg"][...] = file["seg"][...][:, :, ::-1]
    record = skmtea.find(folder, None)[0].read()
    labels = example_of(record).labels[0]
    assert record.laterality is Laterality.LEFT
    assert np.argwhere(labels == Structure.LATERAL_MENISCUS)[:, 0].mean() < np.argwhere(labels == 9)[:, 0].mean()


def test_skmteas_boxes_become_findings_and_cells(skmtea_folder):
    """A tear in the medial meniscus, fluid, a lesion of the tibia: one known place each, one compartment in doubt."""
    tear, fluid, lesion = [24, 18, 3, 8, 12, 4], [2, 5, 4, 10, 20, 10], [30, 20, 4, 4, 10, 4]
    boxes = [box(2, 1, tear), box(16, -1, fluid), box(13, 6, lesion), box(11, 3, tear)]
    example = example_of(skmtea.find(skmtea_folder(boxes), None)[0].read())
    assert known(example.findings) == {
        "Medial Meniscus": True,
        "Lateral Meniscus": False,
        "ACL": False,
        "PF OA": False,
        "Effusion": True,
    }
    cells = example.lesions[0, :, LABELS.index("Medial Meniscus")]
    middle = np.argwhere(cells > 0).mean(axis=0)
    # 28 of 64 rows, 24 of 64 columns of 160 mm, on 32 cells of 150 mm
    assert middle[1:] == pytest.approx(
        [16 + (28 - 32) * 2.5 / 150 * 32 - 0.5, 16 + (24 - 32) * 2.5 / 150 * 32 - 0.5], abs=0.6
    )
    assert {int(each) for each in np.flatnonzero(example.lesions.any(axis=(0, 1, 3, 4)))} == {
        LABELS.index("Medial Meniscus"),
        LABELS.index("Effusion"),
    }


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([box(-1, -1, [0, 0, 0, 5, 5, 5])], {}),
        ([box(-1, 2, [0, 0, 0, 5, 5, 5])], {"ACL"}),
        ([box(8, 1, [0, 0, 0, 5, 5, 5])], {"Medial Meniscus", "Lateral Meniscus"}),
        ([box(12, 4, [0, 0, 0, 5, 5, 5])], {"Medial OA", "Lateral OA", "PF OA"}),
    ],
)
def test_what_a_box_leaves_open_is_unknown(boxes, expected):
    """An unknown category, extrusion alone, a cartilage lesion of the femur; -1 is a value like any other."""
    findings, lesions = skmtea.findings(boxes, np.zeros(SHAPE, np.uint8), inspected=True)
    assert set(skmtea.LOOKED_FOR) - set(findings) == (expected or set(skmtea.LOOKED_FOR))
    assert not any(findings.values())
    assert not lesions.any()


def test_nothing_is_absent_from_a_scan_that_nobody_inspected(skmtea_folder):
    """Only structures are known then."""
    example = example_of(skmtea.find(skmtea_folder([], inspected=False), None)[0].read())
    assert known(example.findings) == {}
    assert knows_structures(example)


def test_a_damaged_scan_is_refused(skmtea_folder):
    """Another number of classes, a missing array, no HDF5."""
    folder = skmtea_folder([])
    path = folder / "image_files/MTR_005.h5"
    with h5py.File(path, "a") as file:
        del file["seg"]
        file["seg"] = np.zeros((*SHAPE, 4), np.uint8)
    with pytest.raises(DataRefused, match="GEOMETRY_MISMATCH"):
        skmtea.find(folder, None)[0].read()
    with h5py.File(path, "a") as file:
        del file["echo2"]
    with pytest.raises(DataRefused, match="FILE_UNREADABLE"):
        skmtea.find(folder, None)[0].read()
    path.write_bytes(b"no hdf5")
    with pytest.raises(DataRefused, match="FILE_UNREADABLE"):
        skmtea.find(folder, None)[0].read()
    (folder / "annotations/v1.0.0/train.json").write_text('{"images": [{}]}')
    with pytest.raises(DataRefused, match="LABELS_UNREADABLE"):
        skmtea.find(folder, None)


@pytest.mark.skipif(not SHARED.exists(), reason="the real annotations are not on this machine")
def test_the_published_annotations_are_understood():
    """155 scans; every box has a label, or leaves something open."""
    present = dict.fromkeys(LABELS, 0)
    for split in ("train", "val", "test"):
        table = json.loads((SHARED / f"{split}.json").read_text())
        for image in table["images"]:
            boxes = [each for each in table["annotations"] if each["image_id"] == image["id"]]
            labels = np.zeros((512, 512, 160), np.uint8)
            labels[:, :, :80] = Structure.MEDIAL_MENISCUS
            labels[:, :, 80:] = Structure.LATERAL_MENISCUS
            findings, lesions = skmtea.findings(boxes, labels, inspected=image["inspected"])
            for label in (label for label, value in findings.items() if value):
                present[label] += 1
                assert (lesions & bit_of(label)).any()
            break  # a whole matrix each takes a third of a second; the first of each split is looked at in full
        assert sum(each["category_id"] == skmtea._EFFUSION for each in table["annotations"]) > 10
    assert sum(present.values()) >= 1


HEADER = (
    b'<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding><encodedSpace><fieldOfView_mm>'
    b"<x>320</x><y>160</y><z>4.5</z></fieldOfView_mm></encodedSpace><reconSpace><matrixSize><x>320</x><y>320</y><z>1</z>"
    b"</matrixSize><fieldOfView_mm><x>144</x><y>144</y><z>4.5</z></fieldOfView_mm></reconSpace></encoding></ismrmrdHeader>"
)
TABLE = "file,slice,study_level,x,y,width,height,label\n"


@pytest.fixture
def fastmri_folder(tmp_path):
    """Three files: one with findings, one reviewed without any, one never reviewed."""
    for number, folder in (("1000001", "multicoil_train"), ("1000000", "multicoil_val"), ("1000009", "multicoil_val")):
        (tmp_path / folder).mkdir(exist_ok=True)
        with h5py.File(tmp_path / folder / f"file{number}.h5", "w") as file:
            voxels = np.zeros((30, 320, 320), np.float32)
            voxels[:, 200:240, 60:100] = 1e-4  # below the middle as stored, above it once upright
            file["reconstruction_rss"], file["ismrmrd_header"] = voxels + 1e-6, HEADER
            file.attrs["acquisition"] = "CORPDFS_FBK"
    (tmp_path / "knee_file_list.csv").write_text("file1000000\nfile1000001\n")
    (tmp_path / "knee.csv").write_text(
        TABLE + "file1000001,14,No,60,80,40,40,Joint Effusion \nfile1000001,15,No,93,173,39,10,Meniscus Tear\n"
    )
    return tmp_path


def test_fastmri_is_turned_upright_and_its_boxes_lie_on_it(fastmri_folder):
    """The bright block of the image is the box that was drawn on it."""
    studies = {study.key: study for study in fastmri.find(fastmri_folder, None)}
    assert {key: study.held_out for key, study in studies.items()} == {"file1000000": True, "file1000001": False}
    example = example_of(studies["file1000001"].read())
    coronal = PLANES.index(Plane.CORONAL)
    assert example.slice_mask.sum(axis=1).tolist() == [0, 30, 0]
    effusion = example.lesions[coronal, :, LABELS.index("Effusion")]
    (slice_index,) = np.flatnonzero(effusion.any(axis=(1, 2)))
    assert slice_index == 15  # the fourteenth of thirty that start at the second of 32
    drawn = np.kron(effusion[slice_index] > 200, np.ones((8, 8), bool))
    assert drawn.sum() > 500
    assert example.volumes[coronal, slice_index][drawn].min() > 200
    assert not example.lesions[:, :, LABELS.index("Medial Meniscus")].any()


def test_fastmris_labels_say_less_than_their_names(fastmri_folder):
    """A tear is in one of two menisci; synovitis and the patellofemoral joint were not looked at."""
    studies = {study.key: study for study in fastmri.find(fastmri_folder, None)}
    found = known(example_of(studies["file1000001"].read()).findings)
    assert found.pop("Effusion")
    assert found == dict.fromkeys(set(fastmri.LOOKED_FOR) - {"Effusion", "Medial Meniscus", "Lateral Meniscus"}, False)
    reviewed = known(example_of(studies["file1000000"].read()).findings)
    assert reviewed == dict.fromkeys(fastmri.LOOKED_FOR, False)


def test_a_folder_above_the_data_set_holds_nothing_out(tmp_path):
    """Only the data set's own folders say which split a file is of."""
    above = tmp_path / "valerie"
    for folder, held_out in (("multicoil_train", False), ("multicoil_val", True)):
        assert fastmri._held_out(above / folder / "a.h5", above) is held_out
        assert fastmri._held_out(above / folder / "a.h5", above / folder) is held_out


def test_a_sprain_of_a_knee_without_a_side_has_no_place():
    """Medial is on the other side in the other knee; an effusion is where its box is."""
    marks = [fastmri.Mark(label, 3, (10, 10, 5, 5)) for label in ("Ligament - MCL High Grade sprain", "Joint Effusion")]
    found, lesions = fastmri.findings(marks, (8, 32, 32))
    assert found["MCL"]
    assert found["Effusion"]
    assert set(np.unique(lesions)) == {0, 1 << LABELS.index("Effusion")}


def test_fastmris_header_gives_the_spacing():
    """The reconstructed field of view, not the encoded one; usual values without a header."""
    assert fastmri.spacing(HEADER, (30, 320, 320)) == (4.5, 0.45, 0.45)
    assert fastmri.spacing(b"", (30, 320, 320)) == (3.0, 0.5, 0.5)


def test_a_study_with_an_artefact_is_not_known_to_be_healthy(fastmri_folder):
    """A row for a whole study has no box."""
    (fastmri_folder / "knee.csv").write_text(TABLE + "file1000000,0,Yes,,,,,artifact\n")
    (study,) = (each for each in fastmri.find(fastmri_folder, None) if each.key == "file1000000")
    with pytest.raises(DataRefused, match="NOTHING_LABELLED"):
        example_of(study.read())


@pytest.mark.skipif(not SHARED.exists(), reason="the real annotations are not on this machine")
def test_the_published_boxes_are_understood():
    """All 16,167 rows; each label is known, in doubt, or of something we have no finding for."""
    marks = fastmri._marks(SHARED / "knee.csv")
    assert sum(map(len, marks.values())) == 16_167
    labels = {mark.label for each in marks.values() for mark in each}
    other = labels - set(fastmri._CERTAIN) - set(fastmri._DOUBTED) - {fastmri._ARTEFACT}
    assert all(
        each.startswith(("LCL", "Ligament - PCL", "Joint Bodies", "Muscle", "Patellar", "Soft")) for each in other
    )
    assert set(fastmri._CERTAIN) | set(fastmri._DOUBTED) <= labels


@pytest.mark.parametrize("finder", [skmtea.find, fastmri.find, oai.find])
def test_another_folder_is_refused_with_what_was_expected(tmp_path, finder):
    """The message is the layout."""
    with pytest.raises(DataRefused, match=r"FOLDER_UNKNOWN.*Expected"):
        finder(tmp_path, None)


def write_image(path, voxels, affine):
    """(slice, row, column) with an LPS affine, as ITK stores it."""
    image = itk.GetImageFromArray(np.ascontiguousarray(voxels))
    columns = affine[:3, :3][:, ::-1]
    size = np.linalg.norm(columns, axis=0)
    image.SetSpacing(size.tolist())
    image.SetDirection((columns / size).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    itk.WriteImage(image, str(path), useCompression=path.suffix != ".mhd")


AFFINE = np.array([[3.0, 0, 0, -40], [0, 0, 2.5, -70], [0, -2.5, 0, 60], [0, 0, 0, 1]])


@pytest.mark.parametrize("name", ["one.nii.gz", "one.mhd", "one.nrrd"])
def test_an_image_keeps_its_place_whatever_the_format(tmp_path, name):
    """NIfTI counts from the right and the back, MetaImage from the left; both come back in LPS."""
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    write_image(tmp_path / name, voxels, AFFINE)
    volume = medical_image(tmp_path / name)
    assert np.array_equal(volume.voxels, voxels)
    assert np.allclose(volume.affine, AFFINE, atol=1e-4)


def test_labels_are_sampled_where_they_lie():
    """Another grid of the same place; what is beyond is marked."""
    labels = Volume(np.arange(1, 9, dtype=np.uint8).reshape(2, 2, 2), np.diag([4.0, 4, 4, 1]))
    fine = np.diag([2.0, 2, 2, 1])
    fine[:3, 3] = -1
    found = sampled(labels, Volume(np.zeros((5, 4, 4)), fine), outside=UNKNOWN)
    assert found[:4].tolist() == np.kron(labels.voxels, np.ones((2, 2, 2), np.uint8)).tolist()
    assert (found[4] == UNKNOWN).all()


def knee_labels(shape=(24, 60, 60)):
    """Femur, its cartilage, tibia and its two cartilages, in OAIZIB-CM's numbers."""
    voxels = np.zeros(shape, np.uint8)
    voxels[2:22, 5:25, 10:50] = 1
    voxels[2:22, 25:28, 10:50] = 2
    voxels[2:22, 32:55, 10:50] = 3
    voxels[12:22, 30:32, 10:50], voxels[2:11, 30:32, 10:50] = 4, 5
    return voxels


@pytest.mark.parametrize(
    "labels",
    [
        None,
        {"background": 0, "Femur": 1, "Femoral Cartilage": 2, "Tibia": 3, "Medial Tibial Cartilage": 4}
        | {"Lateral Tibial Cartilage": 5},
        {"0": "bg", "1": "femoral_bone", "2": "femoral_cartilage", "3": "tibial_bone", "4": "medial_tibial_cartilage"}
        | {"5": "lateral_tibial_cartilage"},
    ],
)
def test_nnunets_layout_is_read_by_the_names_of_its_labels(tmp_path, labels):
    """Written either way round, or not at all; the side follows from the masks, the rest is none of what is drawn."""
    for folder in ("imagesTr", "labelsTr", "imagesTs", "labelsTs"):
        (tmp_path / folder).mkdir()
    for split, key in (("Tr", "oaizib_001"), ("Ts", "oaizib_401")):
        write_image(tmp_path / f"images{split}/{key}_0000.nii.gz", knee_labels().astype(np.int16) * 90, AFFINE)
        write_image(tmp_path / f"labels{split}/{key}.nii.gz", knee_labels(), AFFINE)
    if labels:
        (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
    studies = oai.find(tmp_path, None)
    assert [(study.key, study.held_out) for study in studies] == [("oaizib_001", False), ("oaizib_401", True)]
    record = studies[0].read()
    assert record.laterality is Laterality.RIGHT
    assert record.findings == {}
    drawn = {Structure(each) for each in (1, 2, 5, 6, 7)}
    assert set(np.unique(record.series[0].structures)) == {1, 2, 5, 6, 7, unlabelled(drawn)}
    example = example_of(record)
    assert (example.findings == UNKNOWN).all()
    assert all((example.labels[plane] == Structure.TIBIA).any() for plane in range(3))


@pytest.mark.parametrize(("findings", "greys"), [({}, {0, 255}), ({"ACL": True}, {85, 170})])
def test_long_series_are_seen_as_the_network_that_learns_from_them_is_served(findings, greys):
    """Stripes along 96 slices stay black and white for the segmentation; the classification sees means of three."""
    voxels = np.zeros((96, 256, 256), np.uint8)
    voxels[::2] = 200
    structures = np.full(voxels.shape, Structure.TIBIA, np.uint8)
    image = Volume(voxels, usual_affine(Plane.SAGITTAL, 96, (0.7, 0.6, 0.6)))
    example = example_of(Record((Series(image, structures),), findings))
    assert {int(np.median(each)) for each in example.volumes[0]} == greys


def test_iwoais_pairs_have_no_side(tmp_path):
    """Channels of cartilage and meniscus; which of a pair is medial is not claimed."""
    one_hot = np.zeros((40, 40, 24, 6), np.uint8)
    for channel in range(6):
        one_hot[5 * channel : 5 * channel + 4, 10:30, 4:20, channel] = 1
    with h5py.File(tmp_path / "train_001_V00.im", "w") as file:
        file["data"] = one_hot.max(axis=3) * 100.0 + np.arange(24)
    with h5py.File(tmp_path / "train_001_V00.seg", "w") as file:
        file["data"] = one_hot
    with h5py.File(tmp_path / "valid_001_V00.im", "w") as file:
        file["data"] = one_hot.max(axis=3)
    (study,) = oai.find(tmp_path, None)
    found = study.read().series[0].structures
    assert set(np.unique(found)) - {Structure.FEMORAL_CARTILAGE, TIBIAL_CARTILAGE, Structure.PATELLAR_CARTILAGE} == {
        MENISCUS,
        unlabelled(skmtea.CHANNELS),
    }
    assert not study.held_out


def test_masks_are_laid_on_the_scan_they_were_drawn_on(tmp_path):
    """Two scans of one person: the mask's own place decides; without one that fits it is refused."""
    visit, masks = tmp_path / "00m/0.C.2/9001104/20050926", tmp_path / "masks"
    masks.mkdir()
    for number, side in ((1, -300.0), (2, 0.0)):
        instances = series(Plane.SAGITTAL, number=number, slices=24)
        for each in instances:
            each.ImagePositionPatient = [float(each.ImagePositionPatient[0]) + side, *each.ImagePositionPatient[1:]]
        write(visit / f"1048761{number}", instances)
    affine = np.array([[-4.0, 0, 0, -60], [0, 0, 2, -60], [0, -2, 0, -60], [0, 0, 0, 1]])
    drawn = np.where(knee_labels() == 5, 4, knee_labels())
    write_image(masks / "9001104.segmentation_masks.mhd", drawn, affine)
    write_image(masks / "9009999.segmentation_masks.mhd", drawn, affine)
    (study,) = oai.find(tmp_path / "00m", masks)
    record = study.read()
    assert record.series[0].image.affine[0, 3] == pytest.approx(-60)
    found = record.series[0].structures
    assert np.array_equal(found[:, :60, :60] == Structure.FEMUR, drawn == 1)
    assert TIBIAL_CARTILAGE in found
    shutil.rmtree(visit / "10487612")
    with pytest.raises(DataRefused, match="GEOMETRY_MISMATCH"):
        oai.find(tmp_path / "00m", masks)[0].read()


def test_woos_bone_lesions_belong_to_their_bones():
    """Nine labels; a lesion of the femur is femur."""
    voxels = np.arange(10, dtype=np.uint16).reshape(1, 2, 5)
    expected = [[0, 1, 5, 2, TIBIAL_CARTILAGE], [3, 8, 1, 2, 3]]
    expected[0][0] = unlabelled({Structure(each) for each in (1, 2, 3, 5, 6, 7, 8)})
    assert oai.relabelled(voxels, oai.WOO)[0].tolist() == expected
