"""MRNet and kneeMRI, written as they are published: arrays, pickles and tables of labels."""

import pickle

import numpy as np
import pytest

from services.common.errors import StudyRefused
from services.common.finding import LABELS
from services.common.volume import PLANES, Plane
from tools.train.partial import UNKNOWN
from tools.train.sources import kneemri, mrnet
from tools.train.sources.example import example_of
from tools.train.sources.refusal import DataRefused


def picture(slices=20, size=256):
    """Brighter from the first slice to the last, and a bright corner up on the left."""
    voxels = np.zeros((slices, size, size), np.uint8)
    voxels += np.arange(slices, dtype=np.uint8)[:, None, None] * 2
    voxels[:, size // 4 : size // 2, size // 4 : size // 2] = 200
    return voxels


@pytest.fixture
def mrnet_folder(tmp_path):
    """Two studies to train on, one to validate with."""
    answers = {"train": {"0000": (1, 1, 1), "0001": (0, 0, 0)}, "valid": {"1130": (1, 0, 0)}}
    for split, studies in answers.items():
        for number, task in enumerate(mrnet.TASKS):
            lines = "".join(f"{key},{values[number]}\n" for key, values in studies.items())
            (tmp_path / f"{split}-{task}.csv").write_text(lines)
        for plane in PLANES:
            (tmp_path / split / plane).mkdir(parents=True)
            for key in studies:
                np.save(tmp_path / split / plane / f"{key}.npy", picture())
    return tmp_path


def known(findings):
    return {name: bool(value) for name, value in zip(LABELS, findings, strict=True) if value != UNKNOWN}


def test_mrnet_gives_three_planes_and_what_its_labels_say(mrnet_folder):
    """A sound knee has none of the twelve findings, a torn ACL is one, a torn meniscus is either of two."""
    studies = {study.key: study for study in mrnet.find(mrnet_folder, None)}
    assert {key: study.held_out for key, study in studies.items()} == {"0000": False, "0001": False, "1130": True}
    torn, sound = (example_of(studies[key].read()) for key in ("0000", "0001"))
    assert known(torn.findings) == {"ACL": True}
    assert known(sound.findings) == dict.fromkeys(LABELS, False)
    assert known(example_of(studies["1130"].read()).findings) == {
        "ACL": False,
        "Medial Meniscus": False,
        "Lateral Meniscus": False,
    }
    assert torn.slice_mask.sum(axis=1).tolist() == [20, 20, 20]
    assert not torn.lesions.any()
    inside = torn.labels[torn.slice_mask > 0][:, 20:236, 20:236]
    assert (inside == UNKNOWN).all()


def test_mrnets_slices_keep_their_order_and_their_upright_view(mrnet_folder):
    """The grid shows what the file shows: nothing is turned, mirrored or moved."""
    example = example_of(mrnet.find(mrnet_folder, None)[0].read())
    for volume in example.volumes:
        used = volume[6:26]
        means = used[:, 200:, 200:].mean(axis=(1, 2))
        assert (np.diff(means) > 0).all()
        assert used[:, 70:110, 70:110].min() > 190
        assert used[:, 150:, 150:].max() < 190


def test_a_plane_that_is_missing_is_marked_as_missing(mrnet_folder):
    """No slice, no voxel, nothing known."""
    (mrnet_folder / "train" / "axial" / "0000.npy").unlink()
    example = example_of(mrnet.find(mrnet_folder, None)[0].read())
    axial = PLANES.index(Plane.AXIAL)
    assert not example.slice_mask[axial].any()
    assert not example.volumes[axial].any()
    assert (example.labels[axial] == UNKNOWN).all()


def test_more_slices_than_the_grid_has_are_averaged(mrnet_folder):
    """61 slices, MRNet's longest, fill all 32."""
    np.save(mrnet_folder / "train" / "sagittal" / "0000.npy", picture(slices=61))
    example = example_of(mrnet.find(mrnet_folder, None)[0].read())
    assert example.slice_mask[0].sum() == 32


@pytest.mark.parametrize("content", ["id,label\n0000,1\n", "0000;1\n", "0000,2\n", "\x00\xff"])
def test_a_table_of_another_form_is_refused_by_its_row(mrnet_folder, content):
    """A header, another separator, another value, another encoding."""
    (mrnet_folder / "train-acl.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises(DataRefused, match="LABELS_UNREADABLE"):
        mrnet.find(mrnet_folder, None)


@pytest.mark.parametrize(
    "voxels", [np.zeros((4, 4), np.uint8), np.array([{"a": 1}], dtype=object), np.zeros((2, 2, 2), complex)]
)
def test_an_array_that_is_no_volume_is_refused(mrnet_folder, voxels):
    """An object array would be a pickle inside the file."""
    np.save(mrnet_folder / "train" / "sagittal" / "0000.npy", voxels, allow_pickle=True)
    with pytest.raises(DataRefused, match="FILE_UNREADABLE"):
        mrnet.find(mrnet_folder, None)[0].read()


def test_an_empty_image_is_refused_as_the_service_would(mrnet_folder):
    """No window exists."""
    np.save(mrnet_folder / "train" / "sagittal" / "0000.npy", np.zeros((4, 256, 256), np.uint8))
    with pytest.raises(StudyRefused, match="NO_SIGNAL"):
        example_of(mrnet.find(mrnet_folder, None)[0].read())


@pytest.fixture
def kneemri_folder(tmp_path):
    """Three volumes of varying size, one of them only in the table."""
    header = "examId,seriesNo,aclDiagnosis,kneeLR,roiX,roiY,roiZ,roiHeight,roiWidth,roiDepth,volumeFilename"
    lines = [header]
    for number, (diagnosis, size) in enumerate([(0, 300), (1, 320), (2, 290)]):
        name = f"32915{number}-1.pck"
        lines.append(f"32915{number},1,{diagnosis},1,100,90,11,80,90,5,{name}")
        folder = tmp_path / f"vol{number + 1:02d}"
        folder.mkdir()
        if diagnosis < 2:
            voxels = picture(slices=31, size=size).astype(np.uint16) * 16
            (folder / name).write_bytes(pickle.dumps(voxels, protocol=2))
    (tmp_path / "metadata.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_kneemri_gives_a_sagittal_series_and_the_acl(kneemri_folder):
    """Sound and partly torn; nothing else is known, and nothing is said about the other planes."""
    studies = kneemri.find(kneemri_folder, None)
    examples = [example_of(study.read()) for study in studies]
    assert [known(example.findings) for example in examples] == [{"ACL": False}, {"ACL": True}]
    assert [study.held_out for study in studies] == [None, None]
    for example in examples:
        assert example.slice_mask.sum(axis=1).tolist() == [31, 0, 0]
        assert example.volumes[0, 16, 70:110, 70:110].min() > 190


@pytest.mark.parametrize("finder", [mrnet.find, kneemri.find])
def test_another_folder_is_refused_with_what_was_expected(tmp_path, finder):
    """The message is the layout, so that the reader sees what is missing."""
    with pytest.raises(DataRefused, match=r"FOLDER_UNKNOWN.*Expected"):
        finder(tmp_path, None)


def test_a_row_of_another_form_is_refused(kneemri_folder):
    """A diagnosis that does not exist is no healthy knee."""
    path = kneemri_folder / "metadata.csv"
    path.write_text(path.read_text().replace(",1,0,1,", ",1,7,1,"))
    with pytest.raises(DataRefused, match="Row 2 of"):
        kneemri.find(kneemri_folder, None)
