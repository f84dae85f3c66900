"""Where a finding was seen, as pictures every viewer shows: the series in grey with heat laid over it.

One multi-frame RGB Secondary Capture a finding, one frame a source slice, JPEG inside: thirty 512 x 512 frames take
about 2 MB instead of 24, and lossy is fine for an illustration whose source stays in the archive.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import JPEGBaseline8Bit, MultiFrameTrueColorSecondaryCaptureImageStorage

from services.common.finding import LABELS, Finding
from services.common.study import Provenance
from services.results.identity import instance_uid, series_uid, sign

KIND = "saliency"
_SERIES_NUMBER = 9010
_JPEG_QUALITY = 90
_MAX_ALPHA = 0.65

Pixels = NDArray[np.uint8]


def overlay(background: Pixels, saliency: Pixels) -> Pixels:
    """Grey slices with heat over them: ``(slice, row, column)`` twice -> ``(slice, row, column, RGB)``.

    The map is inferno, which grows in brightness with strength and is safe for colour-blind readers; weak heat is
    transparent.
    """
    heat = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_INFERNO)[:, 0, ::-1]
    alpha = (np.linspace(0.0, 1.0, 256, dtype=np.float32) * _MAX_ALPHA)[:, None]
    grey = background[..., None].astype(np.float32)
    mixed = grey * (1.0 - alpha)[saliency] + (heat.astype(np.float32) * alpha)[saliency]
    return np.asarray(np.rint(mixed), dtype=np.uint8)


def saliency_object(
    sources: Sequence[pydicom.Dataset],
    pixels: tuple[Pixels, Pixels],
    *,
    finding: Finding,
    provenance: Provenance,
) -> pydicom.Dataset:
    """Secondary Capture of one finding; ``pixels`` are background and saliency, ``(slice, row, column)`` each."""
    frames = overlay(*pixels)
    index = LABELS.index(finding.label)
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.SOPClassUID = MultiFrameTrueColorSecondaryCaptureImageStorage
    dataset.SOPInstanceUID = instance_uid(provenance, KIND, index)
    dataset.SeriesInstanceUID = series_uid(provenance, KIND, index)
    dataset.SeriesNumber, dataset.InstanceNumber = _SERIES_NUMBER + index, 1
    dataset.Modality, dataset.ConversionType = "OT", "WSD"
    dataset.Laterality = dataset.PatientOrientation = None
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.SoftwareVersions = provenance.software_version
    dataset.DerivationDescription = f"Class activation map of {finding.label} over the source series"
    dataset.SourceImageSequence = DicomSequence(_reference(source) for source in sources)
    _set_pixels(dataset, frames)
    return sign(dataset, sources[0], kind="Saliency", description=f"Articula saliency {finding.label}")


def _set_pixels(dataset: pydicom.Dataset, frames: Pixels) -> None:
    dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0
    dataset.PhotometricInterpretation = "YBR_FULL_422"
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = frames.shape[:3]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.FrameIncrementPointer = 0x00182001  # PageNumberVector
    dataset.PageNumberVector = list(range(1, len(frames) + 1))
    dataset.BurnedInAnnotation, dataset.LossyImageCompression = "NO", "01"
    encoded = [_jpeg(frame) for frame in frames]
    dataset.LossyImageCompressionRatio = f"{frames.nbytes / sum(map(len, encoded)):.2f}"
    dataset.LossyImageCompressionMethod = "ISO_10918_1"
    dataset.PixelData = encapsulate(encoded)
    dataset["PixelData"].is_undefined_length = True


def _jpeg(frame: Pixels) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422]
    return bytes(cv2.imencode(".jpg", frame[..., ::-1], options)[1])


def _reference(source: pydicom.Dataset) -> pydicom.Dataset:
    item = pydicom.Dataset()
    item.ReferencedSOPClassUID = source.SOPClassUID
    item.ReferencedSOPInstanceUID = source.SOPInstanceUID
    return item
