"""fastMRI knees (coronal PD, with and without fat suppression) with the boxes of fastMRI+.

    **/*.h5                      reconstruction_rss (slice, 320, 320), ismrmrd_header
    knee.csv                     file,slice,study_level,x,y,width,height,label
    knee_file_list.csv           every file that was reviewed; one that is not in knee.csv shows none of its findings

The boxes lie on images that were flipped up/down first. One reader saw coronal slices alone, so a label says less than
its name: a meniscal tear is in one of two menisci, a bone finding may be contusion or fracture, and what a coronal
slice does not show (synovitis, the patellofemoral joint) stays unknown. Which knee it is nobody says, so the place of a
sprained MCL, which is medial in the models' grid, stays unknown, too. The order of the slices is taken as front to
back.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.common.volume import Plane, Volume
from tools.train.sources.formats import hdf5
from tools.train.sources.record import Record, Series, Study, bit_of, usual_affine
from tools.train.sources.refusal import DataCode, DataRefused
from tools.train.sources.tables import named_rows, rows

LAYOUT = "Expected *.h5 with reconstruction_rss, and knee.csv and knee_file_list.csv there or in --labels."
_COLUMNS = ("file", "slice", "study_level", "x", "y", "width", "height", "label")
_CERTAIN = {
    "Ligament - ACL High Grade Sprain": "ACL",
    "Ligament - ACL Low Grade sprain": "ACL",
    "Ligament - MCL High Grade sprain": "MCL",
    "Ligament - MCL Low-Mod Grade Sprain": "MCL",
    "Joint Effusion": "Effusion",
}
_DOUBTED = {
    "Meniscus Tear": ("Medial Meniscus", "Lateral Meniscus"),
    "Displaced Meniscal Tissue": ("Medial Meniscus", "Lateral Meniscus"),
    "Cartilage - Full Thickness loss/defect": ("Medial OA", "Lateral OA"),
    "Cartilage - Partial Thickness loss/defect": ("Medial OA", "Lateral OA"),
    "Bone- Subchondral edema": ("Medial OA", "Lateral OA", "Contusion"),
    "Bone-Fracture/Contusion/dislocation": ("Contusion", "Fracture"),
    "Bone - Lesion": ("Contusion", "Fracture"),
    "Periarticular cysts": ("Baker's",),
}
LOOKED_FOR = (
    "ACL",
    "MCL",
    "Medial Meniscus",
    "Lateral Meniscus",
    "Medial OA",
    "Lateral OA",
    "Effusion",
    "Baker's",
    "Contusion",
    "Fracture",
)
_OF_NO_SIDE = {"ACL", "Effusion"}  # in the middle or on both sides: a box tells the place without the side
_ARTEFACT = "artifact"  # of a whole study: nothing else about it is certain
_USUAL_SPACING_MM = (3.0, 0.5, 0.5)


@dataclass(frozen=True)
class Mark:
    """One row: what was marked, and its box in pixels of the flipped slice; None for a whole study."""

    label: str
    slice_index: int
    box: tuple[int, int, int, int] | None  # x, y, width, height


def find(folder: Path, labels: Path | None) -> list[Study]:
    """Every reviewed file that is there; those in a folder of its ``val`` split are held out."""
    tables = labels or folder
    if not all((tables / name).is_file() for name in ("knee.csv", "knee_file_list.csv")):
        raise DataRefused(DataCode.FOLDER_UNKNOWN, LAYOUT)
    marks = _marks(tables / "knee.csv")
    reviewed = {row[0] for row in rows(tables / "knee_file_list.csv")}
    files = [path for path in sorted(folder.rglob("*.h5")) if path.stem in reviewed]
    if not files:
        raise DataRefused(DataCode.FOLDER_UNKNOWN, LAYOUT)
    return [
        Study(path.stem, partial(_read, path, marks.get(path.stem, ())), held_out=_held_out(path, folder))
        for path in files
    ]


def _held_out(path: Path, folder: Path) -> bool:
    """By the folders of the data set alone, such as multicoil_val: what lies above may be called anything."""
    names = (folder.resolve().name, *path.relative_to(folder).parent.parts)
    return any("val" in name.split("_") for name in names)


def _marks(path: Path) -> dict[str, tuple[Mark, ...]]:
    found: dict[str, list[Mark]] = defaultdict(list)
    for number, row in enumerate(named_rows(path, needed=_COLUMNS), start=2):
        try:
            box = tuple(round(float(row[name])) for name in ("x", "y", "width", "height")) if row["x"] else None
            found[row["file"]].append(Mark(row["label"], int(row["slice"]), box))  # type: ignore[arg-type]
        except ValueError as error:
            raise DataRefused(
                DataCode.LABELS_UNREADABLE, f"Row {number} of {path.name} is not as published."
            ) from error
    return {name: tuple(marks) for name, marks in found.items()}


def _read(path: Path, marks: tuple[Mark, ...]) -> Record:
    with hdf5(path) as file:
        voxels = np.asarray(file["reconstruction_rss"])
        header = file["ismrmrd_header"][()] if "ismrmrd_header" in file else b""
    if voxels.ndim != 3:
        raise DataRefused(DataCode.FILE_UNREADABLE)
    upright = voxels[:, ::-1]
    affine = usual_affine(Plane.CORONAL, len(upright), spacing(header, upright.shape))
    found, lesions = findings(marks, upright.shape)
    return Record((Series(Volume(upright, affine), lesions=lesions),), found)


def findings(marks: Iterable[Mark], shape: tuple[int, ...]) -> tuple[dict[str, bool], NDArray[np.uint16]]:
    """What a reviewed file shows, and where on its upright slices."""
    lesions = np.zeros(shape, dtype=np.uint16)
    present: set[str] = set()
    doubted: set[str] = set()
    for mark in marks:
        if mark.label == _ARTEFACT:
            return {}, lesions
        doubted |= set(_DOUBTED.get(mark.label, ()))
        if label := _CERTAIN.get(mark.label):
            present.add(label)
            if label in _OF_NO_SIDE and mark.box is not None and 0 <= mark.slice_index < shape[0]:
                x, y, width, height = mark.box
                lesions[mark.slice_index, max(y, 0) : y + height, max(x, 0) : x + width] |= bit_of(label)
    absent = set(LOOKED_FOR) - present - doubted
    return dict.fromkeys(sorted(present), True) | dict.fromkeys(sorted(absent), False), lesions


def spacing(header: bytes, shape: tuple[int, ...]) -> tuple[float, float, float]:
    """(slice, row, column) in mm from the ISMRMRD header's reconstructed field of view; usual values without one."""
    inside = re.search(rb"<reconSpace>.*?<fieldOfView_mm>(.*?)</fieldOfView_mm>", header, re.DOTALL)
    sizes = dict(re.findall(rb"<([xyz])>\s*([0-9.eE+-]+)\s*</", inside[1])) if inside else {}
    if set(sizes) != {b"x", b"y", b"z"}:
        return _USUAL_SPACING_MM
    return float(sizes[b"z"]), float(sizes[b"y"]) / shape[1], float(sizes[b"x"]) / shape[2]
