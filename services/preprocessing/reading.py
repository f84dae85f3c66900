"""The files of one study, parsed: each instance once, all of one patient."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom

from services.common.dicom import read_instance
from services.common.errors import RefusalCode, StudyRefused


@dataclass(frozen=True, eq=False)
class StudyFiles:
    """Readable instances in the order of their files, and how many files were left out for which reason.

    ``refusal`` says why they can't be one study: ``CONFLICTING_DUPLICATE`` where one SOP Instance UID names two
    contents, ``IDENTITY_CONFLICT`` where they belong to several studies or patients; None where they are one.
    """

    instances: tuple[pydicom.Dataset, ...]
    left_out: Counter[RefusalCode]
    refusal: RefusalCode | None


def read_study(paths: Sequence[Path], study_instance_uid: str | None = None) -> StudyFiles:
    """Parse all files, of a certain study where one is given; the same file twice counts once.

    Raises ``StudyRefused`` where no file is readable, with the first code that says more than that.
    """
    conflict: RefusalCode | None = None
    instances: dict[str, pydicom.Dataset] = {}
    origin: dict[str, Path] = {}
    left_out: Counter[RefusalCode] = Counter()
    for path in paths:
        try:
            instance = read_instance(path)
        except StudyRefused as refusal:
            left_out[refusal.code] += 1
            continue
        uid = str(instance.SOPInstanceUID)
        if uid in instances and _content(path) != _content(origin[uid]):
            conflict = RefusalCode.CONFLICTING_DUPLICATE
        instances.setdefault(uid, instance)
        origin.setdefault(uid, path)
    if not instances:
        codes = sorted(left_out, key=lambda code: code is RefusalCode.UNREADABLE_DICOM)
        raise StudyRefused(next(iter(codes), RefusalCode.NOT_MR))
    if _mixed(list(instances.values()), study_instance_uid):
        conflict = RefusalCode.IDENTITY_CONFLICT
    return StudyFiles(tuple(instances.values()), left_out, conflict)


def _content(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def _mixed(instances: Sequence[pydicom.Dataset], study_instance_uid: str | None) -> bool:
    """Whether studies or patients are mixed: results on the wrong patient are the worst failure there is.

    An empty PatientID is common in research archives and is no conflict by itself; then the names must agree.
    """
    studies = {str(each.StudyInstanceUID) for each in instances}
    patients = {str(each.get("PatientID") or "") for each in instances}
    names = {str(each.get("PatientName") or "") for each in instances}
    expected = {study_instance_uid} if study_instance_uid else studies
    return studies != expected or len(studies) > 1 or len(patients) > 1 or (patients == {""} and len(names) > 1)
