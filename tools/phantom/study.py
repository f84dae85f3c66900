"""A synthetic study as a scanner writes it: three oblique series of classic MR instances, and the truth about them."""

import hashlib
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

from services.common.volume import PLANES
from tools.phantom.acquire import Acquisition, acquire
from tools.phantom.anatomy import Knee, knee
from tools.phantom.protocol import PD_FS, Protocol, vary

MATRIX = 320


@dataclass(frozen=True, eq=False)
class Study:
    """The knee and its series in the order sagittal, coronal, axial."""

    knee: Knee
    series: tuple[Acquisition, ...]


def image_study(seed: int, findings: Iterable[str], *, matrix: int = MATRIX) -> Study:
    """Three fat-suppressed proton density series of one knee; a few seconds."""
    one = knee(seed, frozenset(findings))
    series = []
    for plane in PLANES:
        rng = one.stream(f"series {plane}")
        series.append(acquire(one, vary(Protocol(plane, PD_FS, matrix=matrix), rng), rng))
    return Study(one, tuple(series))


def write_study(
    folder: Path,
    seed: int,
    findings: Iterable[str],
    *,
    matrix: int = MATRIX,
    on_instance: Callable[[], None] = lambda: None,
) -> Study:
    """Write ``<folder>/<plane>/NNN.dcm``; the same seed writes the same bytes. ``on_instance`` is called after each."""
    study = image_study(seed, findings, matrix=matrix)
    for number, series in enumerate(study.series, start=1):
        place = folder / series.protocol.plane
        place.mkdir(parents=True, exist_ok=True)
        for index in range(len(series.image.voxels)):
            instance(study, number, index).save_as(place / f"{index + 1:03d}.dcm", enforce_file_format=True)
            on_instance()
    return study


def instance(study: Study, series_number: int, index: int) -> pydicom.Dataset:
    """One slice of one series as a DICOM instance."""
    series = study.series[series_number - 1]
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
    uid = _uid(study.knee, series_number, index)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
    dataset.file_meta.ImplementationClassUID = _uid(study.knee, "implementation")
    _describe_patient(dataset, study.knee)
    _describe_sequence(dataset, series)
    dataset.SeriesInstanceUID = _uid(study.knee, series_number)
    dataset.SeriesNumber, dataset.InstanceNumber = series_number, index + 1
    _place(dataset, series, index)
    _set_pixels(dataset, series.image.voxels[index].astype(np.uint16))
    return dataset


def _describe_patient(dataset: pydicom.Dataset, one: Knee) -> None:
    dataset.PatientName, dataset.PatientID = f"PHANTOM^{one.seed}", f"PHANTOM-{one.seed}"
    dataset.PatientBirthDate, dataset.PatientSex = "19800101", "O"
    dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = _uid(one, "study"), _uid(one, "frame")
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20260102", "093000", str(one.seed % 10**8)
    dataset.AccessionNumber, dataset.ReferringPhysicianName = "", ""
    dataset.StudyDescription, dataset.BodyPartExamined = "Synthetic knee", "KNEE"
    dataset.Laterality, dataset.PatientPosition = one.laterality.value, "FFS"
    dataset.PositionReferenceIndicator = ""


def _describe_sequence(dataset: pydicom.Dataset, series: Acquisition) -> None:
    protocol = series.protocol
    dataset.Modality, dataset.ImageType = "MR", ["ORIGINAL", "PRIMARY", "M", "SE"]
    dataset.Manufacturer, dataset.ManufacturerModelName = "Articula", "Phantom"
    dataset.SeriesDescription = f"{protocol.name} {protocol.plane}"
    dataset.ScanningSequence, dataset.SequenceVariant, dataset.ScanOptions = "SE", "SK", "FS"
    dataset.MRAcquisitionType = "2D"
    dataset.RepetitionTime = round(protocol.sequence.repetition_ms, 1)
    dataset.EchoTime = round(protocol.sequence.echo_ms, 1)
    dataset.EchoTrainLength = 8
    dataset.MagneticFieldStrength = protocol.sequence.field_tesla
    dataset.SliceThickness, dataset.SpacingBetweenSlices = protocol.thickness_mm, protocol.spacing_mm


def _place(dataset: pydicom.Dataset, series: Acquisition, index: int) -> None:
    affine, spacing = series.image.affine, series.image.spacing_mm
    along_rows, along_columns = affine[:3, 2] / spacing[2], affine[:3, 1] / spacing[1]
    dataset.ImageOrientationPatient = [f"{value:.8f}" for value in (*along_rows, *along_columns)]
    dataset.ImagePositionPatient = [f"{value:.5f}" for value in affine[:3, 3] + index * affine[:3, 0]]
    dataset.PixelSpacing = [f"{spacing[1]:.6f}", f"{spacing[2]:.6f}"]


def _set_pixels(dataset: pydicom.Dataset, pixels: NDArray[np.uint16]) -> None:
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = pixels.astype("<u2").tobytes()


def _uid(one: Knee, *parts: object) -> UID:
    name = f"phantom/{one.seed}/{sorted(one.findings)}/{parts}".encode()
    return UID(f"2.25.{uuid.UUID(bytes=hashlib.sha256(name).digest()[:16], version=5).int}")
