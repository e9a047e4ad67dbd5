"""Rows of pictures that are decoded when they are asked for."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from PIL.Image import Image as Picture
from torch import Tensor

from genkit.errors import DataError
from genkit.images import Fit, decoding, middle_of, size_of, stack, to_array, to_mode
from genkit.rows.base import Indices, Rows, hash_pictures, hash_values, stacked, taken
from genkit.rows.columns import Column, File, Image, Raw
from genkit.rows.entries import Entry
from genkit.rows.left_out import NONE, LeftOut

HEAD = 1 << 16  # bytes of each file that enter the fingerprint, beside its name and size
GREY_MODES = ("1", "L", "LA", "La", "I", "F")


@dataclass(frozen=True)
class Shape:
    """What every picture is brought to.

    Attributes:
        size: (H, W) in px.
        channels: C, 1 or 3.
        fit: How a picture of another shape gets there.
        crop: The square that is cut out of every picture before: its top, its left and its side in
            px; None = none is.
        scaled: Whether only the width is so; the height follows each picture's own shape, but is no
            lower.
    """

    size: tuple[int, int]
    channels: int
    fit: Fit = "crop"
    crop: tuple[int, int, int] | None = None
    scaled: bool = False

    @property
    def column(self) -> Image:
        """The column of such pictures."""
        return Image(None if self.scaled else self.size, self.channels)

    @property
    def text(self) -> str:
        """The shape as fingerprints have it."""
        height, width = self.size
        side = str(height) if height == width else f"{height}x{width}"
        cut = "" if self.crop is None else " cut {} {} {}".format(*self.crop)
        return f"{side} {self.channels} {'scaled' if self.scaled else self.fit}{cut}"

    def of(self, picture: Picture, where: str) -> Tensor:
        """A picture in this shape, (C, H, W) uint8.

        Raises:
            DataError: It has a colour space that can't be converted, or is smaller than the crop.
        """
        try:
            picture, (height, width) = self._cut(picture, where), self.size
            if not self.scaled:
                return to_array(picture, self.size, self.channels, self.fit)
            height = max(height, round(picture.height * width / picture.width))
            return to_array(picture, (height, width), self.channels, "stretch")
        except ValueError as error:  # a colour space that Pillow knows but can't convert
            raise DataError(f"{where}: {error}; save it as RGB") from None

    def _cut(self, picture: Picture, where: str) -> Picture:
        if self.crop is None:
            return picture
        top, left, side = self.crop
        if top + side > picture.height or left + side > picture.width:
            raise DataError(
                f"{where}: {picture.width} x {picture.height} px, but data.crop={list(self.crop)} "
                f"reaches to {left + side} x {top + side}; give a crop within all pictures"
            )
        return picture.crop((left, top, left + side, top + side))


class FileRows(Rows):
    """Pictures in files, decoded each time they are asked for.

    Args:
        name: What messages and reports call them.
        entries: Where the pictures are, in order.
        columns: The columns beside `image` and `file`, such as `label` and `caption`.
        values: Of each of them those of all N rows.
        shape: What the pictures are brought to; None = they stay as they are.
        left_out: What was found beside them and is no row, and why.
    """

    def __init__(
        self,
        name: str,
        entries: Sequence[Entry],
        columns: Mapping[str, Column] | None = None,
        values: Mapping[str, Raw] | None = None,
        *,
        shape: Shape | None = None,
        left_out: LeftOut = NONE,
    ) -> None:
        image = Image() if shape is None else shape.column
        super().__init__(name, {"image": image, **(columns or {}), "file": File()})
        self.entries, self.shape, self.left_out = entries, shape, left_out
        self.values = dict(values or {})
        self._sizes: Tensor | None = None

    def __len__(self) -> int:
        return len(self.entries)

    def read(self, indices: Indices, only: Collection[str] | None = None) -> dict[str, Raw]:
        """The raw values of B rows; pictures are decoded now, as (C, H, W) each or (B, C, H, W)."""
        wanted = self.check_columns(only)
        places = torch.as_tensor(indices, dtype=torch.int64)
        found: dict[str, Raw] = {}
        for name in wanted:
            if name == "image":
                found[name] = stacked([self.picture(i) for i in places.tolist()])
            elif name == "file":
                found[name] = [self.entries[i].name for i in places.tolist()]
            else:
                found[name] = taken(self.values[name], places)
        return found

    def picture(self, index: int) -> Tensor:
        """One picture (C, H, W) uint8: grey ones have one channel unless a shape was asked for.

        Raises:
            DataError: The file is broken.
        """
        entry = self.entries[index]
        with decoding(entry.read(), entry.where) as picture:
            return native(picture) if self.shape is None else self.shape.of(picture, entry.where)

    def fitted(self, shape: Shape) -> FileRows:
        """The same pictures, each brought to a shape as it is decoded."""
        left = self.left_out
        found = FileRows(
            self.name, self.entries, self._others(), self.values, shape=shape, left_out=left
        )
        found._sizes = self._sizes
        return found

    @property
    def sizes(self) -> Tensor:
        """Height and width of each file's picture, upright, in px: (N, 2) int64.

        They are read once, most without decoding a picture.

        Raises:
            DataError: A file is broken at its beginning.
        """
        if self._sizes is None:
            with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
                found = pool.map(lambda entry: size_of(entry.read(), entry.where), self.entries)
                self._sizes = torch.tensor(list(found)).view(-1, 2)
        return self._sizes

    @property
    def cuts(self) -> Tensor:
        """How each picture comes to its shape: (N, 6) int64.

        Height and width of the file's picture; how much is cut off above and on the left, in px of
        the picture as it is scaled; height and width of what is left. These are what networks of
        the kind of Stable Diffusion XL are told (Podell et al. 2023, arXiv:2307.01952, section
        2.2). A mirrored picture has the same: what is cut off left and right is equal, to 1 px.
        """
        assert self.shape is not None
        rows = []
        for size in self.sizes.tolist():
            top = left = 0
            if self.shape.fit == "crop":
                above, beside, high, wide = middle_of(size, self.shape.size)
                top = round(above * self.shape.size[0] / high)
                left = round(beside * self.shape.size[1] / wide)
            rows.append((*size, top, left, *self.shape.size))
        return torch.tensor(rows).view(-1, 6)

    def only(self, kept: Tensor) -> FileRows:
        """The rows of these (M,) indices, fingerprinted as a set of its own."""
        found = FileRows(
            self.name,
            [self.entries[i] for i in kept.tolist()],
            self._others(),
            {name: taken(values, kept) for name, values in self.values.items()},
            shape=self.shape,
            left_out=self.left_out,
        )
        found._sizes = None if self._sizes is None else self._sizes[kept]
        return found

    def _others(self) -> dict[str, Column]:
        return {name: self.columns[name] for name in self.values}

    @property
    def fingerprint(self) -> str:
        """SHA-256 of pixels, shapes and labels of pictures as they are; of pictures brought to a
        shape, which may be too many to decode, that of names, sizes and first 64 KiB of the files,
        labels, captions, attributes and what alters pixels.
        """
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        if self.shape is None:
            return hash_pictures(self)
        digest = hashlib.sha256(self.shape.text.encode())
        for entry in self.entries:
            # A name need not be text.
            digest.update(f"{entry.path.name}/{entry.size};".encode(errors="surrogateescape"))
            digest.update(entry.read(HEAD))
        if self.labels is not None:
            digest.update(self.labels.numpy().data)
        digest.update("".join(f"{text!r};" for text in self.values.get("caption", ())).encode())
        for name in sorted(self.values.keys() - {"label", "caption"}):
            digest.update(f"{name} {hash_values(self.values[name])};".encode())
        return digest.hexdigest()


def native(picture: Picture) -> Tensor:
    """A picture as it is, (C, H, W) uint8: C = 1 for grey ones, 3 for others."""
    grey = picture.mode in GREY_MODES or picture.mode.startswith("I;16")
    return stack([to_mode(picture, 1 if grey else 3)])[0]


def decoded(source: bytes | Path, where: str) -> Tensor:
    """A picture file as it is, (C, H, W) uint8.

    Raises:
        DataError: It is broken.
    """
    with decoding(source, where) as picture:
        return native(picture)
