"""Which stored instances are sources, and the digests that name them and their analysis. Pure functions."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from services.common.uids import is_result_uid

# by SOP class, not by Modality: screenshots and spectra in an MR series say MR too (PS3.4 B.5)
MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4.1"
LEGACY_CONVERTED_ENHANCED_MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4.4"
ELIGIBLE = frozenset({MR_IMAGE_STORAGE, ENHANCED_MR_IMAGE_STORAGE, LEGACY_CONVERTED_ENHANCED_MR_IMAGE_STORAGE})


@dataclass(frozen=True)
class StoredStudy:
    """A study as the archive lists it; ``version`` differs whenever the archive noticed that something was added."""

    study_id: str
    study_instance_uid: str
    version: str
    study_date: str = ""
    description: str = ""


@dataclass(frozen=True)
class StoredInstance:
    """An instance as the archive lists it. ``file_uuid`` names one stored file for ever; its content never changes."""

    instance_id: str
    sop_instance_uid: str
    sop_class_uid: str
    file_uuid: str
    file_bytes: int
    series_id: str = ""
    source: str = ""  # AE title that sent it, '' where it did not come by C-STORE
    orientation: tuple[float, ...] = ()  # direction cosines of rows and columns, where Orthanc has indexed them
    position: tuple[float, ...] = ()  # mm, LPS


def foreign(instances: Iterable[StoredInstance]) -> list[StoredInstance]:
    """All instances that are not our own results; the loop guard looks at UIDs, never at descriptions."""
    return [each for each in instances if not is_result_uid(each.sop_instance_uid)]


def sources(instances: Iterable[StoredInstance]) -> list[StoredInstance]:
    """The MR images that others made, in a fixed order. What they are worth is the service's to judge."""
    eligible = [each for each in foreign(instances) if each.sop_class_uid in ELIGIBLE]
    return sorted(eligible, key=lambda each: (each.sop_instance_uid, each.file_uuid))


def results(instances: Iterable[StoredInstance]) -> list[StoredInstance]:
    """Our own results among the instances, of whatever input."""
    return [each for each in instances if is_result_uid(each.sop_instance_uid)]


def files_key(instances: Iterable[StoredInstance]) -> str:
    """Names a set of stored files, so that what is known about their content need not be asked for again."""
    return hashlib.sha256("\n".join(sorted(each.file_uuid for each in instances)).encode()).hexdigest()


def content_digest(contents: Iterable[tuple[str, str]]) -> str:
    """sha256 over (SOPInstanceUID, MD5 of the file) of all sources, hex, whatever their order.

    The file's hash covers the patient's identity too, so the same images under another patient are another input.
    """
    return hashlib.sha256("\n".join(sorted(f"{uid} {md5}" for uid, md5 in contents)).encode()).hexdigest()


def input_digest(content: str, pipeline_digest: str) -> str:
    """What names an analysis: sha256 over the sources' content digest and the pipeline's digest, hex."""
    return hashlib.sha256(f"{content}\n{pipeline_digest}".encode()).hexdigest()
