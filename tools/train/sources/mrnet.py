"""MRNet-v1.0: three planes a knee as uint8 arrays, three labels (Bien et al. 2018, PLOS Medicine).

    {train,valid}/{axial,coronal,sagittal}/NNNN.npy      (slice, 256, 256)
    {train,valid}-{abnormal,acl,meniscus}.csv            no header: NNNN,0 or 1

The files say nothing of spacing, side or direction of the slices: 160 mm and the usual view are assumed. A meniscal
tear is in one of two menisci, so both stay unknown where there is one; an abnormal knee may have anything.
"""

from functools import partial
from pathlib import Path

import numpy as np

from services.common.finding import LABELS
from services.common.volume import PLANES, Plane, Volume
from tools.train.sources.record import Record, Series, Study, usual_affine
from tools.train.sources.refusal import DataCode, DataRefused
from tools.train.sources.tables import rows, yes_or_no

TASKS = ("abnormal", "acl", "meniscus")
LAYOUT = "Expected train/{axial,coronal,sagittal}/*.npy and train-{abnormal,acl,meniscus}.csv, likewise valid."
_FIELD_OF_VIEW_MM, _SLICE_SPACING_MM = 160.0, 3.8
_MENISCI = ("Medial Meniscus", "Lateral Meniscus")


def find(folder: Path, _labels: Path | None) -> list[Study]:
    """The studies of both splits; ``valid`` is held out. Raises ``DataRefused``."""
    studies = []
    for split, held_out in (("train", False), ("valid", True)):
        tables = [folder / f"{split}-{task}.csv" for task in TASKS]
        if not all(path.is_file() for path in tables) or not (folder / split).is_dir():
            continue
        answers = [_answers(path) for path in tables]
        for key in sorted(set.intersection(*map(set, answers))):
            abnormal, acl, meniscus = (answer[key] for answer in answers)
            known = findings(abnormal=abnormal, acl=acl, meniscus=meniscus)
            studies.append(Study(key, partial(_read, folder / split, key, known), held_out=held_out))
    if not studies:
        raise DataRefused(DataCode.FOLDER_UNKNOWN, LAYOUT)
    return studies


def findings(*, abnormal: bool, acl: bool, meniscus: bool) -> dict[str, bool]:
    """What MRNet's three labels say about the twelve."""
    if not abnormal:
        return dict.fromkeys(LABELS, False)
    return {"ACL": acl} | ({} if meniscus else dict.fromkeys(_MENISCI, False))


def _answers(path: Path) -> dict[str, bool]:
    table = rows(path)
    if any(len(row) != 2 for row in table):
        raise DataRefused(DataCode.LABELS_UNREADABLE, f"{path.name} must hold two columns and no header.")
    return {row[0].zfill(4): yes_or_no(row[1], row=number) for number, row in enumerate(table, start=1)}


def _read(folder: Path, key: str, known: dict[str, bool]) -> Record:
    paths = {plane: folder / plane / f"{key}.npy" for plane in PLANES}
    series = tuple(Series(_volume(path, plane)) for plane, path in paths.items() if path.is_file())
    if not series:
        raise DataRefused(DataCode.FILE_UNREADABLE)
    return Record(series, known)


def _volume(path: Path, plane: Plane) -> Volume:
    try:
        voxels = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataRefused(DataCode.FILE_UNREADABLE) from error
    if voxels.ndim != 3 or voxels.dtype.kind not in "iuf":
        raise DataRefused(DataCode.FILE_UNREADABLE)
    pixel = _FIELD_OF_VIEW_MM / max(voxels.shape[1:])
    return Volume(voxels, usual_affine(plane, len(voxels), (_SLICE_SPACING_MM, pixel, pixel)))
