"""The phantom: the same seed is the same study, its geometry is true, and its findings are where it says."""

import numpy as np
import pydicom
import pytest

from services.common.finding import LABELS, Laterality, Structure
from services.common.volume import PLANES, Plane
from tools.phantom.anatomy import knee
from tools.phantom.study import image_study, write_study

MATRIX = 96


@pytest.fixture(scope="module")
def torn():
    return image_study(7, ["ACL", "Medial Meniscus", "Effusion"], matrix=MATRIX)


def centre_of(series, structure) -> np.ndarray:
    """Mean patient position of a structure, LPS mm."""
    index = np.argwhere(series.labels.voxels == structure).mean(axis=0)
    return (series.labels.affine @ [*index, 1])[:3]


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    """Two runs agree file by file."""
    for name in ("one", "two"):
        write_study(tmp_path / name, 3, ["ACL"], matrix=MATRIX)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.dcm"))
    assert len(files) > 60
    assert all((tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes() for path in files)


def test_a_study_has_the_three_planes_and_the_structures(torn):
    """Each series lies in its plane; bones, cartilage, menisci and cruciates are drawn."""
    assert [series.image.plane for series in torn.series] == list(PLANES)
    present = set(np.unique(torn.series[0].labels.voxels))
    assert {Structure.FEMUR, Structure.TIBIA, Structure.PATELLA, Structure.FEMORAL_CARTILAGE, Structure.PCL} <= present


def test_the_anatomy_is_the_right_way_round(torn):
    """Femur over tibia, patella in front, fibula lateral; medial is towards the other leg on either side."""
    for seed in (7, 8, 9, 10):
        study = torn if seed == 7 else image_study(seed, [], matrix=MATRIX)
        sagittal, coronal, _ = study.series
        femur, tibia = (centre_of(sagittal, each) for each in (Structure.FEMUR, Structure.TIBIA))
        assert femur[2] > tibia[2] + 20
        assert centre_of(sagittal, Structure.PATELLA)[1] < femur[1] - 15
        lateral = 1 if study.knee.laterality is Laterality.LEFT else -1
        medial_meniscus, lateral_meniscus = (
            centre_of(coronal, each) for each in (Structure.MEDIAL_MENISCUS, Structure.LATERAL_MENISCUS)
        )
        assert lateral * (lateral_meniscus[0] - medial_meniscus[0]) > 20


@pytest.mark.parametrize("finding", LABELS)
def test_a_finding_changes_the_image_where_its_mask_says(finding):
    """The same knee with and without the finding differs inside the mask, and the anatomy beside it stays."""
    with_finding = image_study(21, [finding], matrix=MATRIX)
    without = image_study(21, [], matrix=MATRIX)
    bit = 1 << LABELS.index(finding)
    seen = 0
    for changed, plain in zip(with_finding.series, without.series, strict=True):
        mask = (changed.lesions.voxels & bit) > 0
        difference = np.abs(changed.image.voxels.astype(float) - plain.image.voxels)
        if mask.any():
            seen += 1
            assert difference[mask].mean() > difference[~mask].mean()
    assert seen >= 1
    assert knee(21, frozenset([finding])).anatomy == without.knee.anatomy


def test_the_files_are_mr_images_with_geometry(tmp_path):
    """A reader finds one study, three series, evenly spaced oblique slices."""
    write_study(tmp_path, 5, [], matrix=MATRIX)
    datasets = [pydicom.dcmread(path) for path in sorted((tmp_path / Plane.SAGITTAL).glob("*.dcm"))]
    assert {each.SOPClassUID.name for each in datasets} == {"MR Image Storage"}
    assert len({each.StudyInstanceUID for each in datasets}) == 1
    positions = np.array([each.ImagePositionPatient for each in datasets], dtype=float)
    steps = np.diff(positions, axis=0)
    assert np.allclose(steps, steps[0], atol=1e-3)
    cosines = np.array(datasets[0].ImageOrientationPatient, dtype=float)
    assert np.isclose(np.linalg.norm(cosines[:3]), 1, atol=1e-6)
    assert np.abs(cosines).max() < 1
    assert datasets[0].pixel_array.shape == (MATRIX, MATRIX)


def test_an_unknown_finding_is_refused():
    """A typing error does not make a healthy knee."""
    with pytest.raises(ValueError, match="Flu"):
        knee(1, frozenset(["Flu"]))
