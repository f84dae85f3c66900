"""Layers for the browser: the right voxel on the right slice, and no crash on an object that only looks like ours."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.viewer.document import ImageReference
from services.viewer.layers import heat_volume, label_volume, packed

SLICES = [ImageReference(f"1.{index}") for index in range(3)]


def tags(sources, rows=3, columns=5, **groups):
    frames = [
        {"DerivationImageSequence": [{"SourceImageSequence": [{"ReferencedSOPInstanceUID": each}]}]} for each in sources
    ]
    for name, values in groups.items():
        for frame, value in zip(frames, values, strict=True):
            frame[name] = value
    return {
        "Rows": str(rows),
        "Columns": str(columns),
        "NumberOfFrames": str(len(frames)),
        "PerFrameFunctionalGroupsSequence": frames,
    }


def segment(number):
    return [{"ReferencedSegmentNumber": str(number)}]


@given(st.lists(st.sampled_from([0, 1, 2]), min_size=1, max_size=3, unique=True), st.integers(1, 9), st.integers(1, 9))
def test_bits_come_back_as_the_segment_on_the_slice_they_were_drawn_on(places, rows, columns):
    """Frames of any size and order, packed without gaps, least significant bit first."""
    random = np.random.default_rng(rows * 10 + columns)
    masks = random.integers(0, 2, (len(places), rows, columns)).astype(np.uint8)
    numbers = [segment(7 + index) for index in range(len(places))]
    described = tags([f"1.{each}" for each in places], rows, columns, SegmentIdentificationSequence=numbers)
    volume = label_volume(described, np.packbits(masks, axis=None, bitorder="little").tobytes(), SLICES)
    assert volume.shape == (3, rows, columns)
    for index, place in enumerate(places):
        assert (volume[place] == masks[index] * (7 + index)).all()
    assert not any(volume[place].any() for place in set(range(3)) - set(places))


def test_a_segment_that_all_frames_share_may_be_named_once():
    """A segmentation of one structure says so in its shared groups."""
    described = tags(["1.1"]) | {"SharedFunctionalGroupsSequence": [{"SegmentIdentificationSequence": segment(4)}]}
    assert label_volume(described, b"\xff\xff", SLICES)[1].min() == 4


def test_heat_is_relative_to_its_maximum_and_holds_no_nonsense():
    """0 to 255; infinities and what is no number are cold."""
    values = np.zeros((2, 3, 5), np.float32)
    values[0, 1, 2], values[1, 0, 0], values[0, 0, 0], values[0, 0, 1] = 0.5, 0.25, np.nan, np.inf
    volume = heat_volume(tags(["1.2", "1.0"]), values.tobytes(), SLICES)
    assert volume[2, 1, 2] == 255
    assert volume[0, 0, 0] == 127
    assert volume[2, 0, 0] == volume[2, 0, 1] == 0
    assert not heat_volume(tags(["1.2"]), bytes(60), SLICES).any()


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"Rows": "0"},
        {"Rows": "x"},
        {"NumberOfFrames": "99"},
        {"PerFrameFunctionalGroupsSequence": None},
        {"Rows": "65535", "Columns": "65535"},
    ],
)
def test_what_does_not_fit_together_is_refused(broken):
    """A typed error, whatever the object claims."""
    described = tags(["1.0"], SegmentIdentificationSequence=[segment(1)]) | broken if broken else {}
    with pytest.raises(ValueError, match=r".+"):
        label_volume(described, b"\1\1", SLICES)
    with pytest.raises(ValueError, match=r".+"):
        heat_volume(described, b"\1\1", SLICES)


def test_too_few_bits_and_a_frame_of_no_segment_are_refused():
    """Neither is guessed."""
    described = tags(["1.0"], SegmentIdentificationSequence=[segment(1)])
    with pytest.raises(ValueError, match="fewer bits"):
        label_volume(described, b"\1", SLICES)
    with pytest.raises(ValueError, match="no segment"):
        label_volume(tags(["1.0"]), b"\1\1", SLICES)


def test_a_packed_volume_is_its_bytes_as_gzip():
    """In C order, the same bytes for the same volume."""
    volume = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert gzip.decompress(packed(volume)) == volume.tobytes()
    assert packed(volume) == packed(volume)
