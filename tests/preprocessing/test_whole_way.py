"""An asymmetric phantom goes in as DICOM and its segmentation comes back on the right voxels.

Three balls of different size lie to the patient's left, to the head and to the front. The fake segmentation network
calls bright voxels femur, so the object that comes back must show the balls where the patient has them, whatever way
the slices were cut, ordered and stored.
"""

import numpy as np
import pydicom
import pytest

from services.common.volume import Plane
from tests.preprocessing.live_service import files_of, objects_of, requests, run
from tests.studies import COLUMNS, COSINES, ROWS, enhanced, series

# centre in LPS mm and radius: left, head, front
BALLS = (((22.0, 2.0, -3.0), 17.0), ((-8.0, 3.0, 36.0), 14.0), ((2.0, -35.0, 4.0), 11.0))
SLICES, GAP_MM = 26, 3.5


def inside(points: np.ndarray) -> np.ndarray:
    """Which points ``(..., 3)`` lie in a ball."""
    return np.any([np.linalg.norm(points - centre, axis=-1) < radius for centre, radius in BALLS], axis=0)


def turned(plane: Plane, degrees: float) -> np.ndarray:
    """Row and column cosines of a plane, tilted about two axes."""
    a, b = np.deg2rad(degrees), np.deg2rad(degrees / 2)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return np.reshape(COSINES[plane], (2, 3)) @ (about_z @ about_x).T


def voxel_positions(position, cosines, spacing) -> np.ndarray:
    """LPS of every pixel of one slice, ``(row, column, 3)``."""
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    return position + cosines[0] * spacing[1] * columns[..., None] + cosines[1] * spacing[0] * rows[..., None]


def phantom(
    cosines: np.ndarray, spacing=(2.0, 2.0), *, slices=SLICES, gap_mm=GAP_MM, **attributes
) -> list[pydicom.Dataset]:
    """A series through the balls, its middle in the middle of the patient."""
    instances = series(Plane.SAGITTAL, slices=slices, PixelSpacing=list(spacing), **attributes)
    normal = np.cross(*cosines)
    corner = -cosines[0] * spacing[1] * (COLUMNS - 1) / 2 - cosines[1] * spacing[0] * (ROWS - 1) / 2
    for index, instance in enumerate(instances):
        position = corner + normal * gap_mm * (index - (slices - 1) / 2)
        instance.ImageOrientationPatient = [round(float(value), 8) for value in cosines.ravel()]
        instance.ImagePositionPatient = [round(float(value), 6) for value in position]
        noise = np.random.default_rng(index).integers(0, 60, (ROWS, COLUMNS))
        pixels = noise + 900 * inside(voxel_positions(position, cosines, spacing))
        instance.PixelData = pixels.astype(np.uint16).tobytes()
    return instances


def overlap(segmentation: pydicom.Dataset, *, moved_mm: float = 0.0) -> float:
    """Dice of the object's voxels with the balls, each voxel at the place the object itself gives it.

    ``moved_mm`` is how far the balls moved to the head before.
    """
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    cosines = np.reshape(shared.PlaneOrientationSequence[0].ImageOrientationPatient, (2, 3)).astype(float)
    spacing = [float(value) for value in shared.PixelMeasuresSequence[0].PixelSpacing]
    masks = segmentation.pixel_array.reshape(-1, ROWS, COLUMNS)
    both = total = 0
    for mask, item in zip(masks, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        place = np.array(item.PlanePositionSequence[0].ImagePositionPatient, dtype=float) - (0, 0, moved_mm)
        truth = inside(voxel_positions(place, cosines, spacing))
        both += 2 * np.count_nonzero(truth & (mask == 1))
        total += np.count_nonzero(truth) + np.count_nonzero(mask)
    return both / total


def flipped(cosines: np.ndarray, *signs: int) -> np.ndarray:
    return cosines * np.array(signs)[:, None]


CUTS = {
    **{str(plane): turned(plane, 0) for plane in Plane},
    **{f"oblique {plane}": turned(plane, 24) for plane in Plane},
    "rows upside down": flipped(turned(Plane.SAGITTAL, 0), 1, -1),
    "columns from the back": flipped(turned(Plane.SAGITTAL, 8), -1, 1),
    "rows and columns exchanged": turned(Plane.CORONAL, 0)[::-1],
}


@pytest.mark.parametrize("cut", CUTS)
def test_the_segmentation_lies_on_the_balls(tmp_path, cut):
    """Sagittal, coronal, axial, oblique, mirrored and transposed slices."""
    (segmentation,) = segmentations(tmp_path, phantom(CUTS[cut]))
    assert overlap(segmentation) > 0.93


@pytest.mark.parametrize("attributes", [{"Laterality": "L"}, {"spacing": (1.6, 2.2)}], ids=["left knee", "oblong"])
def test_side_and_pixel_shape_do_not_matter(tmp_path, attributes):
    """A left knee is mirrored for the model and back; pixels need not be square."""
    (segmentation,) = segmentations(tmp_path, phantom(turned(Plane.CORONAL, 15), **attributes))
    assert overlap(segmentation) > 0.93


@pytest.mark.parametrize(("slices", "gap_mm"), [(33, 2.8), (130, 0.7)])
def test_a_series_of_more_slices_than_the_grid_has_is_segmented_slice_by_slice(tmp_path, slices, gap_mm):
    """The model sees 32 slices at a time, and each slice of the series has its turn."""
    (segmentation,) = segmentations(tmp_path, phantom(turned(Plane.SAGITTAL, 12), slices=slices, gap_mm=gap_mm))
    assert overlap(segmentation) > 0.93


def test_files_in_any_order_give_the_same_segmentation(tmp_path):
    """Shuffled and reversed instances are the same series."""
    instances = phantom(turned(Plane.AXIAL, 10))
    (one,) = segmentations(tmp_path, instances)
    (other,) = segmentations(tmp_path, instances[::-1])
    assert one.PixelData == other.PixelData
    assert overlap(one) > 0.93


@pytest.mark.parametrize("degrees", [0, 24])
def test_an_enhanced_object_is_segmented_like_its_classic_series(tmp_path, degrees):
    """Same voxels at the same place; the references name the frames."""
    classic = phantom(turned(Plane.SAGITTAL, degrees))
    multi_frame = enhanced(classic)
    (one,) = segmentations(tmp_path, classic)
    (other,) = segmentations(tmp_path, [multi_frame])
    assert overlap(other) > 0.93
    assert one.PixelData == other.PixelData
    frames = [item.DerivationImageSequence[0].SourceImageSequence[0] for item in other.PerFrameFunctionalGroupsSequence]
    assert {each.ReferencedSOPInstanceUID for each in frames} == {multi_frame.SOPInstanceUID}
    places = {
        int(each.ReferencedFrameNumber): tuple(item.PlanePositionSequence[0].ImagePositionPatient)
        for each, item in zip(frames, other.PerFrameFunctionalGroupsSequence, strict=True)
    }
    sources = multi_frame.PerFrameFunctionalGroupsSequence
    for number, place in places.items():
        assert place == tuple(sources[number - 1].PlanePositionSequence[0].ImagePositionPatient)


@pytest.mark.parametrize("moved_mm", [0.0, 4.0])
def test_each_series_of_a_knee_that_moved_has_its_segmentation_where_it_shows_it(tmp_path, moved_mm):
    """Planes are asked about each other's places, not laid over each other."""
    found = segmentations(tmp_path, two_series(moved_mm))
    assert len(found) == 2
    assert min(overlap(each, moved_mm=moved) for each, moved in zip(found, (0, moved_mm), strict=True)) > 0.93


def test_series_that_show_two_knees_are_noted(tmp_path):
    """A mixed up study is nothing to be silent about; one of a knee that moved is no mix-up."""
    note = "coronal: its bones can't be laid on those of the sagittal series, so it was segmented by itself"
    for name, instances, noted in (("one", two_series(4.0), False), ("two", two_series(0.0, upside_down=True), True)):
        summary = run(tmp_path / name, requests(files_of(instances)))[-1].summary
        assert (note in summary.notes) is noted, name


def two_series(moved_mm: float, *, upside_down: bool = False) -> list[pydicom.Dataset]:
    """A sagittal and a coronal series, between which the balls moved to the head or turned over."""
    coronal = phantom(turned(Plane.CORONAL, 10), number=2)
    for each in coronal:
        each.ImagePositionPatient[2] += moved_mm
        if upside_down:
            each.PixelData = np.ascontiguousarray(each.pixel_array[::-1]).tobytes()
    return [*phantom(turned(Plane.SAGITTAL, 0)), *coronal]


def segmentations(folder, instances) -> list[pydicom.Dataset]:
    results = objects_of(run(folder, requests(files_of(instances))))
    return [each for each in results.values() if each.Modality == "SEG"]
