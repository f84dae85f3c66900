"""What a sequence shows, from its own numbers: weighting, fat suppression, sensitivity to fluid.

Descriptions are written by people in many languages and are wrong often, so they only speak where the physics is
silent.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from services.common.frame import Frame
from services.preprocessing.rules import Rules


class Weighting(StrEnum):
    """What decides the contrast."""

    T1 = "T1"
    PD = "PD"
    T2 = "T2"
    T2_STAR = "T2*"
    STIR = "STIR"
    FLAIR = "FLAIR"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Physics:
    """Contrast of one stack; times in milliseconds, None where the object does not say."""

    weighting: Weighting
    fat_suppressed: bool
    repetition_time: float | None
    echo_time: float | None

    @property
    def fluid_sensitive(self) -> bool:
        """Whether fluid is the brightest tissue."""
        fat_suppressed_pd = self.weighting is Weighting.PD and self.fat_suppressed
        return self.weighting in {Weighting.T2, Weighting.STIR} or fat_suppressed_pd


def physics_of(frame: Frame, rules: Rules) -> Physics:
    """The contrast of the stack a frame belongs to."""
    weighting = _weighting(frame, rules) or _described_weighting(frame, rules)
    return Physics(
        weighting,
        weighting is Weighting.STIR or _fat_suppressed(frame, rules),
        frame.number("RepetitionTime"),
        frame.number("EchoTime"),
    )


def _weighting(frame: Frame, rules: Rules) -> Weighting | None:
    limits = rules.weighting
    inversion = _inversion_time(frame)
    if is_gradient_echo(frame):
        return _gradient_weighting(frame, inversion, rules)
    if inversion and inversion > limits.flair_inversion_above:
        return Weighting.FLAIR
    if inversion and limits.stir_inversion[0] <= inversion <= limits.stir_inversion[1]:
        return Weighting.STIR
    repetition, echo = frame.number("RepetitionTime"), frame.number("EchoTime")
    if not repetition or echo is None:
        return None
    if echo >= limits.t2_echo:
        return Weighting.T2
    return Weighting.T1 if repetition < limits.t1_repetition_below else Weighting.PD


def _gradient_weighting(frame: Frame, inversion: float | None, rules: Rules) -> Weighting | None:
    limits = rules.weighting
    if inversion and inversion > limits.gradient_inversion_above:
        return Weighting.T1
    shortest, longest = limits.gradient_stir_inversion
    if inversion and shortest <= inversion <= longest and "IR" in frame.values("ScanningSequence"):
        return Weighting.STIR
    variant = set(frame.values("SequenceVariant")) | set(frame.values("SteadyStatePulseSequence"))
    steady = variant & (limits.gradient_steady_state | {"FREE_PRECESSION"}) and not variant & limits.gradient_spoiled
    echo = frame.number("EchoTime")
    if steady or (echo is not None and echo >= limits.gradient_t2_star_echo):
        return Weighting.T2_STAR
    return None if echo is None else Weighting.T1


def is_gradient_echo(frame: Frame) -> bool:
    """Whether no spin echo refocuses the signal."""
    spoken = set(frame.values("ScanningSequence"))
    return ("GR" in spoken and "SE" not in spoken) or frame.values("EchoPulseSequence") == ("GRADIENT",)


def _inversion_time(frame: Frame) -> float | None:
    """InversionTime where an inversion took place; some scanners write a time without one, most write 0."""
    recovery = "IR" in frame.values("ScanningSequence") or frame.values("InversionRecovery") == ("YES",)
    unsaid = not frame.values("ScanningSequence") and not frame.values("InversionRecovery")
    prepared = is_gradient_echo(frame)
    return frame.number("InversionTime") if recovery or unsaid or prepared else None


def _fat_suppressed(frame: Frame, rules: Rules) -> bool:
    fat = rules.fat
    if set(frame.values("ScanOptions")) & fat.scan_options or set(frame.values("ImageType")) & fat.image_types:
        return True
    selected = frame.values("SpectrallySelectedSuppression")
    if selected:
        return bool(set(selected) & fat.spectrally_selected)
    if set(frame.values("SpectrallySelectedExcitation")) & {"WATER"}:
        return True
    return _any(fat.sequence_names, frame.values("SequenceName")) or _any(
        rules.description.fat_suppressed, descriptions(frame)
    )


def _described_weighting(frame: Frame, rules: Rules) -> Weighting:
    for name, patterns in rules.description.weighting.items():
        if _any(patterns, descriptions(frame)):
            return Weighting(name)
    return Weighting.UNKNOWN


def descriptions(frame: Frame) -> tuple[str, ...]:
    """What people called the series, in upper case."""
    return (*frame.values("SeriesDescription"), *frame.values("ProtocolName"))


def _any(patterns: Sequence[re.Pattern[str]], texts: Sequence[str]) -> bool:
    return any(pattern.search(text) for pattern in patterns for text in texts)
