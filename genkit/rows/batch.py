"""What a reader hands to a family: one dictionary per micro-batch.

| key        | shape, dtype, range             | meaning                                      |
| ---------- | ------------------------------- | -------------------------------------------- |
| a column   | as its `Column` says            | augmented as configured                      |
| `index`    | (B,) int64                      | index of the row in the data set             |
| `position` | (B,) int64, on the CPU          | place in the optimizer step's global batch   |

The usual columns are `image` (B, C, H, W) float32 in [-1, 1] and `label` (B,) int64 in [0, K).

`position` keys the noise of a row: for one global batch it is the same on any
number of processes and micro-batches.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from genkit.errors import DataError
from genkit.rows.base import Rows
from genkit.rows.buckets import BucketRows
from genkit.rows.columns import Class, Column, Draws, File, Flags, Image, column_of
from genkit.rows.left_out import NONE, LeftOut

Batch = dict[str, Any]


@dataclass(frozen=True)
class DataInfo:
    """What a data set says of itself: enough to build a family's networks without its images.

    Attributes:
        name: Kind, set and split, e.g. "mnist:train".
        count: How many rows one epoch has.
        fingerprint: SHA-256 of the content.
        columns: What each named part of a row holds.
        left_out: What was found beside the rows and is none of them, and why.
        rows: The rows themselves, where they are at hand.
    """

    name: str
    count: int
    fingerprint: str
    columns: Mapping[str, Column] = field(default_factory=dict)
    left_out: LeftOut = NONE
    rows: Rows | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, rows: Rows) -> DataInfo:
        """What these rows say of themselves."""
        columns = dict(rows.columns)
        return cls(rows.name, rows.epoch_size, rows.fingerprint, columns, rows.left_out, rows)

    @property
    def image(self) -> Image:
        """The column `image`, or else the first one of pictures.

        Raises:
            DataError: There are no pictures.
        """
        found = self.columns.get("image")
        for column in [found, *self.columns.values()]:
            if isinstance(column, Image):
                return column
        raise DataError(f"{self.name}: no pictures in it; there are: {', '.join(self.columns)}")

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of every picture of a batch in px.

        Raises:
            DataError: The pictures are of several sizes, or there are none.
        """
        if self.image.extent is None:
            raise DataError(f"{self.name}: pictures of several sizes; set data.image_size")
        return self.image.extent

    @property
    def image_size(self) -> int:
        """The side of square pictures in px.

        Raises:
            DataError: The pictures are not square, or there are none.
        """
        return self.image.side

    @property
    def channels(self) -> int:
        """C, 1 or 3.

        Raises:
            DataError: The pictures differ in it, or there are none.
        """
        if self.image.channels is None:
            raise DataError(f"{self.name}: grey and coloured pictures; set data.channels")
        return self.image.channels

    @property
    def num_classes(self) -> int | None:
        """K of the column `label`, or None without one."""
        label = self.columns.get("label")
        return label.count if isinstance(label, Class) else None

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """K words of the column `label`, or None where there are none."""
        label = self.columns.get("label")
        return label.names if isinstance(label, Class) else None

    @property
    def flags(self) -> Flags:
        """The column `attributes`.

        Raises:
            DataError: There are none.
        """
        flags = self.columns.get("attributes")
        if not isinstance(flags, Flags):
            there = ", ".join(self.columns)
            raise DataError(f"{self.name}: no attributes in it; there are: {there}")
        return flags

    def to_tree(self) -> dict[str, Any]:
        """All of it as JSON, as `provenance.json` keeps it; `from_tree` reads it back."""
        tree = {"name": self.name, "count": self.count, "fingerprint": self.fingerprint}
        columns = {name: column.to_tree() for name, column in self.columns.items()}
        shapes = {"buckets": self.rows.record} if isinstance(self.rows, BucketRows) else {}
        return tree | {"columns": columns, "left_out": self.left_out.to_tree()} | shapes

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> DataInfo:
        """What `to_tree` wrote, or the record of a run before columns had names."""
        if "columns" in tree:
            columns = {name: column_of(column) for name, column in tree["columns"].items()}
            left = LeftOut.from_tree(tree.get("left_out"))
            return cls(tree["name"], tree["count"], tree["fingerprint"], columns, left)
        side, names = tree["image_size"], tree.get("class_names")
        columns = {"image": Image((side, side), tree["channels"])}
        if tree.get("num_classes") is not None:
            columns["label"] = Class(tree["num_classes"], names and tuple(names))
        return cls(tree["name"], tree["count"], tree["fingerprint"], columns)


def batch_of(
    rows: Rows,
    indices: Sequence[int] | Tensor,
    device: torch.device | str = "cpu",
    only: Collection[str] | None = None,
) -> Batch:
    """These rows as one batch, neither mirrored nor shifted, without the columns of files.

    Args:
        rows: Those whose places are given.
        indices: B numbers in [0, N).
        device: Where tensors are to be.
        only: Names of the columns to read; None = all.
    """
    named = rows.check_columns(only)
    columns = {n: rows.columns[n] for n in named if not isinstance(rows.columns[n], File)}
    batch: Batch = {}
    for name, raw in rows.read(indices, columns).items():
        moved = raw.to(device) if isinstance(raw, Tensor) else raw
        batch[name] = columns[name].batch(moved, Draws())
    places = torch.as_tensor(indices, dtype=torch.int64)
    return batch | {"index": places.to(device), "position": torch.arange(len(places))}
