"""Small MR studies for tests: a bright block in a dark cube, imaged in any plane, written as DICOM."""

import copy
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage

from services.common.volume import Plane, slice_normal

COSINES = {
    Plane.SAGITTAL: (0.0, 1.0, 0.0, 0.0, 0.0, -1.0),
    Plane.CORONAL: (1.0, 0.0, 0.0, 0.0, 0.0, -1.0),
    Plane.AXIAL: (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
}
STUDY = "1.2.826.0.1.3680043.8.498.1"
ROWS, COLUMNS, GAP_MM = 64, 72, 4.0
# what an enhanced object says in functional groups
_MOVED = ("PixelSpacing", "SliceThickness", "ImageOrientationPatient", "RepetitionTime", "EchoTime", "ScanOptions")


def series(plane: Plane, *, slices: int = 8, number: int = 1, **attributes: Any) -> list[pydicom.Dataset]:
    """Instances of one series in slice order; ``attributes`` override or, given as None, remove."""
    return [_instance(plane, number, index, attributes) for index in range(slices)]


def study(**attributes: Any) -> list[pydicom.Dataset]:
    """Three series, one a plane."""
    return [each for number, plane in enumerate(Plane, start=1) for each in series(plane, number=number, **attributes)]


def enhanced(instances: Sequence[pydicom.Dataset], **attributes: Any) -> pydicom.Dataset:
    """The same slices as one Enhanced MR object, physics and orientation shared, position per frame."""
    first = instances[0]
    dataset = copy.deepcopy(first)
    for keyword in (*_MOVED, "ImagePositionPatient"):
        dataset.pop(keyword, None)
    dataset.SOPClassUID = EnhancedMRImageStorage
    dataset.SOPInstanceUID = f"{first.SeriesInstanceUID}.1000"
    dataset.NumberOfFrames = len(instances)
    dataset.SharedFunctionalGroupsSequence = [
        _item(
            PixelMeasuresSequence=_copied(first, "PixelSpacing", "SliceThickness"),
            PlaneOrientationSequence=_copied(first, "ImageOrientationPatient"),
            MRTimingAndRelatedParametersSequence=_copied(first, "RepetitionTime"),
            MREchoSequence=[_item(EffectiveEchoTime=float(first.EchoTime))],
            MRImageFrameTypeSequence=[_item(FrameType=[*first.ImageType, "PROTON_DENSITY", "NONE"])],
            MRModifierSequence=[_item(SpectrallySelectedSuppression="FAT" if "ScanOptions" in first else "NONE")],
        )
    ]
    dataset.PerFrameFunctionalGroupsSequence = [
        _item(
            PlanePositionSequence=_copied(each, "ImagePositionPatient"),
            FrameContentSequence=[_item(StackID="1", InStackPositionNumber=number)],
        )
        for number, each in enumerate(instances, start=1)
    ]
    dataset.PixelData = b"".join(each.PixelData for each in instances)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def _item(**attributes: Any) -> pydicom.Dataset:
    dataset = pydicom.Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def _copied(source: pydicom.Dataset, *keywords: str) -> list[pydicom.Dataset]:
    return [_item(**{keyword: source[keyword].value for keyword in keywords if keyword in source})]


def part10(dataset: pydicom.Dataset) -> bytes:
    """The bytes of a DICOM file."""
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def write(folder: Path, instances: Sequence[pydicom.Dataset]) -> list[Path]:
    """One file an instance."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{index:04d}.dcm" for index in range(len(instances))]
    for path, dataset in zip(paths, instances, strict=True):
        path.write_bytes(part10(dataset))
    return paths


def _instance(plane: Plane, number: int, index: int, attributes: dict[str, Any]) -> pydicom.Dataset:
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = MRImageStorage, f"{STUDY}.{number}.{index + 1}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, f"{STUDY}.{number}"
    dataset.FrameOfReferenceUID = f"{STUDY}.99"
    dataset.PatientName, dataset.PatientID = "Canary^Patient", "CANARY-ID"
    dataset.PatientBirthDate, dataset.PatientSex = "19450607", "F"
    dataset.StudyDate, dataset.StudyTime = "20250102", "101112"
    dataset.Modality, dataset.ImageType = "MR", ["ORIGINAL", "PRIMARY"]
    dataset.SeriesNumber, dataset.InstanceNumber = number, index + 1
    dataset.RepetitionTime, dataset.EchoTime, dataset.ScanOptions = 3500, 35, "FS"
    dataset.PixelSpacing, dataset.SliceThickness = [2.0, 2.0], 3
    dataset.ImageOrientationPatient = list(COSINES[plane])
    position = slice_normal(COSINES[plane]) * GAP_MM * index - 60
    dataset.ImagePositionPatient = [round(float(value), 4) for value in position]
    pixels = np.random.default_rng(index).integers(0, 50, (ROWS, COLUMNS)).astype(np.uint16)
    pixels[20:44, 24:48] += 900
    dataset.Rows, dataset.Columns = ROWS, COLUMNS
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = pixels.tobytes()
    for keyword, value in attributes.items():
        if value is None:
            dataset.pop(keyword, None)
        else:
            setattr(dataset, keyword, value)
    return dataset
