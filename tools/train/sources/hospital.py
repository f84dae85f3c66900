"""A hospital's own studies: DICOM at any depth, findings in a CSV file, structures as DICOM Segmentations beside them.

The CSV file (``--labels``, else ``labels.csv`` in the folder) has the column ``StudyInstanceUID`` and one for each
finding that was judged, named as in ``services.common.finding.LABELS``; other columns are ignored. A cell is 1, 0, or
empty where nobody knows. Images are read as the service reads them, so what it would refuse is refused here. Studies of
one PatientID are trained on together, or held out together.
"""

from functools import partial
from pathlib import Path

from services.common.finding import LABELS
from tools.train.sources import drawings, intake
from tools.train.sources.intake import StudyPaths
from tools.train.sources.record import Record, Series, Study
from tools.train.sources.refusal import DataCode, DataRefused
from tools.train.sources.tables import named_rows, yes_or_no

LAYOUT = "Expected DICOM files at any depth, and a CSV file with the column StudyInstanceUID or DICOM Segmentations."
_EMPTY = frozenset({"", "nan", "NaN", "NA"})


def find(folder: Path, labels: Path | None) -> list[Study]:
    """Every study with MR images; the ones without any label are refused when they are read."""
    table = labels or folder / "labels.csv"
    known = findings_of(table) if labels or table.is_file() else {}
    found = intake.studies_in(folder)
    if not found:
        raise DataRefused(DataCode.FOLDER_UNKNOWN, LAYOUT)
    return [Study(uid, partial(_read, paths, known.get(uid, {})), person=paths.person) for uid, paths in found.items()]


def findings_of(table: Path) -> dict[str, dict[str, bool]]:
    """Known findings by Study Instance UID. Raises ``DataRefused`` naming the row that is wrong, never its content."""
    known: dict[str, dict[str, bool]] = {}
    for number, row in enumerate(named_rows(table, needed=("StudyInstanceUID",)), start=2):
        judged = [name for name in LABELS if name in row]
        if not judged:
            raise DataRefused(DataCode.LABELS_UNREADABLE, f"No column is named as a finding: {', '.join(LABELS)}.")
        answers = {name: yes_or_no(row[name], row=number) for name in judged if row[name] not in _EMPTY}
        if known.setdefault(row["StudyInstanceUID"], answers) != answers:
            raise DataRefused(DataCode.LABELS_UNREADABLE, f"Row {number} contradicts an earlier row of its study.")
    return known


def _read(paths: StudyPaths, known: dict[str, bool]) -> Record:
    knee = intake.read_knee(paths.images)
    series = tuple(
        Series(volume, structures=drawings.structures_on(paths.segmentations, volume))
        for volume in knee.volumes.values()
    )
    return Record(series, known, knee.laterality)
