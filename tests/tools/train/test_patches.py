"""Patches: their truth follows the same deformation as their picture, and rare things get their turn."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is for training only; make models installs it")

from services.common.finding import LABELS, Structure  # noqa: E402
from services.common.volume import PLANES, Plane  # noqa: E402
from tools.train import contrast, dataset, lesions, sampling  # noqa: E402
from tools.train.networks import CLASSIFICATION_REACH, SEGMENTATION_REACH, seen  # noqa: E402
from tools.train.partial import UNKNOWN  # noqa: E402
from tools.train.sampling import Bend, Place  # noqa: E402

SIZE = 128


def example(*, mark=True) -> dataset.Example:
    """A grey disc labelled femur, a small square of ACL in it on one slice, and a lesion cell over that square."""
    rows, columns = np.mgrid[:256, :256]
    disc = np.hypot(rows - 120, columns - 140) < 50
    labels = np.zeros((3, 32, 256, 256), np.uint8)
    labels[:, 4:28] = disc * np.uint8(Structure.FEMUR)
    cells = np.zeros((3, 32, len(LABELS), 32, 32), np.uint8)
    if mark:
        labels[:, 10, 128:136, 136:144] = Structure.ACL
        cells[:, 10, LABELS.index("ACL"), 16, 17] = 255
    mask = np.zeros((3, 32), np.uint8)
    mask[:, 4:28] = 1
    volumes = np.where(labels > 0, np.uint8(200), np.uint8(0)) * mask[:, :, None, None]
    return dataset.Example(
        volumes, volumes // 2, mask, labels, cells, np.eye(12, dtype=np.uint8)[0], dataset.regions(labels)
    )


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "1000000.npz"
    dataset.save(path, example())
    return path


def test_a_mapped_example_equals_the_one_that_was_saved(stored):
    """Every array comes back whole, and what a reader writes never reaches the file."""
    loaded, expected = dataset.load(stored), example()
    for name in dataset.Example.__dataclass_fields__:
        assert np.array_equal(getattr(loaded, name), getattr(expected, name))
    loaded.volumes[:] = 7
    assert np.array_equal(dataset.load(stored).volumes, expected.volumes)


def test_a_patch_shows_its_picture_and_its_labels_in_one_place(stored):
    """Without randomised contrast the disc and its label cover the same pixels, however the slice is bent."""
    rng, pool = np.random.default_rng(0), sampling.Pool()
    drawn = sampling.draw(pool, [stored], rng, shape=(12, SIZE))
    assert drawn.images.shape == (12, seen(SEGMENTATION_REACH), SIZE, SIZE)
    assert drawn.position.shape == (12, 3, SIZE // 2, SIZE // 2)
    assert drawn.images.min() >= -1
    assert drawn.images.max() <= 3
    difference = []
    for image, labels in zip(drawn.images, drawn.labels, strict=True):
        inside = labels == Structure.FEMUR
        if 0.1 < inside.float().mean() < 0.9:
            own = image[SEGMENTATION_REACH]
            difference.append(float((own[inside].mean() - own[labels == 0].mean()).abs()))
    assert np.median(difference) > 0.4


def test_a_rare_structure_is_drawn_far_more_often_than_it_occurs():
    """The square fills a thousandth of the slices and stands in the middle of a good part of the windows."""
    rng, one = np.random.default_rng(1), example()
    flat = one.labels.reshape(96, -1)
    counts = np.reshape([np.bincount(each, minlength=14) for each in flat], (3, 32, 14))
    places = [sampling.choose_place(one, counts, rng) for _ in range(200)]
    assert sum(place.slice_index == 10 for place in places) > 40
    assert all(one.slice_mask[place.plane, place.slice_index] for place in places)


def test_what_lies_flat_in_a_plane_is_sought_there():
    """With as much of both in every plane, axial windows stand at tibial cartilage more often than sagittal ones do."""
    rng, one = np.random.default_rng(1), example(mark=False)
    one.labels[:, 6:26] = Structure.FEMORAL_CARTILAGE
    one.labels[:, 6:26, 100:160, 100:160] = Structure.MEDIAL_TIBIAL_CARTILAGE
    counts = np.reshape([np.bincount(each, minlength=14) for each in one.labels.reshape(96, -1)], (3, 32, 14))
    tibial = np.zeros(3)
    for place in (sampling.choose_place(one, counts, rng) for _ in range(600)):
        label = one.labels[place.plane, place.slice_index, place.row, place.column]
        tibial[place.plane] += label == Structure.MEDIAL_TIBIAL_CARTILAGE
    assert tibial[PLANES.index(Plane.AXIAL)] > 1.2 * tibial[PLANES.index(Plane.SAGITTAL)]


def test_later_a_structure_is_met_as_often_as_it_occurs():
    """Places anywhere come from all slices alike."""
    rng, one = np.random.default_rng(1), example()
    counts = np.reshape([np.bincount(each, minlength=14) for each in one.labels.reshape(96, -1)], (3, 32, 14))
    places = [sampling.choose_place(one, counts, rng, anywhere=1.0) for _ in range(200)]
    assert sum(place.slice_index == 10 for place in places) < 25


def test_a_window_knows_where_it_lies():
    """Unbent, a window reads the pixels around its place, and its position says so."""
    rng = np.random.default_rng(2)
    still = Bend(turn=0, stretch=0, shift_pixels=0, wave_pixels=0)
    columns, rows, position = sampling.bent_window(Place(0, 10, 128, 128), rng, SIZE, bend=still)
    assert np.allclose(np.diff(columns, axis=1), 1, atol=1e-4)
    assert np.allclose(np.diff(rows, axis=0), 1, atol=1e-4)
    middle = rows[::2, ::2] + 0.5
    assert np.allclose(position[1], (middle - 127.5) / 127.5, atol=1e-5)
    assert abs(position[0, 0, 0] - (10 * 2 / 31 - 1)) < 0.4


def test_whole_slices_are_not_cropped(stored):
    """At 256 pixels the window is the slice, bent or not."""
    drawn = sampling.draw(sampling.Pool(), [stored], np.random.default_rng(3), shape=(2, 256))
    assert drawn.position[0, 1, 0, 0] < -0.99
    assert drawn.position[0, 1, -1, -1] > 0.99


def test_the_truth_of_a_lesion_lies_over_its_square(stored):
    """The positive cell of a patch covers the pixels that are drawn there."""
    rng, pool = np.random.default_rng(4), lesions.Pool()
    drawn = lesions.draw(pool, [stored], rng, shape=(24, SIZE))
    assert drawn.truth.shape == (24, 12, SIZE // 8, SIZE // 8)
    assert drawn.images.shape == (24, seen(CLASSIFICATION_REACH) + 1, SIZE, SIZE)
    found = drawn.truth[:, LABELS.index("ACL")].sum(dim=(1, 2))
    assert 8 <= int((found > 0).sum()) <= 22
    assert drawn.truth[:, 1:].sum() == 0


def test_a_study_without_findings_gives_negatives(tmp_path):
    """No lesion anywhere is an example too."""
    path = tmp_path / "1000001.npz"
    dataset.save(path, example(mark=False))
    drawn = lesions.draw(lesions.Pool(), [path], np.random.default_rng(5), shape=(4, SIZE))
    assert drawn.truth.sum() == 0


def test_a_study_of_one_plane_gives_windows_of_that_plane(tmp_path):
    """The others are missing, and what was not judged is marked."""
    one, path = example(mark=False), tmp_path / "mrnet-0123456789ab.findings.npz"
    one.slice_mask[:2], one.volumes[:2], one.labels[:] = 0, 0, UNKNOWN
    one.findings[:] = UNKNOWN
    one.findings[:2] = 1, 0
    dataset.save(path, one)
    drawn = lesions.draw(lesions.Pool(), [path], np.random.default_rng(8), shape=(6, SIZE))
    assert set(drawn.plane.tolist()) == {2}
    assert drawn.known.tolist() == [[0, 1] + [0] * 10] * 6
    labelled = sampling.draw(sampling.Pool(), [path], np.random.default_rng(9), shape=(4, SIZE))
    assert (labelled.labels == UNKNOWN).any()


def test_bones_mostly_share_their_grey_and_air_keeps_its_own():
    """Random greys treat the four bones alike and leave the background to the curves."""
    rng = np.random.default_rng(6)
    greys = [contrast.structure_greys(rng, spread=0.2) for _ in range(60)]
    assert all(grey[0] == 0 for grey in greys)
    alike = [np.ptp(grey[list(contrast.BONES)]) < 0.15 for grey in greys]
    assert 0.6 < np.mean(alike) < 1


def test_noise_lies_over_air_as_a_scanner_leaves_it():
    """Magnitudes are never negative, so noise lifts the air."""
    rng = np.random.default_rng(7)
    degraded = [contrast.degraded(np.zeros((3, 64, 64), np.float32), rng) for _ in range(20)]
    assert min(float(each.min()) for each in degraded) >= -1
    assert max(float(each.mean()) for each in degraded) > -1
