"""Which series answers each plane's question, and why the others do not.

Every stack is either a candidate with a stated score or a rejection with a code; nothing is dropped in silence.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pydicom

from services.common.dicom import MR_STORAGE, syntax_refusal, text
from services.common.errors import RefusalCode, StudyRefused
from services.common.frame import Frame, frames_of
from services.common.uids import is_result_uid
from services.common.volume import PLANES, Plane, nearest_plane, slice_normal
from services.preprocessing.geometry import affine_of
from services.preprocessing.physics import Physics, Weighting, descriptions, is_gradient_echo, physics_of
from services.preprocessing.rules import AnatomyRules, LocalizerRules, Rules, ScoreRules
from services.preprocessing.stacks import sorted_stack, split

NO_SOURCE = frozenset({RefusalCode.NOT_MR, RefusalCode.OWN_RESULT})  # what is no MR image of the scanner's at all

_GREYSCALE = {"MONOCHROME1", "MONOCHROME2"}
_ANOTHER_ORIENTATION = 0.94  # cosine of 20 degrees between the normals of two stacks

_UNREAD_SYNTAX = (RefusalCode.UNSUPPORTED_JPEG_EXTENDED, RefusalCode.UNSUPPORTED_TRANSFER_SYNTAX)

# the most telling reason first, for a study in which no stack is usable
_TELLING = (
    RefusalCode.OTHER_ANATOMY,
    RefusalCode.NO_GEOMETRY,
    RefusalCode.MIXED_FRAME_OF_REFERENCE,
    RefusalCode.UNEVEN_SLICES,
    RefusalCode.OVERLAPPING_SLICES,
    RefusalCode.SHEARED_SLICES,
    RefusalCode.TOO_LARGE,
    RefusalCode.TOO_FEW_SLICES,
    RefusalCode.NO_PIXEL_DATA,
    RefusalCode.TRUNCATED_PIXEL_DATA,
    RefusalCode.CORRUPT_PIXEL_DATA,
    RefusalCode.UNSUPPORTED_PIXELS,
    *_UNREAD_SYNTAX,
    RefusalCode.NO_SIGNAL,
    RefusalCode.MOSAIC,
    RefusalCode.UNSUITABLE_SEQUENCE,
    RefusalCode.DERIVED_IMAGE,
    RefusalCode.LOCALIZER,
    RefusalCode.NOT_MR,
)


@dataclass(frozen=True, eq=False)
class Candidate:
    """One stack of a study with what is known of it.

    ``frames`` are in slice order where ``rejected`` is None; ``score`` is 0 for a rejected stack, ``plane`` None where
    no orientation is known.
    """

    frames: tuple[Frame, ...]
    plane: Plane | None
    physics: Physics
    score: float
    rejected: RefusalCode | None

    @property
    def usable(self) -> bool:
        """Whether nothing speaks against reading it."""
        return self.rejected is None

    @property
    def series_instance_uid(self) -> str:
        """UID of the series the stack was stored in."""
        return self.frames[0].series_instance_uid


@dataclass(frozen=True, eq=False)
class Selection:
    """All stacks of a study, and the best of each plane that has one."""

    candidates: tuple[Candidate, ...]
    chosen: dict[Plane, Candidate]

    @property
    def missing(self) -> tuple[Plane, ...]:
        """Planes without a usable stack."""
        return tuple(plane for plane in PLANES if plane not in self.chosen)

    def ranked(self, plane: Plane) -> list[Candidate]:
        """The usable stacks of one plane, the best first."""
        usable = [each for each in self.candidates if each.usable and each.plane == plane]
        return sorted(usable, key=_rank, reverse=True)

    @property
    def refusal(self) -> RefusalCode | None:
        """Why the study has no volume at all: the most telling of the rejections; None where it has one."""
        if self.chosen:
            return None
        codes = {each.rejected for each in self.candidates}
        return next((code for code in _TELLING if code in codes), RefusalCode.NO_USABLE_SERIES)


def select_series(instances: Sequence[pydicom.Dataset], rules: Rules) -> Selection:
    """Judge every stack and choose the best of each plane; ``Selection.refusal`` says where there is none."""
    frames, candidates = [], []
    for instance in instances:
        code = _not_an_mr_image(instance) or syntax_refusal(instance)
        try:
            frames += frames_of(instance) if code is None else []
        except StudyRefused as refusal:
            code = refusal.code
        if code is not None:
            candidates.append(_rejected([Frame(instance)], code, rules))
    candidates += [_judge(group, rules) for group in split(frames)]
    candidates = _without_broken_series(candidates, rules)
    judged = Selection(tuple(candidates), {})
    return replace(judged, chosen={plane: ranked[0] for plane in PLANES if (ranked := judged.ranked(plane))})


def score_of(plane_alignment: float, frames: Sequence[Frame], physics: Physics, score: ScoreRules) -> float:
    """Points of a usable stack; ``plane_alignment`` is the cosine between its normal and the plane's."""
    extent, pixel = _extent_mm(frames), max(frames[0].pixel_spacing_mm or (1.0,))
    intermediate = physics.weighting is Weighting.PD and (physics.echo_time or 0.0) >= score.intermediate_echo
    points = (
        score.fluid_sensitive * physics.fluid_sensitive,
        score.intermediate * (intermediate and not physics.fluid_sensitive),
        score.fat_suppressed * physics.fat_suppressed,
        score.echo_nearness / (1.0 + abs((physics.echo_time or 0.0) - score.ideal_echo) / score.ideal_echo),
        score.coverage * min(extent / score.coverage_mm, 1.0),
        score.alignment * plane_alignment,
        score.resolution * min(score.resolution_mm / pixel, 1.0),
    )
    return round(float(sum(points)), 3)


def _not_an_mr_image(instance: pydicom.Dataset) -> RefusalCode | None:
    if is_result_uid(text(instance, "SOPInstanceUID")):
        return RefusalCode.OWN_RESULT
    return None if text(instance, "SOPClassUID") in MR_STORAGE else RefusalCode.NOT_MR


def _judge(group: Sequence[Frame], rules: Rules) -> Candidate:
    code = _ruled_out(group[0], rules)
    if code is not None:
        return _rejected(group, code, rules)
    try:
        frames = sorted_stack(group)
    except StudyRefused as refusal:
        return _rejected(group, refusal.code, rules)
    if _is_localizer(frames, rules.reject.localizer):
        return _rejected(frames, RefusalCode.LOCALIZER, rules)
    normal = np.abs(slice_normal(frames[0].orientation or ()))
    physics = physics_of(frames[0], rules)
    score = score_of(float(normal.max()), frames, physics, rules.score)
    return Candidate(frames, _plane(frames[0]), physics, score, None)


def _ruled_out(frame: Frame, rules: Rules) -> RefusalCode | None:
    """The code of the first rule of the pipeline file that keeps the stack out."""
    if _shows_another_part(frame, rules.reject.anatomy):
        return rules.reject.anatomy.code
    if frame.mosaic:
        return RefusalCode.MOSAIC
    types = frame.values("ImageType")
    for value in types:
        if value in rules.reject.image_type:
            return rules.reject.image_type[value]
    if rules.reject.derived_value in types[:1] and not rules.reject.acquired & set(types):
        return rules.reject.derived_code
    for rule in rules.reject.attributes:
        if rule.values & set(frame.values(rule.keyword)):
            return rule.code
    spoken = set(frame.values("PhotometricInterpretation"))
    return rules.reject.derived_code if spoken and not spoken & _GREYSCALE else None


def _is_localizer(frames: Sequence[Frame], rules: LocalizerRules) -> bool:
    """Few slices far apart, or what is called one and was taken in a hurry."""
    few = len(frames) <= rules.slices
    called = any(pattern.search(words) for words in descriptions(frames[0]) for pattern in rules.words)
    return (few and _gap_mm(frames) >= rules.gap_mm) or (called and (few or is_gradient_echo(frames[0])))


def _shows_another_part(frame: Frame, rules: AnatomyRules) -> bool:
    groups = [" ".join(word for keyword in group for word in frame.values(keyword)) for group in rules.attributes]
    if any(pattern.search(words) for words in groups for pattern in rules.ours):
        return False
    return sum(any(pattern.search(words) for pattern in rules.others) for words in groups) >= rules.fewest


def _without_broken_series(candidates: Sequence[Candidate], rules: Rules) -> list[Candidate]:
    """Reject what only shows when all of a series is seen together: localizers, mixed coordinates, half a series."""
    series: dict[str, list[Candidate]] = defaultdict(list)
    for each in candidates:
        series[each.series_instance_uid].append(each)
    codes = {uid: _broken(stacks, rules) for uid, stacks in series.items()}
    return [
        _rejected(each.frames, code, rules)
        if each.rejected is None and (code := codes[each.series_instance_uid])
        else each
        for each in candidates
    ]


def _broken(stacks: Sequence[Candidate], rules: Rules) -> RefusalCode | None:
    usable = [each for each in stacks if each.rejected is None]
    unread = next((each.rejected for each in stacks if each.rejected in _UNREAD_SYNTAX), None)
    if unread:
        return unread  # what is left would pass for a complete series
    if len({each.values("FrameOfReferenceUID") for stack in usable for each in stack.frames}) > 1:
        return RefusalCode.MIXED_FRAME_OF_REFERENCE
    normals = np.array([slice_normal(each.frames[0].orientation or ()) for each in usable])
    several = len(usable) > 1 and (np.abs(normals @ normals.T) < _ANOTHER_ORIENTATION).any()
    small = all(len(each.frames) <= rules.reject.localizer.slices for each in usable)
    return RefusalCode.LOCALIZER if several and small else None


def _rejected(frames: Sequence[Frame], code: RefusalCode, rules: Rules) -> Candidate:
    return Candidate(tuple(frames), _plane(frames[0]), physics_of(frames[0], rules), 0.0, code)


def _plane(frame: Frame) -> Plane | None:
    cosines = np.asarray(frame.orientation or (), dtype=np.float64)
    return nearest_plane(cosines[3:], cosines[:3]) if cosines.size else None


def _extent_mm(frames: Sequence[Frame]) -> float:
    return _gap_mm(frames) * len(frames)


def _gap_mm(frames: Sequence[Frame]) -> float:
    return float(np.linalg.norm(affine_of(frames)[:3, 0]))


def _rank(candidate: Candidate) -> tuple[float, int, str]:
    return candidate.score, len(candidate.frames), candidate.series_instance_uid
