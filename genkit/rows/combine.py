"""Rows made of other rows: some of them, brought to one size, side by side, in changing pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from genkit import random
from genkit.errors import DataError
from genkit.images import Fit, to_pil
from genkit.rows.base import Indices, MemoryRows, Rows
from genkit.rows.columns import (
    Class,
    Column,
    Flags,
    Image,
    Latent,
    Mask,
    Points,
    Raw,
    are_numbers,
)
from genkit.rows.pictures import FileRows, Shape


def picked(rows: Rows, indices: Indices, name: str | None = None) -> Rows:
    """The rows at (n,) indices as a set of its own."""
    places = torch.as_tensor(indices, dtype=torch.int64)
    return _Picked(rows, places, name or f"{rows.name} ({len(places)})")


def fitted(rows: Rows, size: tuple[int, int], channels: int, fit: Fit = "crop") -> Rows:
    """The same rows with every picture in the column `image` brought to (H, W) px and C channels.

    Args:
        rows: Their pictures may be of any size.
        size: (H, W) in px.
        channels: C, 1 or 3.
        fit: How a picture of another shape gets there: cut, padded or stretched.
    """
    shape = Shape(size, channels, fit)
    if isinstance(rows, FileRows):
        return rows.fitted(shape)
    return rows if rows.columns.get("image") == shape.column else _Fitted(rows, shape)


def cropped(rows: Rows, size: tuple[int, int]) -> Rows:
    """The same rows, of whose pictures a batch has a part of (H, W) px, drawn anew each time.

    Args:
        rows: Their pictures are at least so large.
        size: (H, W) in px.
    """
    columns = {
        name: replace(column, crop=size) if isinstance(column, Image) else column
        for name, column in rows.columns.items()
    }
    return _Alike(rows, columns)


def renamed(rows: Rows, names: Mapping[str, str], of: str | None = None) -> Rows:
    """The same rows under other column names.

    Args:
        rows: The rows.
        names: New names by old ones; columns that are not named keep theirs.
        of: The picture that all spatial columns now belong to; None = as before.

    Raises:
        DataError: There is no such column, or two would have one name.
    """
    rows.check_columns(names)
    if len({names.get(name, name) for name in rows.columns}) < len(rows.columns):
        raise DataError(f"{rows.name}: two columns would have one name: {dict(names)}")
    return _Renamed(rows, names, of)


def zipped(a: Rows, b: Rows, name: str | None = None) -> Rows:
    """Row i of `a` beside row i of `b`.

    Raises:
        DataError: They differ in length, or a column is in both; see `renamed`.
    """
    if len(a) != len(b):
        raise DataError(f"{a.name} has {len(a)} rows and {b.name} {len(b)}; pair them one to one")
    if both := sorted(a.columns.keys() & b.columns.keys()):
        raise DataError(f"{a.name} and {b.name} both have a column {both[0]!r}; rename one")
    return _Zipped(a, b, name or f"{a.name} + {b.name}")


def with_cuts(rows: Rows, of: Rows) -> Rows:
    """The same rows with a column `cut`, (B, 6): how their pictures came to their shape, as
    `FileRows.cuts` has it; without it where they come from no files.

    Args:
        rows: Made of pictures, such as their latents.
        of: Those pictures, one for one.
    """
    files = of.origin or of
    if not isinstance(files, FileRows):
        return rows
    cuts = files.cuts
    column = Latent((cuts.shape[1],))
    return zipped(rows, MemoryRows(rows.name, {"cut": column}, {"cut": cuts}), rows.name)


def unpaired(a: Rows, b: Rows, name: str | None = None) -> UnpairedRows:
    """Every row of `a` with every row of `b`; the pairs of an epoch are drawn anew.

    Row i * len(b) + j is row i of `a` and row j of `b`, whose columns get the endings `_a` and
    `_b`. Each side is mirrored and shifted on its own.
    """
    return UnpairedRows(a, b, name or f"{a.name} | {b.name}")


def numbered_alike(rows: Rows, like: Rows) -> Rows:
    """The same rows with their classes numbered as those of other rows.

    Where both have names, the same name gets the same number, and classes that only `rows` have
    come behind. Where only `like` has, its names are taken if it has as many classes: what a model
    was asked for has the numbers of the set that it was trained on.
    """
    names, wanted = rows.class_names, like.class_names
    if wanted is None or rows.num_classes is None:
        return rows
    if names is None:
        fits = rows.num_classes <= len(wanted) and not _are_numbered(wanted)
        return _Renumbered(rows, torch.arange(len(wanted)), wanted) if fits else rows
    if names == wanted[: len(names)]:
        return rows
    known = (*wanted, *(name for name in names if name not in wanted))
    return _Renumbered(rows, torch.tensor([known.index(name) for name in names]), known)


def with_class_names(rows: Rows, names: Sequence[str]) -> Rows:
    """The same rows with these names of their classes, if they have none and no more classes."""
    if rows.num_classes is None or rows.class_names is not None or rows.num_classes > len(names):
        return rows
    return _Renumbered(rows, torch.arange(len(names)), tuple(names))


class Wrapped(Rows):
    """Rows that stand on others and change some of their columns."""

    def __init__(self, rows: Rows, columns: Mapping[str, Column], name: str | None = None) -> None:
        super().__init__(name or rows.name, columns)
        self.rows, self.left_out = rows, rows.left_out

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content, as the rows beneath have it."""
        return self.rows.fingerprint

    @property
    def epoch_size(self) -> int:
        """How many indices one epoch has."""
        return self.rows.epoch_size

    def order(self, seed: int, epoch: int, global_batch: int) -> Tensor:
        """The indices of one epoch, as the rows beneath have them."""
        return self.rows.order(seed, epoch, global_batch)

    def by_shape(self, indices: Indices) -> list[Tensor]:
        """These indices in groups of one shape, as the rows beneath have them."""
        return self.rows.by_shape(indices)


class _Picked(Rows):
    def __init__(self, rows: Rows, places: Tensor, name: str) -> None:
        super().__init__(name, rows.columns)
        self.rows, self.places, self.left_out = rows, places, rows.left_out

    def __len__(self) -> int:
        return len(self.places)

    def read(self, indices: Indices, only: Collection[str] | None = None) -> dict[str, Raw]:
        return self.rows.read(self.places[torch.as_tensor(indices, dtype=torch.int64)], only)

    @property
    def fingerprint(self) -> str:
        return _hash(self.rows.fingerprint.encode() + self.places.numpy().tobytes())


class _Alike(Wrapped):
    """The same values, of which the columns say something else."""

    def read(self, indices: Indices, only: Collection[str] | None = None) -> dict[str, Raw]:
        return self.rows.read(indices, only)


class _Fitted(Wrapped):
    def __init__(self, rows: Rows, shape: Shape) -> None:
        super().__init__(rows, {**rows.columns, "image": shape.column})
        self.shape = shape

    def read(self, indices: Indices, only: Collection[str] | None = None) -> dict[str, Raw]:
        found = self.rows.read(indices, only)
        if "image" in found:
            pictures = (to_pil(image) for image in found["image"])
            found["image"] = torch.stack([self.shape.of(p, self.name) for p in pictures])
        return found

    @property
    def fingerprint(self) -> str:
        return _hash(f"{self.rows.fingerprint} {self.shape.text}".encode())


class _Renamed(Wrapped):
    def __init__(self, rows: Rows, names: Mapping[str, str], of: str | None) -> None:
        columns = {names.get(name, name): _of(column, of) for name, column in rows.columns.items()}
        super().__init__(rows, columns)
        self.old = {names.get(name, name): name for name in rows.columns}

    def read(self, indices: Indices, only: Collection[str] | None = None) -> dict[str, Raw]:
        wanted = self.check_columns(only)
        found = self.rows.read(indices, [self.old[name] for name in wanted])
        return {name: found[self.old[name]] for name in wanted}


class _Renumbered(Wrapped):
    def __init__(self, rows: Rows, numbers: Tensor, names: tuple[str, ...]) -> None:
        super().__init__(rows, {**rows.columns, "label": Class(len(names), names)})
        self.numbers = numbers

    def read(self, indices: Indices, only: Collection[str] | None = None) -> dict[str, Raw]:
        found = self.rows.read(indices, only)
        if "label" in found:
            found["label"] = self.numbers[torch.as_tensor(found["label"])]
        return found


class _Zipped(Rows):
    def __init__(self, a: Rows, b: Rows, name: str) -> None:
        super().__init__(name, {**a.columns, **b.columns})
        self.a, self.b = a, b
        self.left_out = a.left_out + b.left_out

    def __len__(self) -> int:
        return len(self.a)

    def read(self, indices: Indices, only: Collection[str] | None = None) -> dict[str, Raw]:
        return _read_both(self, (self.a, indices), (self.b, indices), only)

    @property
    def fingerprint(self) -> str:
        return _hash(f"{self.a.fingerprint} {self.b.fingerprint}".encode())


class UnpairedRows(Rows):
    """All pairs of a row of one set and a row of another; see `unpaired`.

    Attributes:
        a: The one set, with columns that end in `_a`.
        b: The other, with columns that end in `_b`.
    """

    def __init__(self, a: Rows, b: Rows, name: str) -> None:
        self.a = renamed(a, {column: f"{column}_a" for column in a.columns}, "a")
        self.b = renamed(b, {column: f"{column}_b" for column in b.columns}, "b")
        super().__init__(name, {**self.a.columns, **self.b.columns})
        self.left_out = a.left_out + b.left_out

    def __len__(self) -> int:
        return len(self.a) * len(self.b)

    def read(self, indices: Indices, only: Collection[str] | None = None) -> dict[str, Raw]:
        """The raw values of B pairs by column."""
        places = torch.as_tensor(indices, dtype=torch.int64)
        one, other = places // len(self.b), places % len(self.b)
        return _read_both(self, (self.a, one), (self.b, other), only)

    @cached_property
    def _fingerprint(self) -> str:
        return _hash(f"{self.a.fingerprint} | {self.b.fingerprint}".encode())

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content of both sets."""
        return self._fingerprint

    @property
    def epoch_size(self) -> int:
        """As many pairs as the larger set has rows."""
        return max(len(self.a), len(self.b))

    def first(self, count: int) -> Tensor:
        """The first rows of both sides, side by side; those of the smaller one begin again."""
        place = torch.arange(min(count, self.epoch_size))
        return place % len(self.a) * len(self.b) + place % len(self.b)

    def order(self, seed: int, epoch: int, global_batch: int) -> Tensor:
        """The pairs of one epoch, (epoch_size,) int64: each row of the larger set once, and those
        of the smaller one in turn, all of them before any comes again.
        """
        size = self.epoch_size
        one = random.turns(seed, "order/a", len(self.a), epoch * size, size)
        other = random.turns(seed, "order/b", len(self.b), epoch * size, size)
        return one * len(self.b) + other


def _read_both(
    rows: Rows, a: tuple[Rows, Indices], b: tuple[Rows, Indices], only: Collection[str] | None
) -> dict[str, Raw]:
    wanted = rows.check_columns(only)
    found: dict[str, Raw] = {}
    for side, indices in (a, b):
        if mine := [name for name in wanted if name in side.columns]:
            found |= side.read(indices, mine)
    return {name: found[name] for name in wanted}


def _are_numbered(names: Sequence[str]) -> bool:
    """Whether each name is the number of its class already."""
    return are_numbers(names) and all(int(name) == i for i, name in enumerate(names))


def _of(column: Column, picture: str | None) -> Column:
    if picture is None or not isinstance(column, Image | Mask | Points | Flags):
        return column
    return replace(column, of=picture)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
