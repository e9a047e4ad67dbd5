"""Several runs in one table: a column holds values of one protocol only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genkit.config import flatten
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
