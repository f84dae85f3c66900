"""Two pictures of one study: the deciding slice with the segmentation, and with the heat map."""

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


def draw_pictures(collected: Collected, orthanc: Orthanc, study_id: str, out: Path) -> dict[str, Path]:
    """Write ``segmentation.png`` and ``heatmap.png`` for the finding of highest probability that has a heat map."""
    del study_id
    pictures = {}
    heat = {each.series_description.removeprefix("Articula saliency "): each for each in collected.of("OT")}
    shown = [finding for finding in collected.findings if finding.label in heat]
    if not shown:
        return {}
    finding = max(shown, key=lambda each: each.probability)
    if found := _segmentation_of(collected.of("SEG"), finding.sop_instance_uid):
        source = _source(orthanc, finding.sop_instance_uid)
        pictures["segmentation"] = out / "segmentation.png"
        _save(_segmented(source, found, finding.sop_instance_uid), pictures["segmentation"], _legend(found))
    pictures["heatmap"] = out / "heatmap.png"
    _save(_heat_frame(heat[finding.label], finding), pictures["heatmap"], [(f"{finding.label}", (255, 255, 255))])
    return pictures


def _segmentation_of(segmentations: Sequence[ResultFile], sop_instance_uid: str) -> pydicom.Dataset | None:
    for each in segmentations:
        for series in each.dataset.ReferencedSeriesSequence:
            if any(item.ReferencedSOPInstanceUID == sop_instance_uid for item in series.ReferencedInstanceSequence):
                return each.dataset
    return None


def _source(orthanc: Orthanc, sop_instance_uid: str) -> Pixels:
    data = orthanc.content(f"/instances/{orthanc.find_instance(sop_instance_uid)}/file")
    pixels = pydicom.dcmread(BytesIO(data)).pixel_array
    return window_to_uint8(pixels[None])[0]


def _segmented(source: Pixels, segmentation: pydicom.Dataset, sop_instance_uid: str) -> Pixels:
    """Colour the segments that lie on one source slice; ``(row, column, RGB)``."""
    picture = np.repeat(source[..., None], 3, axis=-1).astype(np.float32)
    frames = segmentation.pixel_array.reshape(-1, *source.shape)
    for frame, groups in zip(frames, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        referenced = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        if referenced == sop_instance_uid:
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
