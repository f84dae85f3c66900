"""A label map from a file becomes knees: bent, clothed, and labelled where its bones are."""

import gzip

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is for training only; make models installs it")

from services.common.finding import Structure
from tools.train import dataset, labelmap

# columns (to the back), rows (to the foot), slices (to the patient's right), as a sagittal series is stored
SHAPE, STEP = (120, 140, 60), 1.0


@pytest.fixture(scope="module")
def nrrd(tmp_path_factory):
    """A femur over a tibia, a femoral cartilage between them, and a meniscus on each side."""
    voxels = np.zeros(SHAPE, np.uint8)
    voxels[30:90, 10:65, 10:50] = 5
    voxels[30:90, 75:130, 10:50] = 6
    voxels[30:90, 65:68, 10:50] = 1
    voxels[40:80, 69:74, 10:22] = 10
    voxels[40:80, 69:74, 38:50] = 9
    head = (
        "NRRD0004\n# comment\ntype: unsigned char\ndimension: 3\nspace: left-posterior-superior\n"
        f"sizes: {SHAPE[0]} {SHAPE[1]} {SHAPE[2]}\n"
        f"space directions: (0,{STEP},0) (0,0,{-STEP}) ({-2 * STEP},0,0)\nkinds: domain domain domain\n"
        "encoding: gzip\nspace origin: (0,0,0)\n\n"
    )
    path = tmp_path_factory.mktemp("map") / "map.nrrd"
    path.write_bytes(head.encode() + gzip.compress(voxels.tobytes(order="F")))
    return path


def test_the_map_is_read_with_its_directions(nrrd):
    """The joint is the origin, the femur is above it, the lateral meniscus of a right knee on the patient's right."""
    source = labelmap.read(nrrd)
    affine = np.linalg.inv(source.to_index)

    def centre(structure):
        return (affine @ [*np.argwhere(source.labels == structure).mean(axis=0), 1])[:3]

    assert centre(Structure.FEMUR)[2] > 20
    assert centre(Structure.TIBIA)[2] < -20
    assert centre(Structure.LATERAL_MENISCUS)[0] < -20 < 20 < centre(Structure.MEDIAL_MENISCUS)[0]


def test_a_bent_knee_keeps_its_structures_and_gets_tissue_around(nrrd):
    """Three planes on the model's grid; the air is dark, the skin closes around the bones, no finding is claimed."""
    example = labelmap.make(labelmap.read(nrrd), dataset.LABELMAP_SEED + 5)
    for plane in range(3):
        present = set(np.unique(example.labels[plane]))
        assert {Structure.FEMUR, Structure.TIBIA, Structure.MEDIAL_MENISCUS, Structure.LATERAL_MENISCUS} <= present
        assert np.ptp(example.volumes[plane]) > 100
    assert not np.array_equal(example.volumes, example.recoloured)
    assert not example.findings.any()
    assert not example.lesions.any()


def test_without_the_map_nothing_is_made(tmp_path, monkeypatch, capsys):
    """The command says so and ends well, because the training goes on without it."""
    monkeypatch.setattr("sys.argv", ["labelmap", "--map", str(tmp_path / "none.nrrd")])
    labelmap.main()
    assert "not there" in capsys.readouterr().out
