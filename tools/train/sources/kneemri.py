"""kneeMRI (Rijeka): sagittal PD-FS at 1.5 T with the state of the ACL (Stajduhar et al. 2017).

    metadata.csv             header and eleven columns; the third is aclDiagnosis: 0 sound, 1 partial, 2 complete tear
    vol01 .. vol10/*.pck     a pickled array (slice, row, column), whose name stands in the last column

Partial and complete tears are one finding here; every other finding is unknown. The files say nothing of spacing:
160 mm along the longer side are assumed. The column kneeLR is not used, since nobody says which number is which side.
"""

from functools import partial
from pathlib import Path

from services.common.volume import Plane, Volume
from tools.train.sources.pickles import array_from_pickle
from tools.train.sources.record import Record, Series, Study, usual_affine
from tools.train.sources.refusal import DataCode, DataRefused
from tools.train.sources.tables import rows

LAYOUT = "Expected metadata.csv (eleven columns) beside the folders vol01 to vol10 with *.pck."
_DIAGNOSIS, _FILE, _COLUMNS = 2, 10, 11
_DIAGNOSES = {"0": False, "1": True, "2": True}
_FIELD_OF_VIEW_MM, _SLICE_SPACING_MM = 160.0, 3.6


def find(folder: Path, _labels: Path | None) -> list[Study]:
    """A study for each row whose file is there. Raises ``DataRefused``."""
    if not (folder / "metadata.csv").is_file():
        raise DataRefused(DataCode.FOLDER_UNKNOWN, LAYOUT)
    files = {path.name: path for path in folder.glob("vol*/*.pck")}
    _, *table = rows(folder / "metadata.csv") or [[]]
    studies = []
    for number, row in enumerate(table, start=2):
        if len(row) != _COLUMNS or row[_DIAGNOSIS] not in _DIAGNOSES:
            raise DataRefused(DataCode.LABELS_UNREADABLE, f"Row {number} of metadata.csv is not as published.")
        if row[_FILE] in files:
            torn = _DIAGNOSES[row[_DIAGNOSIS]]
            studies.append(Study(row[_FILE], partial(_read, files[row[_FILE]], torn)))
    if not studies:
        raise DataRefused(DataCode.FOLDER_UNKNOWN, LAYOUT)
    return studies


def _read(path: Path, torn: bool) -> Record:  # noqa: FBT001 - bound by position in a partial
    voxels = array_from_pickle(path)
    if voxels.ndim != 3:
        raise DataRefused(DataCode.FILE_UNREADABLE)
    pixel = _FIELD_OF_VIEW_MM / max(voxels.shape[1:])
    affine = usual_affine(Plane.SAGITTAL, len(voxels), (_SLICE_SPACING_MM, pixel, pixel))
    return Record((Series(Volume(voxels, affine)),), {"ACL": torn})
