"""Results that are real DICOM objects of the study they belong to, without a model."""

from io import BytesIO

import pydicom
from pydicom.uid import KeyObjectSelectionDocumentStorage

from services.common.uids import result_uid
from tests.studies import part10


def result_objects(header, instances, **attributes: str) -> list[bytes]:
    """Two objects of a result set, the manifest last; ``attributes`` override what they say.

    ``instances`` holds the files of the sources; patient and study are those of the first.
    """
    result = _dataset(header.input_digest, "object", instances[0], attributes)
    manifest = _dataset(header.input_digest, "manifest", instances[0], attributes)
    manifest.SOPClassUID, manifest.Modality = KeyObjectSelectionDocumentStorage, "KO"
    manifest.CurrentRequestedProcedureEvidenceSequence = [_evidence(result)]
    return [part10(result), part10(manifest)]


def _evidence(result: pydicom.Dataset) -> pydicom.Dataset:
    """The study, series and object that a manifest lists."""
    study, series, listed = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    listed.ReferencedSOPClassUID, listed.ReferencedSOPInstanceUID = result.SOPClassUID, result.SOPInstanceUID
    series.SeriesInstanceUID, series.ReferencedSOPSequence = result.SeriesInstanceUID, [listed]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = result.StudyInstanceUID, [series]
    return study


def _dataset(digest: str, kind: str, source: bytes, attributes: dict[str, str]) -> pydicom.Dataset:
    dataset = pydicom.dcmread(BytesIO(source))
    dataset.SOPInstanceUID = result_uid(digest, kind)
    dataset.SeriesInstanceUID = result_uid(digest, f"{kind}-series")
    dataset.SeriesDescription, dataset.Modality = f"Articula {kind}", "OT"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset
