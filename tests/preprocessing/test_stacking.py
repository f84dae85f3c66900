"""Stored values become one volume that is bright where the signal is strong."""

import numpy as np
import pydicom
import pytest
from pydicom.uid import ImplicitVRLittleEndian

from services.common.dicom import read_instance
from services.common.errors import RefusalCode, StudyRefused
from services.common.frame import frames_of
from services.common.transforms import window_to_uint8
from services.common.volume import Plane
from services.preprocessing.geometry import sort_slices
from services.preprocessing.stacking import assemble, transform
from tests.studies import COLUMNS, ROWS, enhanced, series
from tests.syntaxes import encoded, with_pixels


def volume_of(instances):
    return assemble(sort_slices([frame for each in instances for frame in frames_of(each)]))


def stored_values(instances):
    return np.stack([np.frombuffer(each.PixelData, np.uint16).reshape(ROWS, COLUMNS) for each in instances])


def test_slices_of_one_rescaling_keep_their_stored_values():
    """The window undoes any positive linear map, so nothing is computed for it."""
    instances = series(Plane.SAGITTAL, RescaleSlope="2.5", RescaleIntercept="-10")
    volume = volume_of(instances)
    assert np.array_equal(volume.voxels, stored_values(instances))
    linear = stored_values(instances) * 2.5 - 10
    assert np.abs(window_to_uint8(volume.voxels).astype(int) - window_to_uint8(linear)).max() <= 1


def test_slices_of_different_rescaling_become_modality_values():
    """Stored value x slope + intercept, slice by slice."""
    instances = series(Plane.SAGITTAL)
    for index, instance in enumerate(instances):
        instance.RescaleSlope, instance.RescaleIntercept = 1 + index, index
    factor = np.arange(1, 9)[:, None, None]
    assert np.allclose(volume_of(instances).voxels, stored_values(instances) * factor + factor - 1)


def test_the_private_scale_of_an_enhanced_philips_object_stands_in_each_frame():
    """Its private group repeats the classic attributes, scale included."""
    instance = enhanced(series(Plane.SAGITTAL))
    for index, item in enumerate(instance.PerFrameFunctionalGroupsSequence):
        linear, private = pydicom.Dataset(), pydicom.Dataset()
        linear.RescaleSlope, linear.RescaleIntercept = 2.0, 6.0
        private.private_block(0x2005, "Philips MR Imaging DD 001", create=True).add_new(0x0E, "FL", 0.5 + index)
        item.PixelValueTransformationSequence = [linear]
        item.private_block(0x2005, "Philips MR Imaging DD 005", create=True)
        item.add_new(0x2005140F, "SQ", [private])
    scale = (0.5 + np.arange(8))[:, None, None]
    expected = (stored_values(series(Plane.SAGITTAL)) * 2.0 + 6.0) / (2.0 * scale)
    assert np.allclose(volume_of([instance]).voxels, expected, rtol=1e-5)


def test_signed_padding_is_known_where_the_header_does_not_say_that_it_is_signed(tmp_path):
    """An implicit header gives no VR, so -2000 reads as 63536."""
    files = []
    for index, instance in enumerate(series(Plane.SAGITTAL)):
        pixels = instance.pixel_array.astype(np.int16) - 100
        pixels[:12] = -2000
        with_pixels(instance, pixels)
        instance.add_new("PixelPaddingValue", "SS", -2000)
        files.append(tmp_path / str(index))
        files[-1].write_bytes(encoded(instance, ImplicitVRLittleEndian))
    voxels = volume_of([read_instance(path) for path in files]).voxels
    assert voxels.min() >= -100


def test_the_private_scale_of_philips_makes_slices_comparable():
    """Stored x slope / (slope x scale): with a scale of its own each slice comes back to one unit."""
    instances = series(Plane.SAGITTAL)
    for index, instance in enumerate(instances):
        instance.RescaleSlope, instance.RescaleIntercept = 2.0, 6.0
        instance.private_block(0x2005, "Philips MR Imaging DD 001", create=True).add_new(0x0E, "FL", 0.5 + index)
    scale = (0.5 + np.arange(8))[:, None, None]
    expected = (stored_values(instances) * 2.0 + 6.0) / (2.0 * scale)
    assert np.allclose(volume_of(instances).voxels, expected, rtol=1e-6)


def test_inverted_images_are_turned_around():
    """MONOCHROME1 means bright is low; the model must not see a negative."""
    instances = series(Plane.SAGITTAL, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(volume_of(instances).voxels, -stored_values(instances).astype(np.float32))


def test_a_negative_slope_turns_the_order_around():
    """Rare, but legal."""
    instances = series(Plane.SAGITTAL, RescaleSlope="-1")
    assert np.array_equal(volume_of(instances).voxels, -stored_values(instances).astype(np.float32))


@pytest.mark.parametrize("limit", [None, 4_010])
def test_padding_outside_the_image_is_as_dark_as_the_darkest_voxel(limit):
    """A bright padding value would eat the window."""
    instances = series(Plane.SAGITTAL, PixelPaddingValue=4_000)
    for instance in instances:
        values = np.frombuffer(instance.PixelData, np.uint16).reshape(ROWS, COLUMNS).copy()
        values[:10] = 4_000 if limit is None else 4_005
        instance.PixelData = values.tobytes()
        instance["PixelPaddingValue"].VR = "US"
        if limit is not None:
            instance.add_new("PixelPaddingRangeLimit", "US", limit)
    volume = volume_of(instances)
    assert volume.voxels.max() < 1000
    assert (volume.voxels[:, :10] == volume.voxels[:, 10:].min(axis=(1, 2))[:, None, None]).all()


def test_an_enhanced_object_gives_the_volume_of_its_classic_series():
    """Same voxels, same place."""
    instances = series(Plane.CORONAL)
    one, many = volume_of([enhanced(instances)]), volume_of(instances)
    assert np.array_equal(one.voxels, many.voxels)
    assert np.allclose(one.affine, many.affine)


@pytest.mark.parametrize("value", [0, 700])
def test_a_constant_volume_has_no_signal(value):
    """No window exists for it."""
    pixels = np.full((ROWS, COLUMNS), value, np.uint16).tobytes()
    with pytest.raises(StudyRefused) as caught:
        transform(volume_of(series(Plane.SAGITTAL, PixelData=pixels)), mirrored=False)
    assert caught.value.code == RefusalCode.NO_SIGNAL
