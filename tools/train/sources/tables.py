"""Small tables of labels: CSV with or without a header."""

import csv
import json
from pathlib import Path
from typing import Any

from tools.train.sources.refusal import DataCode, DataRefused


def rows(path: Path) -> list[list[str]]:
    """The rows of a CSV file, cells stripped of blanks, empty rows left out. Raises ``DataRefused``."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return [cells for row in csv.reader(file) if any(cells := [cell.strip() for cell in row])]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataRefused(DataCode.LABELS_UNREADABLE, f"Expected a CSV file: {path.name}.") from error


def named_rows(path: Path, *, needed: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of a CSV file by the names in its header, which must hold ``needed``. Raises ``DataRefused``."""
    header, *body = rows(path) or [[]]
    missing = [name for name in needed if name not in header]
    if missing:
        raise DataRefused(DataCode.LABELS_UNREADABLE, f"{path.name} lacks the columns {', '.join(missing)}.")
    return [dict(zip(header, row, strict=False)) for row in body]


def json_object(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds. Raises ``DataRefused``."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataRefused(DataCode.LABELS_UNREADABLE, f"Expected a JSON file: {path.name}.") from error
    if not isinstance(value, dict):
        raise DataRefused(DataCode.LABELS_UNREADABLE, f"{path.name} holds no object.")
    return value


def yes_or_no(text: str, *, row: int) -> bool:
    """0 or 1, also written 0.0 and 1.0; raises ``DataRefused`` with the number of the row for anything else."""
    if text in {"0", "0.0", "1", "1.0"}:
        return text.startswith("1")
    raise DataRefused(DataCode.LABELS_UNREADABLE, f"Row {row} holds neither 0 nor 1.")
