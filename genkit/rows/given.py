"""Values given by hand as rows: a few labels, one picture, some texts, repeated in turn.

Legend: N values of a column, C channels, H W height and width in px, A flags, L points.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from functools import singledispatch
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor

from genkit.errors import DataError
from genkit.images import from_numpy, to_mode
from genkit.rows.base import Indices, MemoryRows, Rows, hash_values, stacked
from genkit.rows.class_names import number_of
from genkit.rows.columns import (
    Class,
    Column,
    Columns,
    File,
    Flags,
    Image,
    Latent,
    Mask,
    Points,
    Raw,
    Text,
)

Field = tuple[Rows, str]  # some rows, and the name of one of their columns


class Cycled(Rows):
    """Columns of other rows side by side, each repeated in turn: row i is row i modulo N of each.

    Args:
        name: What messages and reports call them.
        fields: For each column the rows that hold it and its name there.
    """

    def __init__(self, name: str, fields: Mapping[str, Field]) -> None:
        super().__init__(name, {key: rows.columns[named] for key, (rows, named) in fields.items()})
        self.fields = dict(fields)

    def __len__(self) -> int:
        """After how many rows all columns begin anew; 1 without columns."""
        return math.lcm(*(len(rows) for rows, _ in self.fields.values()))

    @property
    def longest(self) -> int:
        """N of the longest column; 1 without columns."""
        return max((len(rows) for rows, _ in self.fields.values()), default=1)

    def read(self, indices: Indices, only: Collection[str] | None = None) -> dict[str, Raw]:
        """The raw values of B rows by column; indices may be any numbers from 0 on."""
        wanted = self.check_columns(only)
        sources = {id(self.fields[key][0]): self.fields[key][0] for key in wanted}
        found: dict[str, Raw] = {}
        for rows in sources.values():
            names = {key: self.fields[key][1] for key in wanted if self.fields[key][0] is rows}
            raw = rows.read(torch.as_tensor(indices) % len(rows), {*names.values()})
            found |= {key: raw[named] for key, named in names.items()}
        return {key: found[key] for key in wanted}

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content of every column, in the order of their names."""
        ordered = sorted(self.fields.items())
        return hash_values([(key, rows.fingerprint, named) for key, (rows, named) in ordered])


def cycle(name: str = "given", columns: Columns | None = None, **values: Any) -> Cycled:
    """Rows of values that are repeated in turn: `cycle(label=[0, 1])` has labels 0, 1, 0, 1, ...

    Args:
        name: What messages and reports call them.
        columns: What each of the values is; None = texts, classes and pictures are told apart.
        values: Of each column one value or several: whole numbers or names of classes; texts;
            pictures as PIL, arrays (H, W, C) uint8 or tensors (C, H, W), uint8 or float in [0, 1];
            flags, points and latents as tensors.

    Raises:
        DataError: A value is none that its column can hold.
    """
    fields = {}
    for key, given in values.items():
        try:
            column = _column_of(given) if columns is None else columns[key]
            raw = raw_of(column, given)
        except DataError as error:
            raise DataError(f"{key}: {error}") from None
        if not len(raw):
            raise DataError(f"{key}: the sequence is empty; give at least one or leave it out")
        fields[key] = (MemoryRows(name, {key: column}, {key: raw}), key)
    return Cycled(name, fields)


def repeat(name: str = "given", columns: Columns | None = None, **values: Any) -> Cycled:
    """Rows that are all the same: `repeat(image=picture)`.

    Args:
        name: What messages and reports call them.
        columns: What each of the values is; None = texts, classes and pictures are told apart.
        values: Of each column one value, as `cycle` takes it.

    Raises:
        DataError: A value is none that its column can hold, or there are several.
    """
    rows = cycle(name, columns, **values)
    if len(rows) > 1:
        raise DataError(f"{name}: several values of a column; `repeat` takes one, `cycle` several")
    return rows


@singledispatch
def raw_of(column: Column, value: Any) -> Raw:
    """One value or several of a column as N raw ones, as rows hold them.

    Raises:
        DataError: The value is none that the column can hold.
    """
    raise DataError(f"a {column.kind} can't be given by hand; give rows that hold it")


@raw_of.register
def _(column: Class, value: Any) -> Raw:
    several = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if isinstance(value, Tensor | np.ndarray):
        several = value.reshape(-1).tolist()
    return torch.tensor([number_of(column, each) for each in several], dtype=torch.int64)


@raw_of.register
def _(column: Image, value: Any) -> Raw:
    return _each(value, 3, lambda one: _pixels(one, column.channels))


@raw_of.register
def _(column: Mask, value: Any) -> Raw:
    def binary(one: Any) -> Tensor:
        if isinstance(one, Tensor) and one.dtype != torch.uint8:
            return (one >= 0.5).to(torch.uint8)
        pixels = _pixels(one, 1)
        return (pixels >= (128 if int(pixels.max()) > 1 else 1)).to(torch.uint8)

    return _each(value, 3, binary)


@raw_of.register
def _(column: Flags, value: Any) -> Raw:
    flags = _each(value, 1, torch.as_tensor)
    if flags[0].shape != (len(column.names),):
        raise DataError(f"{tuple(flags[0].shape)} flags, expected {len(column.names)}, one a name")
    strange = [x for row in flags for x in row.tolist() if x not in (-1, 0, 1)]
    if strange:
        raise DataError(f"{strange[0]} is no flag; give 0 and 1, or -1 and 1")
    return stacked([(row > 0).to(torch.uint8) for row in flags])


@raw_of.register
def _(column: Latent, value: Any) -> Raw:
    values = _each(value, len(column.shape), lambda one: torch.as_tensor(one).float())
    if values[0].shape != column.shape:
        raise DataError(f"of shape {tuple(values[0].shape)}, expected {column.shape}")
    return values


@raw_of.register
def _(column: Points, value: Any) -> Raw:
    return _each(value, 2, lambda one: torch.as_tensor(one).float())


@raw_of.register(Text)
@raw_of.register(File)
def _(column: Column, value: Any) -> Raw:
    return [value] if isinstance(value, str) else list(value)


def _each(value: Any, dims: int, convert: Any) -> Raw:
    """Every one of the values converted; a tensor or array of more than `dims` holds several."""
    is_one = isinstance(value, Pillow.Image)
    if isinstance(value, Tensor | np.ndarray):
        is_one = value.ndim <= dims
    elif isinstance(value, Sequence) and value:
        is_one = isinstance(value[0], float | int)
    return stacked([convert(one) for one in ([value] if is_one else value)])


def _pixels(picture: Any, channels: int | None) -> Tensor:
    """A picture (C, H, W) uint8."""
    if isinstance(picture, Pillow.Image):
        wanted = channels or (1 if picture.mode in ("1", "L") else 3)
        picture = np.array(to_mode(picture, wanted), dtype=np.uint8)
    if isinstance(picture, np.ndarray):
        picture = from_numpy(np.atleast_3d(picture)[None])[0]
    if not isinstance(picture, Tensor) or picture.ndim != 3:
        shown = tuple(picture.shape) if isinstance(picture, Tensor) else type(picture).__name__
        raise DataError(f"{shown} is no picture; give PIL or a tensor (C, H, W)")
    if picture.dtype != torch.uint8:
        picture = picture.float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return picture


def _column_of(value: Any) -> Column:
    """What a value is, told by its looks."""
    first = value[0] if isinstance(value, Sequence) and value else value
    if isinstance(first, str):
        return Text()
    if isinstance(first, Pillow.Image) or (isinstance(first, Tensor) and first.ndim >= 3):
        return Image()
    numbers = torch.as_tensor(value).reshape(-1)
    if numbers.is_floating_point() or not len(numbers):
        raise DataError("is no text, class or picture: say what it is by columns={...}")
    return Class(int(numbers.max()) + 1)
