"""The numbers of a run as the rules of the training doctor read them, and what those find."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

Row = Mapping[str, Any]  # of metrics.jsonl: its step, and numbers by name

GRACE = 500  # steps in which weights and samples of sound runs also look ill
LOOKS = 3  # log rows in succession that must agree; as many without it end a finding
PREVIEWS = 2  # the same of previews, which are rarer


@dataclass(frozen=True)
class Finding:
    """Something wrong: its name, and what was seen, what it means, what to change."""

    name: str
    text: str


class History:
    """The numbers of a run by name, in the order of their steps.

    Args:
        rows: What it has logged.
        settings: Those of the run by their whole names, such as model.width; for advice.
    """

    def __init__(
        self, rows: Iterable[Row] = (), settings: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        self.settings = settings
        self._series: dict[str, list[tuple[int, float]]] = {}
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> None:
        """Take in the numbers of a row."""
        for name, value in row.items():
            if isinstance(value, int | float) and name != "step":
                self._series.setdefault(name, []).append((row["step"], value))

    def last(self, name: str, count: int, *, after: int = GRACE) -> list[float]:
        """The last values of a number, later than a step; none at all if they are fewer."""
        values = [value for step, value in self._series.get(name, ())[-count:] if step > after]
        return values if len(values) == count else []

    def largest(self, name: str) -> float:
        """The largest value that a number has had."""
        return max(value for _, value in self._series[name])

    def lowest(self, name: str) -> tuple[float, int]:
        """The smallest value that a number has had, and its step."""
        return min((value, step) for step, value in self._series[name])

    def first(self, name: str) -> float:
        """The first value that a number had."""
        return self._series[name][0][1]

    def networks(self, prefix: str) -> list[str]:
        """What follows the prefix in the names of numbers."""
        return [name.removeprefix(prefix) for name in self._series if name.startswith(prefix)]

    @property
    def names(self) -> list[str]:
        """The names of all numbers."""
        return list(self._series)

    @property
    def critics(self) -> list[str]:
        """The names of the critics, each of which has an accuracy."""
        suffix = "/accuracy"
        return [name.removesuffix(suffix) for name in self._series if name.endswith(suffix)]


def percent(share: float) -> str:
    """A share in words: "12.5 %"."""
    return f"{100 * share:.3g} %"
