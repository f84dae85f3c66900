"""Two pictures of one study: the slice with most structure, coloured, and the deciding slice with its heat map."""

from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom.pixels.utils import pixel_array as decode_frame

from services.common.codes import STRUCTURE_CODES
from services.common.transforms import window_to_uint8
from tools.demo.collect import Collected, ReportedFinding, ResultFile
from tools.demo.orthanc import Orthanc

_COLOURS = {code.label: code.colour for code in STRUCTURE_CODES.values()}
_ALPHA = 0.45
_SIDE = 640

Pixels = NDArray[np.uint8]


def draw_pictures(collected: Collected, orthanc: Orthanc, out: Path) -> dict[str, Path]:
    """Write ``segmentation.png`` and, for the most probable finding that has one, ``heatmap.png``."""
    pictures = {}
    heat = {each.series_description.removeprefix("Articula saliency "): each for each in collected.of("OT")}
    shown = [finding for finding in collected.findings if finding.label in heat]
    if not shown:
        return {}
    finding = max(shown, key=lambda each: each.probability)
    if segmentations := collected.of("SEG"):
        segmentation = segmentations[0].dataset
        shown_slice = _fullest_slice(segmentation)
        pictures["segmentation"] = out / "segmentation.png"
        coloured = _segmented(_source(orthanc, shown_slice), segmentation, shown_slice)
        _save(coloured, pictures["segmentation"], _legend(segmentation))
    pictures["heatmap"] = out / "heatmap.png"
    _save(_heat_frame(heat[finding.label], finding), pictures["heatmap"], [(f"{finding.label}", (255, 255, 255))])
    return pictures


def _fullest_slice(segmentation: pydicom.Dataset) -> str:
    """SOPInstanceUID of the source slice with most segmented pixels."""
    area: Counter[str] = Counter()
    frames = segmentation.pixel_array.reshape(-1, segmentation.Rows, segmentation.Columns)
    for frame, groups in zip(frames, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        area[_source_of(groups)] += int(np.count_nonzero(frame))
    return area.most_common(1)[0][0]


def _source_of(groups: pydicom.Dataset) -> str:
    return str(groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID)


def _source(orthanc: Orthanc, sop_instance_uid: str) -> Pixels:
    data = orthanc.content(f"/instances/{orthanc.find_instance(sop_instance_uid)}/file")
    pixels = pydicom.dcmread(BytesIO(data)).pixel_array
    return window_to_uint8(pixels[None])[0]


def _segmented(source: Pixels, segmentation: pydicom.Dataset, sop_instance_uid: str) -> Pixels:
    """Colour the segments that lie on one source slice; ``(row, column, RGB)``."""
    picture = np.repeat(source[..., None], 3, axis=-1).astype(np.float32)
    frames = segmentation.pixel_array.reshape(-1, *source.shape)
    for frame, groups in zip(frames, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        if _source_of(groups) == sop_instance_uid:
            number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
            colour = np.array(_COLOURS[segmentation.SegmentSequence[number - 1].SegmentLabel], np.float32)
            picture[frame > 0] = picture[frame > 0] * (1 - _ALPHA) + colour * _ALPHA
    return picture.astype(np.uint8)


def _heat_frame(saliency: ResultFile, finding: ReportedFinding) -> Pixels:
    """The frame of the deciding slice; ``(row, column, RGB)``."""
    order = [item.ReferencedSOPInstanceUID for item in saliency.dataset.SourceImageSequence]
    frame = decode_frame(saliency.dataset, index=order.index(finding.sop_instance_uid))
    return np.asarray(frame, dtype=np.uint8)


def _legend(segmentation: pydicom.Dataset) -> list[tuple[str, tuple[int, int, int]]]:
    return [(str(each.SegmentLabel), _COLOURS[each.SegmentLabel]) for each in segmentation.SegmentSequence]


def _save(pixels: Pixels, path: Path, legend: Sequence[tuple[str, tuple[int, int, int]]]) -> None:
    picture = Image.fromarray(pixels).resize(
        (_SIDE, _SIDE * pixels.shape[0] // pixels.shape[1]), Image.Resampling.BICUBIC
    )
    draw = ImageDraw.Draw(picture)
    for line, (text, colour) in enumerate([*legend, ("Research use only, not for diagnosis", (255, 255, 255))]):
        draw.text((8, 8 + 14 * line), text, fill=colour, stroke_width=2, stroke_fill=(0, 0, 0))
    picture.save(path)
