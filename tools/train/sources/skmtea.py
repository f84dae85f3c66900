"""SKM-TEA: sagittal 3D DESS at 3 T with cartilages, menisci and boxes of findings (Desai et al. 2021).

    image_files/MTR_xxx.h5                        echo1, echo2 (SI, AP, LR) and seg (SI, AP, LR, 6), one-hot
    annotations/v1.0.0/{train,val,test}.json      scans and boxes [x, y, z, dx, dy, dz] in voxels of the same axes

The scan is seen in three planes; both echoes serve as contrasts. Menisci, ACL and effusion are findings; a cartilage
lesion alone is no osteoarthritis, so its compartment stays unknown. ``category_id`` and ``tissue_id`` may be -1.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.common.finding import Laterality, Structure
from services.common.volume import FloatArray, Volume
from tools.train.partial import unlabelled
from tools.train.sources.formats import hdf5
from tools.train.sources.record import Record, Series, Study, bit_of, in_three_planes
from tools.train.sources.refusal import DataCode, DataRefused
from tools.train.sources.tables import json_object

LAYOUT = "Expected image_files/*.h5 and annotations/v1.0.0/{train,val,test}.json."
# the channels of seg, in their order
CHANNELS = (
    Structure.PATELLAR_CARTILAGE,
    Structure.FEMORAL_CARTILAGE,
    Structure.MEDIAL_TIBIAL_CARTILAGE,
    Structure.LATERAL_TIBIAL_CARTILAGE,
    Structure.MEDIAL_MENISCUS,
    Structure.LATERAL_MENISCUS,
)
_MENISCUS, _ACL, _PCL, _NO_TISSUE = 1, 2, 3, -1
_TEARS, _SPRAINS, _EFFUSION = range(2, 8), range(9, 12), 16  # category_id; 1 reaches no surface, 8 is extrusion alone
_DOUBTED = {  # by tissue_id: what can't be called absent once something was marked there
    _MENISCUS: ("Medial Meniscus", "Lateral Meniscus"),
    _ACL: ("ACL",),
    4: ("Medial OA", "Lateral OA", "PF OA"),
    5: ("PF OA",),
    6: ("Medial OA", "Lateral OA"),
}
LOOKED_FOR = ("ACL", "Medial Meniscus", "Lateral Meniscus", "Medial OA", "Lateral OA", "PF OA", "Effusion")
_MENISCI = {"Medial Meniscus": Structure.MEDIAL_MENISCUS, "Lateral Meniscus": Structure.LATERAL_MENISCUS}

Labels = NDArray[np.uint8]


def find(folder: Path, _labels: Path | None) -> list[Study]:
    """The scans of all splits whose file is there; validation and test are held out. Raises ``DataRefused``."""
    studies: list[Study] = []
    for split in ("train", "val", "test"):
        path = folder / "annotations" / "v1.0.0" / f"{split}.json"
        if not path.is_file():
            continue
        table = json_object(path)
        try:
            studies += _of_split(folder, table, held_out=split != "train")
        except (KeyError, TypeError) as error:
            raise DataRefused(DataCode.LABELS_UNREADABLE, f"{path.name} is not as published.") from error
    if not studies:
        raise DataRefused(DataCode.FOLDER_UNKNOWN, LAYOUT)
    return studies


def _of_split(folder: Path, table: Mapping[str, Any], *, held_out: bool) -> Iterable[Study]:
    for scan in table["images"]:
        path = folder / "image_files" / scan["file_name"]
        boxes = [each for each in table["annotations"] if each["image_id"] == scan["id"]]
        if path.is_file():
            yield Study(scan["scan_id"], partial(_read, path, scan, boxes), held_out=held_out)


def _read(path: Path, scan: Mapping[str, Any], boxes: list[dict[str, Any]]) -> Record:
    with hdf5(path) as file:
        first, second, one_hot = (np.asarray(file[name]) for name in ("echo1", "echo2", "seg"))
    if one_hot.shape != (*first.shape, len(CHANNELS)) or second.shape != first.shape:
        raise DataRefused(DataCode.GEOMETRY_MISMATCH)
    labels = np.full(first.shape, unlabelled(CHANNELS), dtype=np.uint8)
    for channel, structure in enumerate(CHANNELS):
        labels[one_hot[..., channel] > 0] = structure
    found, lesions = findings(boxes, labels, inspected=bool(scan["inspected"]))
    order = (2, 0, 1)  # sagittal slices in front
    arrays = [np.transpose(each, order) for each in (first, labels, lesions, second)]
    image = Volume(arrays[0], _affine(first.shape, scan["voxel_spacing"]))
    series = Series(image, arrays[1], arrays[2].astype(np.uint16), arrays[3])
    return Record(in_three_planes(series), found, side(arrays[1], image.affine))


def findings(
    boxes: Iterable[Mapping[str, Any]], labels: Labels, *, inspected: bool
) -> tuple[dict[str, bool], NDArray[np.uint16]]:
    """What the boxes say, and where: bits on the grid of ``labels`` (SI, AP, LR).

    Absence counts only in scans that a labeller has looked at.
    """
    lesions = np.zeros(labels.shape, dtype=np.uint16)
    doubted: set[str] = set()
    present: set[str] = set()
    for each in boxes:
        box = _slices(each["bbox"])
        label = _label(each, labels[box])
        if label is None:
            tissue = each["tissue_id"]
            doubted |= set(LOOKED_FOR) if tissue == _NO_TISSUE else set(_DOUBTED.get(tissue, ()))
        else:
            present.add(label)
            lesions[box] |= bit_of(label)
    absent = set(LOOKED_FOR) - present - doubted if inspected else set()
    return dict.fromkeys(sorted(present), True) | dict.fromkeys(sorted(absent), False), lesions


def _label(box: Mapping[str, Any], within: Labels) -> str | None:
    """The finding that a box marks for certain; which meniscus is decided by the one that fills more of the box."""
    category, tissue = box["category_id"], box["tissue_id"]
    if category == _EFFUSION:
        return "Effusion"
    if category in _SPRAINS and tissue == _ACL:
        return "ACL"
    if category in _TEARS and tissue == _MENISCUS:
        filled = {name: np.count_nonzero(within == structure) for name, structure in _MENISCI.items()}
        return max(filled, key=lambda name: filled[name]) if len(set(filled.values())) > 1 else None
    return None


def _slices(box: Iterable[float]) -> tuple[slice, ...]:
    x, y, z, dx, dy, dz = (round(value) for value in box)
    return slice(max(x, 0), x + dx), slice(max(y, 0), y + dy), slice(max(z, 0), z + dz)


def _affine(shape: tuple[int, ...], spacing_mm: Iterable[float]) -> FloatArray:
    """Of slices from the patient's left to right, rows head to foot, columns front to back; centred."""
    down, back, across = spacing_mm
    affine = np.eye(4)
    affine[:3, :3] = np.array([[-across, 0, 0], [0, 0, back], [0, -down, 0]])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array([shape[2], shape[0], shape[1]]) - 1) / 2)
    return affine


def side(labels: Labels, affine: FloatArray) -> Laterality:
    """The knee's side from its own masks (slice, row, column): medial lies towards the other leg."""
    where = [
        np.argwhere(labels == each) for each in (Structure.MEDIAL_TIBIAL_CARTILAGE, Structure.LATERAL_TIBIAL_CARTILAGE)
    ]
    if not all(map(len, where)):
        return Laterality.UNKNOWN
    medial, lateral = (float((affine @ [*each.mean(axis=0), 1])[0]) for each in where)
    return Laterality.RIGHT if medial > lateral else Laterality.LEFT
