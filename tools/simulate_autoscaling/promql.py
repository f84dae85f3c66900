"""The PromQL of the chart, evaluated on what a simulated Prometheus scraped: the very text that the chart renders.

All pods of a pool are alike in the simulation, so a metric is one series: its total over the pods, and how many pods
have it. That is enough for every query of ``_promql.tpl`` that scales something, and for those of the rivals; whatever
else is asked raises ``Unanswerable``. A vector without elements is NaN.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
import promql_parser as promql

from tools.simulate_autoscaling.replicas import Lanes


class Vector(NamedTuple):
    """The total of a metric over its series, and how many there are; both ``(lane,)``."""

    total: Lanes
    members: Lanes


class Scrapes(Protocol):
    """What was scraped."""

    def now(self) -> tuple[float, Lanes]:
        """Seconds since Monday 00:00 UTC, the same by lane."""

    def latest(self, name: str) -> Vector:
        """The last sample of a metric; raises ``Unanswerable`` for one that nobody has."""

    def rate(self, name: str, seconds: float) -> Vector:
        """Increase a second of a counter over a window."""

    def sum(self, name: str, seconds: float) -> Vector:
        """Sum of a gauge's samples over a window."""


class Unanswerable(Exception):
    """A query that needs more than the simulation knows."""


Query = Callable[[Scrapes], Vector]
_DAY = 86400.0
_CLOCK: dict[str, Callable[[Lanes], Lanes]] = {
    "hour": lambda second: np.floor(second % _DAY / 3600),
    "minute": lambda second: np.floor(second % 3600 / 60),
    "day_of_week": lambda second: (np.floor(second / _DAY) + 1) % 7,  # Sunday is 0
}
_ARITHMETIC: dict[str, Callable[[Lanes, Lanes], Lanes]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
}
_OVER_TIME: dict[str, Callable[[str, float, Scrapes], Vector]] = {
    "rate": lambda name, seconds, scrapes: scrapes.rate(name, seconds),
    "increase": lambda name, seconds, scrapes: _scaled(scrapes.rate(name, seconds), seconds),
    "sum_over_time": lambda name, seconds, scrapes: scrapes.sum(name, seconds),
}
_COMPARISONS: dict[str, Callable[[Lanes, Lanes], Any]] = {
    ">": np.greater,
    ">=": np.greater_equal,
    "<": np.less,
    "<=": np.less_equal,
    "==": np.equal,
}


def compiled(text: str) -> Query:
    """A function of what was scraped; raises ``Unanswerable`` for words that the simulation does not know."""
    return _compiled(promql.parse(text))


def _compiled(node: Any) -> Query:
    kind = type(node).__name__
    if kind == "ParenExpr":
        return _compiled(node.expr)
    if kind == "NumberLiteral":
        value = float(node.val)
        return lambda _: Vector(np.asarray(value), np.asarray(1.0))
    if kind == "VectorSelector":
        name = str(node.name)
        return lambda scrapes: scrapes.latest(name)
    if kind == "BinaryExpr":
        return _binary(str(node.op).split()[0], _compiled(node.lhs), _compiled(node.rhs))
    if kind == "AggregateExpr":
        return _aggregated(str(node.op), _compiled(node.expr))
    if kind == "Call":
        return _called(node.func.name, node.args)
    raise Unanswerable(kind)


def _scaled(vector: Vector, factor: float) -> Vector:
    return Vector(vector.total * factor, vector.members)


def _binary(operator: str, left: Query, right: Query) -> Query:
    def evaluate(scrapes: Scrapes) -> Vector:
        first, second = left(scrapes), right(scrapes)
        if operator == "or":
            return _chosen(np.isnan(first.total), second, first)
        if operator == "and":
            return _chosen(np.isnan(second.total), second, first)
        if operator in _ARITHMETIC:
            with np.errstate(divide="ignore", invalid="ignore"):
                return Vector(_ARITHMETIC[operator](first.total, second.total), first.members)
        if operator in _COMPARISONS:
            with np.errstate(invalid="ignore"):
                # all members are alike, so each is compared by its share of the total
                holds = _COMPARISONS[operator](first.total / first.members, second.total)
            nothing = Vector(np.asarray(np.nan), np.asarray(0.0))
            return _chosen(~holds, nothing, first)
        raise Unanswerable(operator)

    return evaluate


def _chosen(condition: Any, yes: Vector, no: Vector) -> Vector:
    return Vector(np.where(condition, yes.total, no.total), np.where(condition, yes.members, no.members))


def _aggregated(operator: str, inner: Query) -> Query:
    def evaluate(scrapes: Scrapes) -> Vector:
        total, members = inner(scrapes)
        one = np.ones_like(members)
        if operator == "sum":
            return Vector(total, one)
        if operator in {"avg", "max", "min"}:  # all are alike
            return Vector(total / np.maximum(members, 1), one)
        if operator == "count":
            return Vector(np.where(members > 0, members, np.nan), one)
        raise Unanswerable(operator)

    return evaluate


def _called(name: str, arguments: list[Any]) -> Query:
    if name in _OVER_TIME and type(arguments[0]).__name__ == "MatrixSelector":
        metric, seconds = str(arguments[0].vector_selector.name), arguments[0].range.total_seconds()
        return partial(_OVER_TIME[name], metric, seconds)
    if name in _CLOCK:
        return lambda scrapes: Vector(_CLOCK[name](scrapes.now()[1]), np.asarray(1.0))
    if name == "vector":
        return _compiled(arguments[0])
    if name in {"clamp_min", "clamp_max"}:
        inner, bound = _compiled(arguments[0]), float(arguments[1].val)
        clamp = np.maximum if name == "clamp_min" else np.minimum

        def clamped(scrapes: Scrapes) -> Vector:
            total, members = inner(scrapes)
            return Vector(clamp(total, bound), members)

        return clamped
    raise Unanswerable(name)
