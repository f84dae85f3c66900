"""A synthetic study as a scanner writes it: three oblique series of classic MR instances, and the truth about them."""

import copy
import hashlib
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

from services.common.volume import PLANES, Plane
from tools.phantom.acquire import Acquisition, acquire
from tools.phantom.anatomy import Knee, knee
from tools.phantom.protocol import SEQUENCES, Protocol, vary
from tools.phantom.vendor import dress

MATRIX = 320


@dataclass(frozen=True, eq=False)
class Study:
    """The knee and its series in order."""

    knee: Knee
    series: tuple[Acquisition, ...]


@dataclass(frozen=True)
class Plan:
    """Which series are acquired, as (plane, name out of ``SEQUENCES``), and what spoils them all."""

    series: tuple[tuple[Plane, str], ...] = tuple((plane, "PD-FS") for plane in PLANES)
    matrix: int = MATRIX
    artefacts: frozenset[str] = frozenset()


WHOLE_EXAMINATION = (
    (Plane.SAGITTAL, "PD-FS"),
    (Plane.CORONAL, "PD-FS"),
    (Plane.AXIAL, "PD-FS"),
    (Plane.CORONAL, "T1"),
    (Plane.SAGITTAL, "T2-FS"),
    (Plane.SAGITTAL, "PD"),
    (Plane.SAGITTAL, "DESS-1"),
)


def image_study(seed: int, findings: Iterable[str], *, matrix: int = MATRIX, plan: Plan | None = None) -> Study:
    """Three fat-suppressed proton density series of one knee, or those of a plan.

    Two series at a time: each has its random stream to itself, so the order in which they end changes nothing.
    """
    one, plan = knee(seed, frozenset(findings)), plan or Plan(matrix=matrix)
    with ThreadPoolExecutor(2) as threads:
        return Study(one, tuple(threads.map(lambda each: _series(one, plan, *each), plan.series)))


def _series(one: Knee, plan: Plan, plane: Plane, name: str) -> Acquisition:
    # a plane's first series keeps its random stream whatever else is acquired
    rng = one.stream(f"series {plane}" if name == "PD-FS" else f"series {plane} {name}")
    protocol = vary(Protocol(plane, SEQUENCES[name], name=name, matrix=plan.matrix), rng)
    return acquire(one, replace(protocol, artefacts=plan.artefacts), rng)


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
    write_instances(folder, study, on_instance=on_instance)
    return study


def write_instances(
    folder: Path,
    study: Study,
    *,
    transfer_syntax: UID = ExplicitVRLittleEndian,
    vendor: str | None = None,
    on_instance: Callable[[], None] = lambda: None,
) -> list[list[pydicom.Dataset]]:
    """Write every series into its own folder and return the instances, uncompressed, by series.

    A plane's first series lies in ``<plane>``, a further one in ``<plane>-<sequence>``. ``vendor`` is a key of
    ``vendor.VENDORS`` or None for tags of no maker's.
    """
    written: list[list[pydicom.Dataset]] = []
    seen: set[Plane] = set()
    for number, series in enumerate(study.series, start=1):
        plane = series.protocol.plane
        place = folder / (f"{plane}-{series.protocol.name}" if plane in seen else plane)
        seen.add(plane)
        place.mkdir(parents=True, exist_ok=True)
        instances = [dress(instance(study, number, index), vendor) for index in range(len(series.image.voxels))]
        for index, one in enumerate(instances, start=1):
            encoded(one, transfer_syntax).save_as(place / f"{index:03d}.dcm", enforce_file_format=True)
            on_instance()
        written.append(instances)
    return written


def encoded(dataset: pydicom.Dataset, transfer_syntax: UID) -> pydicom.Dataset:
    """The instance in another transfer syntax; raises ``NotImplementedError`` for one that pydicom cannot write."""
    if transfer_syntax == ExplicitVRLittleEndian:
        return dataset
    changed = copy.deepcopy(dataset)
    if transfer_syntax.is_compressed:
        changed.compress(transfer_syntax, generate_instance_uid=False)
    else:
        changed.file_meta.TransferSyntaxUID = transfer_syntax
        if not transfer_syntax.is_little_endian:
            changed.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    return changed


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
    gradient, fat_suppressed = protocol.sequence.flip_degrees, protocol.sequence.residual_fat < 1
    dataset.Modality, dataset.ImageType = "MR", ["ORIGINAL", "PRIMARY", "M", "SE" if gradient is None else "GR"]
    dataset.Manufacturer, dataset.ManufacturerModelName = "Articula", "Phantom"
    dataset.SeriesDescription = f"{protocol.name} {protocol.plane}"
    dataset.ScanningSequence, dataset.SequenceVariant = ("SE", "SK") if gradient is None else ("GR", "SS")
    dataset.ScanOptions = "FS" if fat_suppressed else ""
    dataset.MRAcquisitionType = "2D"
    if gradient is not None:
        dataset.FlipAngle = gradient
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
