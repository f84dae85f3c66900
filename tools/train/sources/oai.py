"""Structures that others drew on OAI's 3D DESS scans, in the three forms in which they are published.

    imagesTr, labelsTr (imagesTs, labelsTs held out)    NIfTI in nnU-Net's layout (OAIZIB-CM); dataset.json names labels
    *.im beside *.seg                                   HDF5, key data: (384,384,160) and (384,384,160,6) (IWOAI 2019)
    00m/**/<id>/<date>/<series>/ with --labels <masks>  DICOM of the OAI, and <id>*.mhd or <id>*.nii.gz (OAI-ZIB; Woo)

No finding comes with any of them. Each scan is seen in three planes. Masks over DICOM must lie on a scan of the same
person by their own geometry, since both knees have the same matrix.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.common.errors import StudyRefused
from services.common.finding import Laterality, Structure
from services.common.volume import FloatArray, Plane, Volume
from tools.train.partial import MENISCUS, TIBIAL_CARTILAGE, UNKNOWN, unlabelled
from tools.train.sources import intake
from tools.train.sources.drawings import structure_named
from tools.train.sources.formats import hdf5, medical_image, sampled
from tools.train.sources.record import Record, Series, Study, in_three_planes, usual_affine
from tools.train.sources.refusal import DataCode, DataRefused
from tools.train.sources.skmtea import side
from tools.train.sources.tables import json_object

LAYOUT = "Expected imagesTr and labelsTr, or *.im beside *.seg, or OAI's DICOM folders with --labels <folder of masks>."
# bones, cartilages, and one number for both sides of the tibia; Woo adds lesions of the three bones as 7 to 9
ZIB = {1: Structure.FEMUR, 2: Structure.FEMORAL_CARTILAGE, 3: Structure.TIBIA, 4: TIBIAL_CARTILAGE}
WOO = ZIB | {5: Structure.PATELLA, 6: Structure.PATELLAR_CARTILAGE}
WOO |= {7: Structure.FEMUR, 8: Structure.TIBIA, 9: Structure.PATELLA}
ZIB_CM = ZIB | {4: Structure.MEDIAL_TIBIAL_CARTILAGE, 5: Structure.LATERAL_TIBIAL_CARTILAGE}
# channels of a .seg file; which of a pair is medial is not said, so neither is claimed
IWOAI = (
    Structure.FEMORAL_CARTILAGE,
    TIBIAL_CARTILAGE,
    TIBIAL_CARTILAGE,
    Structure.PATELLAR_CARTILAGE,
    MENISCUS,
    MENISCUS,
)
_IWOAI_SPACING_MM = (0.7, 140 / 384, 140 / 384)
_ON_THE_SCAN = 0.98  # of a mask's voxels, for the scan to be the one it was drawn on

Labels = NDArray[np.uint8]


def find(folder: Path, labels: Path | None) -> list[Study]:
    """The scans of whichever form the folder has. Raises ``DataRefused``."""
    if labels is not None:
        studies = _over_dicom(folder, labels)
    elif (folder / "labelsTr").is_dir():
        studies = [*_nnunet(folder, "Tr", held_out=False), *_nnunet(folder, "Ts", held_out=True)]
    else:
        studies = [
            Study(path.stem, partial(_read_iwoai, path), held_out=not path.stem.startswith("train"))
            for path in sorted(folder.rglob("*.im"))
            if path.with_suffix(".seg").is_file()
        ]
    if not studies:
        raise DataRefused(DataCode.FOLDER_UNKNOWN, LAYOUT)
    return studies


def relabelled(voxels: NDArray[np.generic], meaning: Mapping[int, int]) -> Labels:
    """A label map in our own numbers; voxels without a label are what ``unlabelled`` says of the drawn structures."""
    drawn = {Structure(value) for value in meaning.values() if value < len(Structure)}
    if TIBIAL_CARTILAGE in meaning.values():
        drawn |= {Structure.MEDIAL_TIBIAL_CARTILAGE, Structure.LATERAL_TIBIAL_CARTILAGE}
    if MENISCUS in meaning.values():
        drawn |= {Structure.MEDIAL_MENISCUS, Structure.LATERAL_MENISCUS}
    table = np.full(256, UNKNOWN, dtype=np.uint8)
    table[0] = unlabelled(drawn)
    for number, value in meaning.items():
        table[number] = value
    return table[np.clip(voxels, 0, 255).astype(np.uint8)]


def _nnunet(folder: Path, split: str, *, held_out: bool) -> Iterable[Study]:
    meaning = _named(folder / "dataset.json")
    for path in sorted((folder / f"labels{split}").glob("*.nii.gz")):
        key = path.name.removesuffix(".nii.gz")
        image = folder / f"images{split}" / f"{key}_0000.nii.gz"
        if image.is_file():
            yield Study(key, partial(_read_nnunet, image, path, meaning), held_out=held_out)


def _named(description: Path) -> Mapping[int, int]:
    """Numbers by the names in nnU-Net's ``dataset.json``, written either way round; OAIZIB-CM's where there is none."""
    if not description.is_file():
        return ZIB_CM
    table = json_object(description).get("labels", {})
    pairs = [(number, name) if str(number).isdigit() else (name, number) for number, name in table.items()]
    try:
        named = {int(number): structure_named(str(name).replace("_", " ")) for number, name in pairs}
    except (TypeError, ValueError) as error:
        raise DataRefused(DataCode.LABELS_UNREADABLE, "dataset.json must name each label.") from error
    return {number: structure for number, structure in named.items() if structure}


def _read_nnunet(image: Path, labels: Path, meaning: Mapping[int, int]) -> Record:
    volume, drawn = medical_image(image), medical_image(labels)
    if volume.voxels.shape != drawn.voxels.shape:
        raise DataRefused(DataCode.GEOMETRY_MISMATCH)
    return _record(volume, relabelled(drawn.voxels, meaning))


def _read_iwoai(path: Path) -> Record:
    with hdf5(path) as file:
        voxels = np.asarray(file["data"])
    with hdf5(path.with_suffix(".seg")) as file:
        one_hot = np.asarray(file["data"])
    if one_hot.shape != (*voxels.shape, len(IWOAI)):
        raise DataRefused(DataCode.GEOMETRY_MISMATCH)
    labels = relabelled(np.zeros(voxels.shape), dict(enumerate(IWOAI, start=1)))
    for channel, value in enumerate(IWOAI):
        labels[one_hot[..., channel] > 0] = value
    order = (2, 0, 1)
    affine = usual_affine(Plane.SAGITTAL, voxels.shape[2], _IWOAI_SPACING_MM)
    return _record(Volume(np.transpose(voxels, order), affine), np.transpose(labels, order))


def _over_dicom(folder: Path, masks: Path) -> list[Study]:
    series: dict[str, list[Path]] = defaultdict(list)
    for path in sorted({each.parent for each in folder.rglob("*") if each.is_file()}):
        for person in {part for part in path.parts if re.fullmatch(r"\d{7}", part)}:
            series[person].append(path)
    return [
        Study(path.name, partial(_read_over_dicom, path, series[person]), person=person)
        for path in sorted([*masks.rglob("*.mhd"), *masks.rglob("*.nii.gz")])
        if (person := path.name[:7]) in series
    ]


def _read_over_dicom(mask: Path, folders: Iterable[Path]) -> Record:
    drawn = medical_image(mask)
    for folder in folders:
        try:
            knee = intake.read_knee(sorted(path for path in folder.iterdir() if path.is_file()))
        except StudyRefused:  # a scout or a radiograph of the same person
            continue
        for volume in knee.volumes.values():
            if _share_inside(drawn, volume) >= _ON_THE_SCAN:
                meaning = ZIB if int(drawn.voxels.max()) <= max(ZIB) else WOO
                labels = Volume(relabelled(drawn.voxels, meaning), drawn.affine)
                return _record(volume, sampled(labels, volume, outside=UNKNOWN), knee.laterality)
    raise DataRefused(DataCode.GEOMETRY_MISMATCH)


def _share_inside(drawn: Volume, volume: Volume) -> float:
    """How much of what is drawn lies in the volume."""
    where = np.argwhere(drawn.voxels)[::97]
    if not len(where):
        return 0.0
    to_index: FloatArray = np.linalg.inv(volume.affine) @ drawn.affine
    index = where @ to_index[:3, :3].T + to_index[:3, 3]
    return float(((index > -0.5) & (index < np.array(volume.voxels.shape) - 0.5)).all(axis=1).mean())


def _record(image: Volume, labels: Labels, laterality: Laterality = Laterality.UNKNOWN) -> Record:
    known = laterality if laterality is not Laterality.UNKNOWN else side(labels, image.affine)
    return Record(in_three_planes(Series(image, labels)), {}, known)
