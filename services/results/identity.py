"""What every result object has in common: whose study it is, who made it, and when.

Patient and study attributes are copied from the source byte for byte, never decoded, so a name in any character set and
a value that breaks its VR come back as they were; nothing else of the source's header gets in. Nothing depends on the
clock or on chance: dates are the source study's, UIDs come from the input digest, so the same input gives the same
bytes.
"""

import re

import pydicom
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.uid import ExplicitVRLittleEndian

from services.common.frame import Frame
from services.common.study import Provenance
from services.common.uids import UID_ROOT, result_uid
from services.common.volume import Plane
from services.results.encoding import put

MANUFACTURER = "Articula"
MODEL_NAME = "Articula knee MRI"
DEVICE_SERIAL_NUMBER = "articula"
RESULT_FORMAT = 2  # counts changes of what is written; part of the pipeline's digest, so that each makes new results
RESEARCH_ONLY = "Research use only, not for diagnosis. Trained on synthetic data."

_TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
COPIED = (*_TYPE_2, "SpecificCharacterSet", "StudyInstanceUID", "StudyDescription", "IssuerOfPatientID")
_FALLBACK_DATE, _FALLBACK_TIME = "19000101", "000000"
_DATE = re.compile(r"\d{8}")
_TIME = re.compile(r"\d{2,6}(\.\d{1,6})?")


def new_object(sop_class_uid: str, kind: str, *, provenance: Provenance, index: int = 0) -> pydicom.Dataset:
    """An empty object of one kind with its UIDs, the only instance of its series."""
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    put(
        dataset,
        SOPClassUID=sop_class_uid,
        SOPInstanceUID=instance_uid(provenance, kind, index),
        SeriesInstanceUID=series_uid(provenance, kind, index),
        InstanceNumber="1",
        SoftwareVersions=provenance.software_version,
    )
    return dataset


def sign(dataset: pydicom.Dataset, source: pydicom.Dataset, *, kind: str, description: str) -> pydicom.Dataset:
    """Give an object its description, its statement of purpose and the source's patient, study and dates; in place."""
    put(
        dataset,
        SeriesDescription=description,
        Manufacturer=MANUFACTURER,
        ManufacturerModelName=MODEL_NAME,
        DeviceSerialNumber=DEVICE_SERIAL_NUMBER,
        InstanceCreatorUID=UID_ROOT,
    )
    for keyword in COPIED:
        if keyword in source:
            element = as_it_is(source, keyword)
            dataset[element.tag] = element
        elif keyword in _TYPE_2:
            put(dataset, **{keyword: ""})
    date = _valid(source, "StudyDate", _DATE) or _FALLBACK_DATE
    time = _valid(source, "StudyTime", _TIME) or _FALLBACK_TIME
    put(dataset, ContentDate=date, SeriesDate=date, InstanceCreationDate=date)
    put(dataset, ContentTime=time, SeriesTime=time, InstanceCreationTime=time)
    if dataset.Modality not in {"SR", "KO"}:
        put(dataset, ImageComments=f"{kind}: {RESEARCH_ONLY}")
    return dataset


def own_frame_of_reference(plane: Plane, provenance: Provenance) -> str:
    """The frame of reference of a plane whose series names none; all results of the plane share it."""
    return instance_uid(provenance, "frame-of-reference", list(Plane).index(plane))


def place(dataset: pydicom.Dataset, source: Frame, own_frame_of_reference: str) -> None:
    """Put an object into its source's frame of reference; a series without one is one of its own. In place."""
    named = source.instance.get("FrameOfReferenceUID") or own_frame_of_reference
    put(dataset, FrameOfReferenceUID=str(named), PositionReferenceIndicator="")


def set_lossiness(dataset: pydicom.Dataset, source: pydicom.Dataset) -> None:
    """Once lossy, always lossy (PS3.3 C.7.6.1.1.5), at the ratio and by the method of the source; in place."""
    lossy = source.get("LossyImageCompression") == "01"
    put(dataset, LossyImageCompression="01" if lossy else "00")
    for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        if lossy and keyword in source:
            element = as_it_is(source, keyword)
            dataset[element.tag] = element


def as_it_is(source: pydicom.Dataset, keyword: str) -> DataElement | RawDataElement:
    """The element undecoded, with the VR of the dictionary (Implicit VR has none, a careless archive writes UN)."""
    element = source.get_item(keyword)
    if not isinstance(element, RawDataElement):
        return element
    value = element.value or b""
    vr = dictionary_VR(element.tag)
    value += (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
    return element._replace(VR=vr, length=len(value), value=value, is_implicit_VR=False, is_little_endian=True)


def series_uid(provenance: Provenance, kind: str, index: int = 0) -> str:
    """UID of the series that holds one kind of result."""
    return result_uid(provenance.input_digest, f"{kind}-series", index)


def instance_uid(provenance: Provenance, kind: str, index: int = 0) -> str:
    """UID of one result object."""
    return result_uid(provenance.input_digest, kind, index)


def _valid(source: pydicom.Dataset, keyword: str, pattern: re.Pattern[str]) -> str | None:
    """A date or time of the source where it is one; scanners of the 1990s wrote dots and colons."""
    element = source.get_item(keyword) if keyword in source else None
    value = element.value if element is not None else None
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")
    text = text.strip(" \0")
    return text if pattern.fullmatch(text) else None
