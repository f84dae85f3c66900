"""The image library of a report (TID 1600): every image that was read, by series."""

from collections.abc import Sequence

from services.common.codes import (
    FRAME_OF_REFERENCE_UID,
    IMAGE_LIBRARY,
    IMAGE_LIBRARY_GROUP,
    KNEE_JOINT,
    MAGNETIC_RESONANCE,
    MODALITY,
    SOURCE,
    TARGET_REGION,
)
from services.common.frame import Frame
from services.results.content import Relation, code, container, image_reference, uid_reference


def image_library(series: Sequence[Sequence[Frame]]) -> bytes:
    """One group a series, its images in slice order."""
    return container(IMAGE_LIBRARY, [_group(frames) for frames in series])


def _group(frames: Sequence[Frame]) -> bytes:
    frame_of_reference = frames[0].instance.get("FrameOfReferenceUID")
    place = [uid_reference(FRAME_OF_REFERENCE_UID, str(frame_of_reference), Relation.ACQUISITION)]
    items = [
        code(MODALITY, MAGNETIC_RESONANCE, Relation.ACQUISITION),
        code(TARGET_REGION, KNEE_JOINT, Relation.ACQUISITION),
        *(place if frame_of_reference else []),
        *[image_reference(SOURCE, frame) for frame in frames],
    ]
    return container(IMAGE_LIBRARY_GROUP, items)
