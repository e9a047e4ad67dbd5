"""Several runs in one table: a column holds values of one protocol only."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from genkit.config import flatten
from genkit.errors import EvaluationError, shown
from genkit.evaluation.metrics import aims, enough
from genkit.report import words
from genkit.report.parts import Metric
from genkit.report.protocols import BESIDE_THE_VALUE, protocol
from genkit.report.record import Record


@dataclass(frozen=True)
class Column:
    """Values that may be compared: one metric by one protocol."""

    name: str
    better: str | None
    letter: str  # of the protocol, where the same metric was measured by several; else ""
    protocol: str
    cells: list[Metric | None]  # one for each run

    @property
    def title(self) -> str:
        """The name, and which protocol where there are several."""
        return f"{self.name} · {self.letter}" if self.letter else self.name

    def best(self, digits: int | None = None) -> set[int]:
        """Places of the best value as it is shown; none where all look alike or none is best.

        Args:
            digits: Shown behind the point; None = as many as suit the value.
        """
        ranks = {i: rank for i, cell in enumerate(self.cells)
                 if cell is not None and (rank := merit(cell)) is not None}  # fmt: skip
        if len(ranks) < 2:
            return set()
        texts = {i: words.number(_value(self.cells[i]), digits) for i in ranks}
        first = max(ranks, key=lambda i: ranks[i])
        found = {i for i in ranks if ranks[i] == ranks[first] or texts[i] == texts[first]}
        return found if len(found) < len(ranks) else set()


@dataclass(frozen=True)
class Comparison:
    """The table of several runs and what differs between their settings."""

    columns: list[Column]
    settings: list[tuple[str, list[str]]]

    @property
    def has_several_protocols(self) -> bool:
        """Whether some metric was measured in more than one way."""
        return any(column.letter for column in self.columns)

    @property
    def groups(self) -> list[tuple[str, list[tuple[str, list[str]]]]]:
        """The settings by section of the config, "" for those of none."""
        found: dict[str, list[tuple[str, list[str]]]] = {}
        for key, values in self.settings:
            section, _, name = key.rpartition(".")
            found.setdefault(section, []).append((name, values))
        return list(found.items())


def compare(records: Sequence[Record], metrics: Iterable[str] = ()) -> Comparison:
    """All metrics of all runs, and the settings in which the runs differ.

    Args:
        records: At least one.
        metrics: Only these, in this order, by their names or by how their names begin.

    Raises:
        EvaluationError: None of the runs has such a metric.
    """
    columns = _columns(records)
    wanted = list(dict.fromkeys(metrics))
    columns = _chosen(columns, wanted) if wanted else _of_all(columns)
    configs = [record.config for record in records if record.is_run]
    return Comparison(columns, _settings(configs) if len(configs) == len(records) else [])


def _of_all(columns: list[Column]) -> list[Column]:
    """Without values of parts, such as single attributes, which are compared where named."""
    whole = [c for c in columns if all(cell is None or cell.part is None for cell in c.cells)]
    return whole or columns


def _chosen(columns: Sequence[Column], wanted: Sequence[str]) -> list[Column]:
    found: list[Column] = []
    for name in wanted:
        mine = [c for c in columns if c.name == name]
        mine = mine or [c for c in columns if c.name.startswith(f"{name}-")]
        if not mine:
            known = ", ".join(dict.fromkeys(shown(column.name) for column in columns))
            raise EvaluationError(
                f"metric {shown(name)!r}: not measured in any of these; measured: {known or 'none'}"
            )
        found += [column for column in mine if column not in found]
    return found


# -- which is better -------------------------------------------------------------------------------


def aim(name: str) -> float | None:
    """The value that is right, of a metric of which neither less nor more is better."""
    return next((v for n, v in _aims().items() if name == n or name.startswith(f"{n}-")), None)


_aims, _enough = lru_cache(1)(aims), lru_cache(1)(enough)


def direction(column: Column | Metric) -> str:
    """Which way is good, in words; "" where that isn't known."""
    right = aim(column.name)
    if right is not None:
        return f"{right:g} is right"
    if column.name in _enough():
        return f"{_enough()[column.name]:g} is enough"
    return f"{column.better} is better" if column.better else ""


def merit(metric: Metric) -> float | None:
    """A number that is larger for the better of two values; None where that isn't known."""
    if metric.value is None:
        return None
    right = aim(metric.name)
    if right is not None:
        return -abs(metric.value - right)
    value = max(metric.value, _enough().get(metric.name, metric.value))
    return {"higher": value, "lower": -value, None: None}[metric.better]


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
        raise EvaluationError(
            f"{shown(first.name)} and {shown(second.name)} are different quantities"
        )
    ours, theirs = _of_value(first.protocol), _of_value(second.protocol)
    keys = [key for key in dict.fromkeys([*ours, *theirs]) if ours.get(key) != theirs.get(key)]
    if keys:
        parts = (f"{k} ({ours.get(k, 'not said')} and {theirs.get(k, 'not said')})" for k in keys)
        raise EvaluationError(
            f"{shown(first.name)} can't be compared, the protocols differ in "
            f"{shown(', '.join(parts), 1000)}"
        )
    if first.value is None or second.value is None:
        raise EvaluationError(
            f"{shown(first.name)}: its value in one of the files is no finite number; measure that "
            "one anew"
        )
    value = first.value - second.value
    lower = _lower_is_better(first, second)
    if first.interval is None or second.interval is None:
        return Difference(value, None, None, lower)
    half = math.hypot(*((high - low) / 2 for low, high in (first.interval, second.interval)))
    return Difference(value, value - half, value + half, lower)


def _lower_is_better(first: Metric, second: Metric) -> bool | None:
    right = aim(first.name)
    if merit(first) == merit(second) and first.name in _enough():
        return None  # both are enough
    if right is None or first.value is None or second.value is None:
        return None if first.better is None else first.better == "lower"
    if (first.value - right) * (second.value - right) < 0:
        return None  # one on each side of what is right
    return max(first.value, second.value) > right


def standings(records: Sequence[Record], comparison: Comparison) -> list[tuple[str, list[str]]]:
    """Who is better than whom, in words, and in which columns."""
    said: dict[str, list[str]] = {}
    for column in comparison.columns:
        cells = {i: c for i, c in enumerate(column.cells) if c and merit(c) is not None}
        if len(cells) < 2:
            continue
        best = max(cells, key=lambda i: merit(cells[i]) or 0.0)
        beaten: list[str] = []
        level: list[str] = []
        for i, cell in cells.items():
            if i != best:
                name = records[best].name
                is_better = difference(cells[best], cell).better(name, "") == name
                (beaten if is_better else level).append(records[i].name)
        level = [r.name for r in records if r.name in level or (r is records[best] and not beaten)]
        words_of_it = _standing(records[best].name, beaten, level)
        said.setdefault(words_of_it, []).append(column.title)
    return list(said.items())


def _standing(best: str, beaten: Sequence[str], level: Sequence[str]) -> str:
    if not beaten:
        return f"can't tell {words.listed(level)} apart"
    better = f"{best} is better than {words.listed(beaten)}"
    return f"{better}; can't tell it from {words.listed(level)}" if level else better


# -- columns and settings --------------------------------------------------------------------------


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
        letter = _letters(position) if len(rows) > 1 else ""
        how = protocol(_of_value(metric.protocol))
        columns.append(Column(name, metric.better, letter, how, cells))
    return columns


def _letters(position: int) -> str:
    """A, B, ... Z, AA, AB, ..."""
    before, letter = divmod(position, 26)
    return (_letters(before - 1) if before else "") + chr(ord("A") + letter)


def _identity(metric: Metric) -> str:
    """Equal for metrics whose values may be compared."""
    return json.dumps(_of_value(metric.protocol), sort_keys=True, default=str)


def _of_value(protocol: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in protocol.items() if k not in BESIDE_THE_VALUE}


def _value(metric: Metric | None) -> float | None:
    return None if metric is None else metric.value


_ABSENT = "–"
_OFF: tuple[object, ...] = (
    None,
    False,
    0,
    "",
    [],
    {},
)  # what a setting says where another family lacks it


def _settings(configs: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Settings that differ; one that is off where it is and lacks elsewhere is no difference."""
    flat = [flatten(config) for config in configs]
    rows = []
    for key in dict.fromkeys(key for config in flat for key in config):
        values = [config[key] for config in flat if key in config]
        if len(values) == len(flat) or any(value not in _OFF for value in values):
            rows.append((key, [_shown(c[key]) if key in c else _ABSENT for c in flat]))
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def _shown(value: object) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else shown(value)
