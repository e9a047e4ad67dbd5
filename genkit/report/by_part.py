"""Values of parts of the samples, such as attributes, as a table: a row for each part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Valued(Protocol):
    """A value with its name, which ends in its part."""

    @property
    def name(self) -> str:
        """Such as "attribute-accuracy-Smiling"."""

    @property
    def part(self) -> str | None:
        """Such as "Smiling"; None where it is of all samples."""


V = TypeVar("V", bound=Valued)


@dataclass(frozen=True)
class ByPart(Generic[V]):
    """Values of parts.

    Attributes:
        columns: What is measured, without the parts.
        rows: Each part with a value for each column, None where there is none.
    """

    columns: list[str]
    rows: list[tuple[str, list[V | None]]]

    def of_columns(self, most: int) -> list[ByPart[V]]:
        """The same as tables of at most so many columns."""
        cuts = [slice(i, i + most) for i in range(0, len(self.columns), most)]
        return [
            ByPart(self.columns[cut], [(part, cells[cut]) for part, cells in self.rows])
            for cut in cuts
        ]


def of_all(values: Sequence[V]) -> list[V]:
    """Those that are of all samples; where there are none, all values."""
    return [value for value in values if value.part is None] or list(values)


def by_part(values: Sequence[V]) -> ByPart[V] | None:
    """Those of parts as a table; None where there are none beside values of all samples."""
    cells = {(_measured(value), str(value.part)): value for value in values if value.part}
    if not cells or len(cells) == len(values):
        return None
    columns = list(dict.fromkeys(name for name, _ in cells))
    parts = dict.fromkeys(part for _, part in cells)
    return ByPart(columns, [(part, [cells.get((c, part)) for c in columns]) for part in parts])


def _measured(value: Valued) -> str:
    return value.name.removesuffix(f"-{value.part}")
