"""Results that are real DICOM objects of the study they belong to, without a model."""

from io import BytesIO

import pydicom

from services.common.uids import result_uid
from tests.studies import part10


def result_objects(header, instances, **attributes: str) -> list[bytes]:
    """Two objects of a result set, the manifest last; ``attributes`` override what they say.

    ``instances`` holds the files of the sources; patient and study are those of the first.
    """
    return [_object(header.input_digest, kind, instances[0], attributes) for kind in ("object", "manifest")]


def _object(digest: str, kind: str, source: bytes, attributes: dict[str, str]) -> bytes:
    dataset = pydicom.dcmread(BytesIO(source))
    dataset.SOPInstanceUID = result_uid(digest, kind)
    dataset.SeriesInstanceUID = result_uid(digest, f"{kind}-series")
    dataset.SeriesDescription, dataset.Modality = f"Articula {kind}", "OT"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return part10(dataset)
