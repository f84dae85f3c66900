"""A table of findings of phantom studies: ``python -m tools.train.label_table <folder> > labels.csv``.

``tools.phantom --truth`` leaves ``truth.json`` beside each study; this makes of them the table that
``tools.train.import_dataset hospital`` takes, so that the way of a hospital's studies can be walked without any.
"""

import csv
import json
import sys
from pathlib import Path

import pydicom

from services.common.finding import LABELS


def main() -> None:
    """Write one row for each ``truth.json`` below a folder."""
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["StudyInstanceUID", *LABELS])
    for truth in sorted(Path(sys.argv[1]).rglob("truth.json")):
        findings = json.loads(truth.read_text())["findings"]
        first = next(path for path in sorted(truth.parent.rglob("*.dcm")) if path.parent.name != "truth")
        uid = pydicom.dcmread(first, specific_tags=["StudyInstanceUID"]).StudyInstanceUID
        table.writerow([uid, *(int(findings[name]) for name in LABELS)])


if __name__ == "__main__":
    main()
