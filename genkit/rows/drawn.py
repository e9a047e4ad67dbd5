"""Rows that a model makes when they are asked for, never written to files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from genkit.rows.base import Indices, Rows, hash_pictures, stacked
from genkit.rows.columns import Columns, Raw
from genkit.rows.given import Cycled

Draw = Callable[[list[int]], Mapping[str, Raw]]  # indices to what is drawn of B rows, by column


class DrawnRows(Rows):
    """Rows that are drawn anew each time they are read, beside what they were asked for.

    Args:
        name: What messages and reports call them.
        columns: What is drawn.
        draw: Indices in [0, count) to raw values by column; the same for the same ones.
        count: How many rows there are.
        given: As many rows with what each was drawn for, such as its class; their columns are
            columns of these rows too.
        fingerprint: Names model, seed and options; None has it computed from all pixels.
    """

    def __init__(
        self,
        name: str,
        columns: Columns,
        draw: Draw,
        count: int,
        *,
        given: Rows | None = None,
        fingerprint: str | None = None,
    ) -> None:
        super().__init__(name, {**({} if given is None else given.columns), **columns})
        self.made, self.draw, self.count = {*columns}, draw, count
        self.given, self._known = given, fingerprint

    def __len__(self) -> int:
        return self.count

    def read(self, indices: Indices, only: Collection[str] | None = None) -> dict[str, Raw]:
        """The raw values of B rows by column; nothing is drawn for what was given."""
        wanted = self.check_columns(only)
        places = torch.as_tensor(indices, dtype=torch.int64)
        found: dict[str, Raw] = {}
        if self.made & {*wanted}:
            found |= self.draw(places.tolist())
        others = [name for name in wanted if name not in self.made]
        if others and self.given is not None:
            found |= self.given.read(places, others)
        return {name: found[name] for name in wanted}

    @cached_property
    def _fingerprint(self) -> str:
        return hash_pictures(self) if self._known is None else self._known

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what names the content."""
        return self._fingerprint


def drawn(
    pipeline: Any,
    given: Rows | None = None,
    seed: int = 0,
    *,
    count: int | None = None,
    batch_size: int = 64,
    name: str | None = None,
    fingerprint: str | None = None,
    **asked: Any,
) -> DrawnRows:
    """What a pipeline makes of a seed, as rows: its columns, and classes and texts it was given.

    Args:
        pipeline: A `Pipeline`.
        given: Rows that hold columns it takes; repeated in turn where they are fewer than `count`.
        seed: Names the noise.
        count: N; None = as many as are given.
        batch_size: Rows made at a time.
        name: What messages and reports call them.
        fingerprint: Names model, seed and options; None has it computed from all pixels.
        asked: Columns that the pipeline takes, and options of its call.
    """
    rows, _ = pipeline.asked(given, **asked)
    count = rows.count if count is None else count

    def draw(indices: list[int]) -> dict[str, Raw]:
        stream = pipeline.stream(indices, seed=seed, given=given, batch_size=batch_size, **asked)
        batches = [made for _, made in stream]
        return {key: joined([made[key] for made in batches]) for key in pipeline.gives}

    return DrawnRows(
        name or f"{count:,} rows of a {type(pipeline).__name__}",
        pipeline.gives,
        draw,
        count,
        given=Cycled("given", {key: rows.fields[key] for key in pipeline.held(rows)}),
        fingerprint=fingerprint,
    )


def joined(batches: Sequence[Raw]) -> Raw:
    """Batches one after the other: one tensor where the shapes agree, else a list of rows."""
    tensors = [batch for batch in batches if isinstance(batch, Tensor)]
    if len(tensors) == len(batches) and len({tensor.shape[1:] for tensor in tensors}) == 1:
        return torch.cat(tensors)
    return stacked([row for batch in batches for row in batch])
