"""The rules of a pipeline, read from its file: data that an engineer may change without touching code."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Self

from services.common.errors import RefusalCode

PIPELINES = Path(__file__).parent / "pipelines"
Patterns = tuple[re.Pattern[str], ...]


@dataclass(frozen=True)
class AttributeRule:
    """Any of ``values`` in the attribute keeps a stack out."""

    keyword: str
    values: frozenset[str]
    code: RefusalCode


@dataclass(frozen=True)
class AnatomyRules:
    """``fewest`` of the groups of attributes name another part of the body (``others``), and none names ours."""

    code: RefusalCode
    fewest: int
    attributes: tuple[tuple[str, ...], ...]
    ours: Patterns
    others: Patterns


@dataclass(frozen=True)
class LocalizerRules:
    """What makes a stack a localizer; the file explains each."""

    slices: float
    gap_mm: float
    words: Patterns


@dataclass(frozen=True)
class RejectRules:
    """What keeps a stack out before its geometry is looked at."""

    image_type: Mapping[str, RefusalCode]
    attributes: tuple[AttributeRule, ...]
    derived_value: str
    derived_code: RefusalCode
    acquired: frozenset[str]
    anatomy: AnatomyRules
    localizer: LocalizerRules


@dataclass(frozen=True)
class WeightingRules:
    """Limits in milliseconds; the file explains each."""

    t1_repetition_below: float
    t2_echo: float
    stir_inversion: tuple[float, float]
    gradient_stir_inversion: tuple[float, float]
    flair_inversion_above: float
    gradient_t2_star_echo: float
    gradient_inversion_above: float
    gradient_steady_state: frozenset[str]
    gradient_spoiled: frozenset[str]


@dataclass(frozen=True)
class FatRules:
    """Where a sequence says that it suppresses fat."""

    scan_options: frozenset[str]
    spectrally_selected: frozenset[str]
    image_types: frozenset[str]
    sequence_names: Patterns


@dataclass(frozen=True)
class DescriptionRules:
    """What a description may add where the physics is silent."""

    fat_suppressed: Patterns
    weighting: Mapping[str, Patterns]


@dataclass(frozen=True)
class ScoreRules:
    """Points, and the values at which a candidate gets all of them."""

    fluid_sensitive: float
    intermediate: float
    fat_suppressed: float
    echo_nearness: float
    coverage: float
    alignment: float
    resolution: float
    ideal_echo: float
    intermediate_echo: float
    coverage_mm: float
    resolution_mm: float


@dataclass(frozen=True)
class Rules:
    """All rules of one pipeline, and the text they came from, which is part of the pipeline's digest."""

    reject: RejectRules
    weighting: WeightingRules
    fat: FatRules
    description: DescriptionRules
    score: ScoreRules
    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Rules of a pipeline file; ``ValueError`` or ``TypeError`` names a missing, unknown or wrong entry."""
        data = tomllib.loads(text)
        rules = cls(
            reject=_reject(data.pop("reject")),
            weighting=WeightingRules(**_typed(WeightingRules, data.pop("weighting"))),
            fat=FatRules(**_typed(FatRules, data.pop("fat_suppression"))),
            description=_description(data.pop("description")),
            score=ScoreRules(**_typed(ScoreRules, data.pop("score"))),
            text=text,
        )
        _none_left(data)
        return rules


@cache
def load_rules(pipeline: str) -> Rules:
    """The rules that ship with a pipeline."""
    return Rules.parse((PIPELINES / f"{pipeline}.toml").read_text())


def _reject(data: dict[str, Any]) -> RejectRules:
    derived = data.pop("derived")
    rules = RejectRules(
        image_type={value: RefusalCode(code) for value, code in data.pop("image_type").items()},
        attributes=tuple(
            AttributeRule(each["keyword"], frozenset(each["values"]), RefusalCode(each["code"]))
            for each in data.pop("attribute")
        ),
        derived_value=derived["value"],
        derived_code=RefusalCode(derived["code"]),
        acquired=frozenset(derived["unless"]),
        anatomy=_anatomy(data.pop("anatomy")),
        localizer=LocalizerRules(**_typed(LocalizerRules, data.pop("localizer"))),
    )
    _none_left(data)
    return rules


def _anatomy(data: dict[str, Any]) -> AnatomyRules:
    return AnatomyRules(
        code=RefusalCode(data.pop("code")),
        attributes=tuple(tuple(group) for group in data.pop("attributes")),
        ours=_patterns(data.pop("ours")),
        others=_patterns(data.pop("others")),
        **data,
    )


def _description(data: dict[str, Any]) -> DescriptionRules:
    weighting = {name: _patterns(texts) for name, texts in data.pop("weighting").items()}
    rules = DescriptionRules(_patterns(data.pop("fat_suppressed")), weighting)
    _none_left(data)
    return rules


def _typed(rules: type, data: dict[str, Any]) -> dict[str, Any]:
    """A table's entries in the types of the rules' fields."""
    types = {field.name: field.type for field in fields(rules)}
    unknown = data.keys() - types.keys()
    if unknown:
        message = f"unknown rules: {sorted(unknown)}"
        raise ValueError(message)
    convert = {frozenset[str]: frozenset, tuple[float, float]: tuple, Patterns: _patterns, float: float}
    return {name: convert[types[name]](value) for name, value in data.items()}  # type: ignore[index, operator]


def _patterns(texts: list[str]) -> Patterns:
    return tuple(re.compile(text) for text in texts)


def _none_left(data: dict[str, Any]) -> None:
    if data:
        message = f"unknown rules: {sorted(data)}"
        raise ValueError(message)
