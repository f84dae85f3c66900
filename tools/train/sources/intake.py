"""DICOM studies in a folder, read, selected and assembled by the service's own code."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.uid import SegmentationStorage

from services.common.dicom import read_instance, text
from services.common.errors import StudyRefused
from services.common.finding import Laterality
from services.common.uids import is_result_uid
from services.common.volume import Plane, Volume
from services.preprocessing.judgement import judge
from services.preprocessing.reading import read_study
from services.preprocessing.stacking import assemble


@dataclass(frozen=True)
class StudyPaths:
    """The files of one study: images (and whatever is neither), and segmentations that people drew.

    ``person`` is the PatientID of its images: for telling studies of one person, and for nothing that is written.
    """

    images: tuple[Path, ...]
    segmentations: tuple[Path, ...]
    person: str


@dataclass(frozen=True, eq=False)
class Knee:
    """The volume that the service would read of each plane, and the side of the knee."""

    volumes: Mapping[Plane, Volume]
    laterality: Laterality


def studies_in(folder: Path) -> dict[str, StudyPaths]:
    """Files by Study Instance UID, at any depth; what is no DICOM, and the product's own results, are left out."""
    images: dict[str, list[Path]] = defaultdict(list)
    drawn: dict[str, list[Path]] = defaultdict(list)
    people: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        instance = _header(path) if path.is_file() else None
        if instance is not None and not is_result_uid(text(instance, "SOPInstanceUID")):
            is_drawing, uid = text(instance, "SOPClassUID") == SegmentationStorage, text(instance, "StudyInstanceUID")
            (drawn if is_drawing else images)[uid].append(path)
            people.setdefault(uid, text(instance, "PatientID"))
    return {uid: StudyPaths(tuple(images[uid]), tuple(drawn[uid]), people[uid]) for uid in sorted(images)}


def read_knee(paths: Sequence[Path]) -> Knee:
    """The volumes of a study. Raises ``StudyRefused`` with the service's own codes."""
    files = read_study(paths)
    selection, side = judge(files.instances)
    code = files.refusal or selection.refusal
    if code:
        raise StudyRefused(code)
    volumes = {plane: assemble(candidate.frames) for plane, candidate in selection.chosen.items()}
    return Knee(volumes, side.laterality)


def _header(path: Path) -> pydicom.Dataset | None:
    try:
        return read_instance(path)
    except StudyRefused:
        return None
