"""What every result object has in common: whose study it is, who made it, and when.

Patient and study attributes are copied from the source as they are. Nothing depends on the clock or on chance: dates
are the source study's, UIDs come from the input digest, so the same input gives the same bytes.
"""

import io

import pydicom
from pydicom.uid import UID, ExplicitVRLittleEndian

from services.common.study import Provenance
from services.common.uids import UID_ROOT, result_uid

MANUFACTURER = "Articula"
MODEL_NAME = "Articula knee MRI"
DEVICE_SERIAL_NUMBER = "articula"
RESEARCH_ONLY = "Research use only, not for diagnosis. Trained on synthetic data."

_TEXTS = ("PatientName", "ReferringPhysicianName")
_TYPE_2 = (
    *_TEXTS,
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
)
_FALLBACK_DATE, _FALLBACK_TIME = "19000101", "000000"


def with_required(source: pydicom.Dataset) -> pydicom.Dataset:
    """A copy of a source header that highdicom accepts: what must exist, but may be empty, exists and is plain.

    Names and character sets are left out here, because highdicom refuses some that scanners write; ``sign`` copies the
    real ones.
    """
    complete = pydicom.Dataset({tag: source.get_item(tag) for tag in source.keys()})  # noqa: SIM118
    complete.file_meta = source.file_meta
    complete.pop("SpecificCharacterSet", None)
    for keyword in _TYPE_2:
        if keyword not in complete or keyword in _TEXTS:
            complete.pop(keyword, None)  # the element is shared with the source: replace it, don't change it
            setattr(complete, keyword, "")
    return complete


def sign(dataset: pydicom.Dataset, source: pydicom.Dataset, *, kind: str, description: str) -> pydicom.Dataset:
    """Give an object its description, its statement of purpose and the source's patient, study and dates; in place."""
    dataset.SeriesDescription = description
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = MODEL_NAME
    dataset.DeviceSerialNumber = DEVICE_SERIAL_NUMBER
    dataset.pop("SpecificCharacterSet", None)
    for keyword in (*_TYPE_2, "StudyInstanceUID", "StudyDescription", "SpecificCharacterSet"):
        if keyword in source:
            dataset[keyword] = source[keyword]
        elif keyword in _TYPE_2:
            setattr(dataset, keyword, "")
    date = str(source.get("StudyDate") or _FALLBACK_DATE)
    time = str(source.get("StudyTime") or _FALLBACK_TIME)
    dataset.ContentDate = dataset.SeriesDate = dataset.InstanceCreationDate = date
    dataset.ContentTime = dataset.SeriesTime = dataset.InstanceCreationTime = time
    for equipment in dataset.get("ContributingEquipmentSequence", []):
        equipment.ContributionDateTime = date + time
    dataset.InstanceCreatorUID = UID(UID_ROOT)
    if dataset.Modality not in {"SR", "KO"}:
        dataset.ImageComments = f"{kind}: {RESEARCH_ONLY}"
    return dataset


def series_uid(provenance: Provenance, kind: str, index: int = 0) -> str:
    """UID of the series that holds one kind of result."""
    return result_uid(provenance.input_digest, f"{kind}-series", index)


def instance_uid(provenance: Provenance, kind: str, index: int = 0) -> str:
    """UID of one result object."""
    return result_uid(provenance.input_digest, kind, index)


def to_bytes(dataset: pydicom.Dataset) -> bytes:
    """A Part 10 file: Explicit VR Little Endian unless the object carries encapsulated pixels."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = getattr(dataset.file_meta, "TransferSyntaxUID", ExplicitVRLittleEndian)
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.ImplementationClassUID = UID(f"{UID_ROOT}.1")
    meta.ImplementationVersionName = "ARTICULA"
    dataset.file_meta = meta
    dataset.preamble = b"\0" * 128
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()
