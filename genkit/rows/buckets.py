"""Rows of several shapes, of which every step of a training has one: aspect buckets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from genkit import random
from genkit.rows.base import Indices, Rows, stacked
from genkit.rows.columns import Column, Image, Latent, Mirrored, Raw


class BucketRows(Rows):
    """Rows that lie in buckets, each of rows of one shape.

    Row i is what it was before rows were parted, so indices say nothing of buckets.

    Args:
        name: What messages and reports call them.
        buckets: Rows of one shape each, all with the same columns; none is empty.
        places: Which row here each row of each bucket is, (n,) int64 a bucket; together 0 to N - 1.
        record: What a run's record says of the buckets.

    Attributes:
        buckets: Those.
        record: That.
    """

    def __init__(
        self,
        name: str,
        buckets: Sequence[Rows],
        places: Sequence[Tensor],
        record: Mapping[str, Any],
    ) -> None:
        first = buckets[0]
        columns = {key: _common([rows.columns[key] for rows in buckets]) for key in first.columns}
        super().__init__(name, columns)
        self.buckets, self.places, self.record = tuple(buckets), tuple(places), dict(record)
        self.left_out = first.left_out
        self._bucket, self._place = torch.empty(2, sum(map(len, places)), dtype=torch.int64)
        for number, own in enumerate(places):
            self._bucket[own], self._place[own] = number, torch.arange(len(own))

    def __len__(self) -> int:
        return len(self._bucket)

    def read(self, indices: Indices, only: Collection[str] | None = None) -> dict[str, Raw]:
        """The raw values of B rows by column; those of one bucket stacked."""
        wanted, chosen = self.check_columns(only), torch.as_tensor(indices, dtype=torch.int64)
        found: dict[str, list[Any]] = {name: [None] * len(chosen) for name in wanted}
        for number, where in self._parted(chosen):
            values = self.buckets[number].read(self._place[chosen[where]], wanted)
            for name in wanted:
                for place, value in zip(where.tolist(), values[name], strict=True):
                    found[name][place] = value
        return {name: stacked(values) for name, values in found.items()}

    def _parted(self, chosen: Tensor) -> list[tuple[int, Tensor]]:
        """The buckets of these rows, and which of the rows lie in each."""
        of = self._bucket[chosen]
        return [(number, (of == number).nonzero().flatten()) for number in of.unique().tolist()]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content, and of the shape of each row."""
        digest = hashlib.sha256()
        for rows, places in zip(self.buckets, self.places, strict=True):
            digest.update(rows.fingerprint.encode() + places.numpy().tobytes())
        return digest.hexdigest()

    def order(self, seed: int, epoch: int, global_batch: int) -> Tensor:
        """The indices of one epoch: as many whole steps as N rows make, each of one bucket.

        A bucket takes part by the number of its rows: what does not fill a step waits for the next
        epoch, and a bucket that is smaller than a step has one in several epochs. Its rows come in
        turn, all of them before any comes again, so each row of the set is seen equally often.
        """
        steps, counts = len(self) // global_batch, [len(rows) for rows in self.buckets]
        before, after = (seats(counts, steps * number) for number in (epoch, epoch + 1))
        parts = []
        for number, places in enumerate(self.places):
            first, size = before[number], after[number] - before[number]
            span = first * global_batch, size * global_batch
            drawn = random.turns(seed, f"order/bucket-{number}", len(places), *span)
            parts.append(places[drawn].view(-1, global_batch))
        mixed = torch.randperm(steps, generator=random.generator(seed, "order/buckets", epoch))
        found = torch.cat(parts)
        bucket = torch.arange(len(parts)).repeat_interleave(torch.tensor([*map(len, parts)]))
        # Buckets are mixed, and those steps of one stay in turn.
        found[bucket[mixed].argsort(stable=True)] = found.clone()
        return found.flatten()

    def by_shape(self, indices: Indices) -> list[Tensor]:
        """These indices in groups of one bucket."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        return [chosen[where] for _, where in self._parted(chosen)]

    def each_shape(self, change: Callable[[Rows], Rows]) -> BucketRows:
        """The same rows, each bucket changed."""
        changed = [change(rows) for rows in self.buckets]
        found = BucketRows(self.name, changed, self.places, self.record)
        found.whole, found.broken = self.whole, self.broken
        return found


def seats(counts: Sequence[int], total: int) -> list[int]:
    """How `total` things are dealt to parties of these sizes: Jefferson's (D'Hondt's) method.

    The next one always goes to the party with the most members for each that it would have. So no
    party loses one as the total grows, and none has fewer than its share rounded down.
    """
    found = [total * count // sum(counts) for count in counts]
    while sum(found) < total:
        due = [Fraction(count, has + 1) for count, has in zip(counts, found, strict=True)]
        found[due.index(max(due))] += 1
    return found


def _common(columns: Sequence[Column]) -> Column:
    """The column of rows that agree in all but their shape."""
    first = columns[0]
    if all(column == first for column in columns):
        return first
    if isinstance(first, Image):
        return replace(first, size=None)
    assert isinstance(first, Latent | Mirrored), first
    return replace(first, shape=())
