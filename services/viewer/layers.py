"""Segmentations and parametric maps as one small volume a plane that a browser can draw without knowing DICOM.

A volume is ``(slice, row, column)`` of uint8 in the order of the page's slices, C order, gzip: a label map of 30 slices
of 512 x 512 takes some 60 kB instead of the 5 MB of the object, a heat map some 300 kB instead of 31 MB. What does not
fit together, because somebody stored an object that only looks like ours, raises ``ValueError``.
"""

import gzip
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from services.viewer.document import ImageReference, Tags, references

_MAX_VOXELS = 512 * 1024 * 1024
_FASTEST = 1
_BYTES_PER_FLOAT = 4
_FULL_SCALE = 255

Volume = NDArray[np.uint8]


def label_volume(tags: Tags, pixels: bytes, slices: Sequence[ImageReference]) -> Volume:
    """Segment numbers of a BINARY segmentation, 0 where there is none; a later segment lies over an earlier one."""
    rows, columns, frames = _shape(tags)
    frame_size = rows * columns
    if 8 * len(pixels) < frames * frame_size:
        message = "the segmentation has fewer bits than frames"
        raise ValueError(message)
    bits = np.unpackbits(np.frombuffer(pixels, np.uint8), count=frames * frame_size, bitorder="little").view(bool)
    volume = _empty(len(slices), rows, columns)
    places = {each: index for index, each in enumerate(slices)}
    for number, groups in enumerate(_frames(tags, frames)):
        index = _place(groups, places)
        if index is not None:
            mask = bits[number * frame_size : (number + 1) * frame_size].reshape(rows, columns)
            volume[index][mask] = _segment(groups)
    return volume


def heat_volume(tags: Tags, pixels: bytes, slices: Sequence[ImageReference]) -> Volume:
    """A float32 parametric map from 0 to its own maximum as 0 to 255; what is not a number is 0."""
    rows, columns, frames = _shape(tags)
    if len(pixels) < _BYTES_PER_FLOAT * frames * rows * columns:
        message = "the map has fewer floats than voxels"
        raise ValueError(message)
    floats = np.frombuffer(pixels, "<f4", frames * rows * columns).reshape(frames, rows, columns)
    top = max((float(frame.max()) for frame in map(_finite, floats)), default=0.0)
    volume = _empty(len(slices), rows, columns)
    places = {each: index for index, each in enumerate(slices)}
    for frame, groups in zip(floats, _frames(tags, frames), strict=True):
        index = _place(groups, places)
        if index is not None and top > 0:
            volume[index] = (_finite(frame) * np.float32(_FULL_SCALE / top)).clip(0, _FULL_SCALE)
    return volume


def _finite(frame: NDArray[np.float32]) -> NDArray[np.float32]:
    """The frame itself where it holds numbers only, as it nearly always does; else with 0 for what is none."""
    return frame if np.isfinite(frame).all() else np.where(np.isfinite(frame), frame, np.float32(0.0))


def packed(volume: Volume) -> bytes:
    """The volume as gzip."""
    return gzip.compress(volume.tobytes(), compresslevel=_FASTEST, mtime=0)


def _shape(tags: Tags) -> tuple[int, int, int]:
    rows, columns, frames = (int(str(tags.get(each) or 0)) for each in ("Rows", "Columns", "NumberOfFrames"))
    if min(rows, columns, frames) < 1 or rows * columns * frames > _MAX_VOXELS:
        message = "the object has no size, or one no study has"
        raise ValueError(message)
    return rows, columns, frames


def _empty(slices: int, rows: int, columns: int) -> Volume:
    if slices * rows * columns > _MAX_VOXELS:
        message = "the volume is larger than any real one"
        raise ValueError(message)
    return np.zeros((slices, rows, columns), np.uint8)


def _frames(tags: Tags, count: int) -> list[Tags]:
    groups = tags.get("PerFrameFunctionalGroupsSequence")
    if not isinstance(groups, list) or len(groups) != count:
        message = "the object does not describe each of its frames"
        raise ValueError(message)
    shared = tags.get("SharedFunctionalGroupsSequence") or [{}]
    return [{**shared[0], **each} for each in groups]  # what all frames have in common may stand in either place


def _place(groups: Tags, places: Mapping[ImageReference, int]) -> int | None:
    """Which of the page's slices a frame lies on: the first of its sources that is one of them."""
    sources = [
        one for each in groups.get("DerivationImageSequence") or [] for one in references(each, "SourceImageSequence")
    ]
    return next((places[each] for each in sources if each in places), None)


def _segment(groups: Tags) -> int:
    identification = groups.get("SegmentIdentificationSequence") or [{}]
    number = int(str(identification[0].get("ReferencedSegmentNumber") or 0))
    if not 0 < number < 256:
        message = "a frame belongs to no segment"
        raise ValueError(message)
    return number
