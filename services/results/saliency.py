"""Where a finding was seen, as pictures every viewer shows: the series in grey with heat laid over it.

One multi-frame RGB Secondary Capture a finding, one frame a source slice that shows heat, JPEG inside: thirty 512 x 512
frames take about 2 MB instead of 24, and lossy is fine for an illustration whose source stays in the archive.
"""

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, MultiFrameTrueColorSecondaryCaptureImageStorage

from services.common.finding import LABELS, Finding
from services.common.frame import Frame
from services.common.study import Provenance
from services.results.content import image_items
from services.results.encoding import put
from services.results.identity import new_object, sign

KIND = "saliency"
_SERIES_NUMBER = 9010
_JPEG_QUALITY = 90
_MAX_ALPHA = 0.65
_SHOWN_FROM = 0.1  # of the strongest heat; fainter slices look like the source
_IMPORTANT = 3
_PAGE_NUMBER_VECTOR = 0x00182001

Pixels = NDArray[np.uint8]


def overlay(background: Pixels, saliency: Pixels) -> Pixels:
    """One grey slice with heat over it: ``(row, column)`` twice -> ``(row, column, BGR)``, as OpenCV encodes it.

    The map is inferno, which grows in brightness with strength and is safe for colour-blind readers; weak heat is
    transparent.
    """
    pixels = np.asarray(cv2.cvtColor(background, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
    left, top, width, height = cv2.boundingRect(saliency)  # of what is not zero
    warm = slice(top, top + height), slice(left, left + width)
    mixture = (saliency[warm].astype(np.uint16) << 8) | background[warm]
    mixed = np.take(_composition(), mixture, mode="clip").view(np.uint8).reshape(height, width, 4)
    if mixed.size:
        pixels[warm] = cv2.cvtColor(mixed, cv2.COLOR_BGRA2BGR)
    return pixels


@cache
def _composition() -> NDArray[np.uint32]:
    """Every mixture there is, BGRA at ``saliency * 256 + grey``: one look-up costs a tenth of blending each voxel."""
    heat = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_INFERNO)
    alpha = (np.linspace(0.0, 1.0, 256, dtype=np.float32) * _MAX_ALPHA)[:, None, None]
    grey = np.arange(256, dtype=np.float32)[None, :, None]
    pixels = np.zeros((256, 256, 4), dtype=np.uint8)
    pixels[..., :3] = np.rint(grey * (1.0 - alpha) + heat * alpha)
    return pixels.view(np.uint32).ravel()


def slices_to_show(heat: Pixels, deciding: int) -> tuple[int, int]:
    """First and last slice of the picture series: where heat reaches a tenth of its maximum, and the deciding slice."""
    strongest = heat.reshape(len(heat), -1).max(axis=1)
    hot = np.flatnonzero(strongest >= max(int(strongest.max()) * _SHOWN_FROM, 1))
    return min([deciding, *hot[:1].tolist()]), max([deciding, *hot[-1:].tolist()])


def most_important_slices(heat: Pixels, deciding: int) -> list[int]:
    """The deciding slice, then the others by the sum of their heat; slices without heat are not important."""
    total = np.array([cv2.sumElems(each)[0] for each in heat])
    others = [index for index in np.argsort(-total, kind="stable").tolist() if index != deciding and total[index]]
    return [deciding, *others[: _IMPORTANT - 1]]


def saliency_object(
    sources: Sequence[Frame], pixels: tuple[Pixels, Pixels], *, finding: Finding, provenance: Provenance
) -> pydicom.Dataset:
    """Secondary Capture of one finding; ``pixels`` are background and saliency, ``(slice, row, column)`` each."""
    index = LABELS.index(finding.label)
    first, last = slices_to_show(pixels[1], finding.location.slice_index)
    shown = slice(first, last + 1)
    dataset = new_object(MultiFrameTrueColorSecondaryCaptureImageStorage, KIND, provenance=provenance, index=index)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    put(
        dataset,
        SeriesNumber=str(_SERIES_NUMBER + index),
        Modality="OT",
        ConversionType="WSD",
        Laterality="",
        PatientOrientation="",
        ImageType="DERIVED\\SECONDARY",
        DerivationDescription=f"Class activation map of {finding.label} over the source series",
        SourceImageSequence=image_items(sources[shown]),  # in frame order
    )
    _set_pixels(dataset, pixels[0][shown], pixels[1][shown])
    return sign(dataset, sources[0].instance, kind="Saliency", description=f"Articula saliency {finding.label}")


def _set_pixels(dataset: pydicom.Dataset, background: Pixels, saliency: Pixels) -> None:
    frames, rows, columns = background.shape
    put(dataset, SamplesPerPixel=[3], PlanarConfiguration=[0], PhotometricInterpretation="YBR_FULL_422")
    put(dataset, NumberOfFrames=str(frames), Rows=[rows], Columns=[columns])
    put(dataset, BitsAllocated=[8], BitsStored=[8], HighBit=[7], PixelRepresentation=[0])
    put(dataset, FrameIncrementPointer=[_PAGE_NUMBER_VECTOR])
    put(dataset, PageNumberVector="\\".join(str(number) for number in range(1, frames + 1)))
    put(dataset, BurnedInAnnotation="NO", LossyImageCompression="01", LossyImageCompressionMethod="ISO_10918_1")
    encoded = [_jpeg(overlay(grey, heat)) for grey, heat in zip(background, saliency, strict=True)]
    put(dataset, LossyImageCompressionRatio=f"{3 * background.size / sum(map(len, encoded)):.2f}")
    dataset.add_new("PixelData", "OB", encapsulate(encoded))
    dataset["PixelData"].is_undefined_length = True


def _jpeg(frame: Pixels) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422]
    return bytes(cv2.imencode(".jpg", frame, options)[1])
