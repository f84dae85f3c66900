"""A small oblique source series and the provenance of a result set."""

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from services.common.finding import LABELS, Finding, Location
from services.common.frame import Frame
from services.common.study import Provenance
from services.common.volume import Plane

SLICES, ROWS, COLUMNS = 6, 40, 48
COSINES = [0.05, 0.9987, 0.0, 0.0, 0.0, -1.0]


def source_instance(index: int) -> pydicom.Dataset:
    cosines = np.array(COSINES) / np.repeat([np.hypot(0.05, 0.9987), 1.0], 3)
    normal = np.cross(cosines[:3], cosines[3:])
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    dataset.SOPClassUID, dataset.SOPInstanceUID = MRImageStorage, f"1.2.3.4.{index + 1}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = "1.2.3.9", ""
    dataset.PatientName, dataset.PatientID = "Yamada^Tarou=山田^太郎", "P-1"
    dataset.PatientBirthDate, dataset.PatientSex = "19700101", "M"
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20240102", "101112", "7"
    dataset.AccessionNumber, dataset.ReferringPhysicianName = "A1", "Doe^Jane"
    dataset.Modality, dataset.ImageType, dataset.InstanceNumber = "MR", ["ORIGINAL", "PRIMARY"], index + 1
    dataset.Rows, dataset.Columns, dataset.SeriesNumber = ROWS, COLUMNS, 3
    dataset.PixelSpacing, dataset.SliceThickness = [0.5, 0.5], 3
    dataset.ImageOrientationPatient = [round(float(value), 6) for value in cosines]
    dataset.ImagePositionPatient = [round(float(value), 4) for value in 3.5 * index * normal]
    return dataset


@pytest.fixture
def sources() -> list[Frame]:
    return [Frame(source_instance(index)) for index in range(SLICES)]


@pytest.fixture
def provenance() -> Provenance:
    models = ("knee_segmentation", "knee_classification", "knee_cam")
    return Provenance("d" * 64, "knee", "0.1.0", "p" * 64, dict.fromkeys(models, "a" * 64), ("missing: axial",))


@pytest.fixture
def findings() -> tuple[Finding, ...]:
    place = Location(Plane.SAGITTAL, 2, "1.2.3.4.3")
    return tuple(Finding(label, 0.9 if label == "ACL" else 0.1, 0.5, place) for label in LABELS)


@pytest.fixture
def labels() -> np.ndarray:
    drawn = np.zeros((SLICES, ROWS, COLUMNS), np.uint8)
    drawn[1:5, 5:20, 10:30] = 1
    drawn[1:5, 25:35, 10:30] = 2
    drawn[2, 21:24, 12:20] = 9
    return drawn
