"""Several runs in one table: a column holds values of one protocol only."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genkit.config import flatten
from genkit.errors import EvaluationError
from genkit.report import words
from genkit.report.record import Metric, Record


@dataclass(frozen=True)
class Column:
    """Values that may be compared: one metric by one protocol."""

    name: str
    better: str | None
    letter: str  # of the protocol, where the same metric was measured by several; else ""
    protocol: str
    cells: list[Metric | None]  # one for each run


@dataclass(frozen=True)
class Comparison:
    """The table of several runs and what differs between their settings."""

    columns: list[Column]
    settings: list[tuple[str, list[str]]]

    @property
    def has_several_protocols(self) -> bool:
        """Whether some metric was measured in more than one way."""
        return any(column.letter for column in self.columns)


def compare(records: Sequence[Record]) -> Comparison:
    """All metrics of all runs, and the settings in which the runs differ."""
    return Comparison(_columns(records), _settings([record.config for record in records]))


@dataclass(frozen=True)
class Difference:
    """A value minus another one, with the 95 % interval of two independent sets of samples.

    Attributes:
        value: First minus second.
        low: Lower end; None where one of them has no interval.
        high: Upper end.
        lower_is_better: Which way is good; None if that isn't known.
    """

    value: float
    low: float | None
    high: float | None
    lower_is_better: bool | None

    def better(self, first: str, second: str) -> str:
        """The name of the better one, or "can't tell" where the interval holds 0."""
        if self.lower_is_better is None or self.low is None or self.high is None:
            return "–"
        if self.low <= 0 <= self.high:
            return "can't tell"
        return first if (self.value < 0) == self.lower_is_better else second


def difference(first: Metric, second: Metric) -> Difference:
    """The first value minus the second, if both were measured by one protocol.

    Raises:
        EvaluationError: They were not; the fields in which they differ are listed.
    """
    if first.name != second.name:
        raise EvaluationError(f"{first.name} and {second.name} are different quantities")
    ours, theirs = _of_value(first.protocol), _of_value(second.protocol)
    keys = [key for key in dict.fromkeys([*ours, *theirs]) if ours.get(key) != theirs.get(key)]
    if keys:
        parts = (f"{k} ({ours.get(k, 'not said')} and {theirs.get(k, 'not said')})" for k in keys)
        raise EvaluationError(
            f"{first.name} can't be compared, the protocols differ in {', '.join(parts)}"
        )
    if first.value is None or second.value is None:
        raise EvaluationError(f"{first.name} was not measured in both")
    value = first.value - second.value
    halves = [None if m.low is None or m.high is None else (m.high - m.low) / 2
              for m in (first, second)]  # fmt: skip
    known = None if first.better is None else first.better == "lower"
    if halves[0] is None or halves[1] is None:
        return Difference(value, None, None, known)
    half = math.hypot(halves[0], halves[1])
    return Difference(value, value - half, value + half, known)


def _columns(records: Sequence[Record]) -> list[Column]:
    found: dict[tuple[str, str], list[Metric | None]] = {}
    for position, record in enumerate(records):
        for metric in record.evaluation.metrics if record.evaluation else []:
            row = found.setdefault((metric.name, _identity(metric)), [None] * len(records))
            row[position] = metric
    names = list(dict.fromkeys(name for name, _ in found))
    return [column for name in names for column in _of_one_name(name, found)]


def _of_one_name(name: str, found: Mapping[tuple[str, str], list[Metric | None]]) -> list[Column]:
    rows = [cells for (other, _), cells in found.items() if other == name]
    columns = []
    for position, cells in enumerate(rows):
        metric = next(cell for cell in cells if cell is not None)
        letter = chr(ord("A") + position % 26) if len(rows) > 1 else ""
        how = words.protocol(_of_value(metric.protocol))
        columns.append(Column(name, metric.better, letter, how, cells))
    return columns


def _identity(metric: Metric) -> str:
    """Equal for metrics whose values may be compared."""
    return json.dumps(_of_value(metric.protocol), sort_keys=True, default=str)


def _of_value(protocol: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in protocol.items() if k not in words.BESIDE_THE_VALUE}


def _settings(configs: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    flat = [flatten(config) for config in configs]
    keys = dict.fromkeys(key for config in flat for key in config)
    rows = [(key, [_shown(config.get(key, "–")) for config in flat]) for key in keys]
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def _shown(value: object) -> str:
    return (
        "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )
