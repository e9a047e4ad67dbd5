"""What metrics read of rows: pictures, classes by number, captions."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby

import torch
from torch import Tensor

from genkit.errors import EvaluationError
from genkit.rows.base import Indices, Rows
from genkit.rows.columns import Image, Raw


def pictures(rows: Rows, places: Indices) -> Raw:
    """The pictures at these places: (B, C, H, W) uint8 where they are of one size, else a list."""
    return rows.read(places, ("image",))["image"]


def picture(rows: Rows, place: int) -> Tensor:
    """One picture, (C, H, W) uint8."""
    found: Tensor = pictures(rows, [place])[0]
    return found


def shape_of(rows: Rows) -> torch.Size:
    """(C, H, W) of the first picture; others may differ."""
    if not len(rows):
        raise EvaluationError(f"{rows.name}: no images in this set")
    column = rows.columns.get("image")
    if isinstance(column, Image) and column.size is not None and column.channels is not None:
        return torch.Size((column.channels, *column.size))
    return picture(rows, 0).shape


def captions_of(rows: Rows) -> tuple[str, ...] | None:
    """A text for each row, the first where there are several, or None without a caption."""
    if "caption" not in rows.columns:
        return None
    found = rows.read(range(len(rows)), ("caption",))["caption"]
    return tuple(text if isinstance(text, str) else text[0] for text in found)


def batches(rows: Rows, size: int) -> Iterator[Tensor]:
    """The pictures in order, (B, C, H, W) uint8; B <= size, as shapes in a batch agree."""
    for start in range(0, len(rows), size):
        block = pictures(rows, range(start, min(start + size, len(rows))))
        if isinstance(block, Tensor):
            yield block
        else:
            yield from in_one_shape(block)


def in_one_shape(images: Sequence[Tensor]) -> Iterator[Tensor]:
    """Pictures (C, H, W) in order, in batches whose shapes agree."""
    for _, alike in groupby(images, lambda image: image.shape):
        yield torch.stack(list(alike))


def as_image(rows: Rows, column: str, name: str = "image") -> Rows:
    """The same rows with one column of pictures only, called `image`, and classes and captions.

    Args:
        rows: The rows.
        column: The column of pictures.
        name: Another name for it.
    """
    return rows if rows.columns.keys() == {name} else _AsImage(rows, column, name)


class _AsImage(Rows):
    def __init__(self, rows: Rows, column: str, name: str) -> None:
        kept = [key for key in ("label", "caption") if key in rows.columns]
        self.rows, self.old = rows, {name: column} | {key: key for key in kept}
        rows.check_columns(self.old.values())
        super().__init__(rows.name, {new: rows.columns[old] for new, old in self.old.items()})

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, indices: Indices, only: Collection[str] | None = None) -> dict[str, Raw]:
        wanted = self.check_columns(only)
        found = self.rows.read(indices, [self.old[name] for name in wanted])
        return {name: found[self.old[name]] for name in wanted}

    @property
    def fingerprint(self) -> str:
        beneath, column = self.rows.fingerprint, next(iter(self.old.values()))
        if "image" in self.rows.columns and column == "image":
            return beneath
        return hashlib.sha256(f"{beneath} {column}".encode()).hexdigest()
