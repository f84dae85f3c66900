"""Which stored instances are sources, and the digest that names their analysis. Pure functions."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from services.common.uids import is_result_uid

_MODALITY = "MR"


@dataclass(frozen=True)
class StoredStudy:
    """A study as the archive lists it; ``version`` differs whenever the archive noticed a change."""

    study_id: str
    study_instance_uid: str
    version: str


@dataclass(frozen=True)
class StoredInstance:
    """An instance as the archive lists it. ``file_uuid`` names one stored file for ever; its content never changes."""

    instance_id: str
    sop_instance_uid: str
    modality: str
    file_uuid: str
    file_bytes: int


def foreign(instances: Iterable[StoredInstance]) -> list[StoredInstance]:
    """All instances that are not our own results; the loop guard looks at UIDs, never at descriptions."""
    return [each for each in instances if not is_result_uid(each.sop_instance_uid)]


def sources(instances: Iterable[StoredInstance]) -> list[StoredInstance]:
    """The MR instances that others made, in a fixed order. What they are worth is the service's to judge."""
    eligible = [each for each in foreign(instances) if each.modality == _MODALITY]
    return sorted(eligible, key=lambda each: (each.sop_instance_uid, each.file_uuid))


def input_digest(contents: Iterable[tuple[str, str]], pipeline_digest: str) -> str:
    """sha256 over (SOPInstanceUID, MD5 of the file) of all sources and the pipeline's digest, hex.

    The file's hash covers the patient's identity too, so the same images under another patient are another input.
    """
    lines = sorted(f"{uid} {md5}" for uid, md5 in contents)
    return hashlib.sha256("\n".join([*lines, pipeline_digest]).encode()).hexdigest()
