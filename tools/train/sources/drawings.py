"""Structures from DICOM Segmentations that people drew, on the grid of an image.

A segment is told by its codes, else by the words of its label, in English. Where a Segmentation has a segment for every
structure of a group, what it leaves free is none of them (``tools.train.partial``); all else stays unknown.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import highdicom
import numpy as np
from numpy.typing import NDArray

from services.common.codes import STRUCTURE_CODES
from services.common.finding import Structure
from services.common.volume import Volume
from tools.train.partial import UNKNOWN, unlabelled
from tools.train.sources.formats import sampled
from tools.train.sources.refusal import DataCode, DataRefused

# all of these words, in any order, name a structure; the first that fits wins
_WORDS: tuple[tuple[str, Structure], ...] = (
    ("patell.* cartilage", Structure.PATELLAR_CARTILAGE),
    ("femor.* cartilage", Structure.FEMORAL_CARTILAGE),
    ("medial tibia.* cartilage", Structure.MEDIAL_TIBIAL_CARTILAGE),
    ("lateral tibia.* cartilage", Structure.LATERAL_TIBIAL_CARTILAGE),
    ("medial menisc.*", Structure.MEDIAL_MENISCUS),
    ("lateral menisc.*", Structure.LATERAL_MENISCUS),
    ("anterior cruciate", Structure.ACL),
    ("posterior cruciate", Structure.PCL),
    ("femor.* bone", Structure.FEMUR),
    ("tibia.* bone", Structure.TIBIA),
    ("patell.* bone", Structure.PATELLA),
    ("acl", Structure.ACL),
    ("pcl", Structure.PCL),
    ("effusion", Structure.EFFUSION),
    ("femur", Structure.FEMUR),
    ("tibia", Structure.TIBIA),
    ("patella", Structure.PATELLA),
    ("fibula", Structure.FIBULA),
)
_NO_STRUCTURE = re.compile(r"cartilage|menisc|ligament|tendon|lesion|o?edema|cyst")


def structure_named(label: str) -> Structure | None:
    """The structure that a segment's label names, or None: "Femoral cartilage", "ACL", "cartilage, tibial, medial"."""
    words = label.lower()
    for pattern, structure in _WORDS:
        if all(re.search(rf"\b{part}\b", words) for part in pattern.split(" ")):
            bone_or_fluid = structure <= Structure.FIBULA or structure is Structure.EFFUSION
            return None if bone_or_fluid and _NO_STRUCTURE.search(words) else structure
    return None


def structures_on(paths: Sequence[Path], target: Volume) -> NDArray[np.uint8] | None:
    """All segmentations drawn in the target's plane together on its grid; None where there is none.

    Raises ``DataRefused``: ``LABELS_UNREADABLE`` for an object that can't be read.
    """
    drawn = [each for each in map(_drawn, paths) if each and each[0].plane == target.plane]
    if not drawn:
        return None
    labels = np.full(target.voxels.shape, unlabelled({s for _, present in drawn for s in present}), dtype=np.uint8)
    covered = np.zeros(target.voxels.shape, dtype=bool)
    for volume, _ in drawn:
        own = sampled(volume, target, outside=UNKNOWN)
        covered |= own != UNKNOWN
        labels = np.where((own > 0) & (own != UNKNOWN), own, labels)
    return np.where(covered, labels, np.uint8(UNKNOWN))


def _drawn(path: Path) -> tuple[Volume, set[Structure]] | None:
    """The label map of one Segmentation and the structures that it has segments for."""
    try:
        seg = highdicom.seg.segread(path)
        numbers = {n: _structure(seg.get_segment_description(n)) for n in seg.segment_numbers}
        known = {number: structure for number, structure in numbers.items() if structure is not None}
        if not known:
            return None
        volume = seg.get_volume(segment_numbers=sorted(known), combine_segments=False, allow_missing_positions=True)
    except Exception as error:  # highdicom and pydicom raise whatever a foreign object makes them raise
        raise DataRefused(DataCode.LABELS_UNREADABLE, "A DICOM Segmentation.") from error
    labels = np.zeros(volume.array.shape[:3], dtype=np.uint8)
    for channel, number in enumerate(sorted(known)):
        labels[volume.array[..., channel] > 0] = known[number]
    return Volume(labels, np.asarray(volume.affine, dtype=np.float64)), set(known.values())


def _structure(segment: "highdicom.seg.SegmentDescription") -> Structure | None:
    kind = segment.segmented_property_type
    coded = [
        structure
        for structure, code in STRUCTURE_CODES.items()
        if (code.type.value, code.type.scheme) == (kind.value, kind.scheme_designator)
    ]
    return coded[0] if len(coded) == 1 else structure_named(str(segment.segment_label))
