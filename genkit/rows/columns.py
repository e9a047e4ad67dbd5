"""Columns: what each named part of a row is, and how the raw values of rows become a batch.

Raw values are what files hold: pictures as integers, words as words. `Column.batch` turns those of
B rows into what a network is given: pictures as float32 in [-1, 1], mirrored and shifted as drawn.

Legend: B rows, C channels, H W height and width in px, L points, A flags, K classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import torch
from torch import Tensor

from genkit.errors import DataError
from genkit.images import to_float
from genkit.rows.moves import cut, shifted

Raw = Tensor | list[Any]  # of B rows: stacked where the shapes agree, else one entry a row
Columns = Mapping[str, "Column"]
_DIGITS = 18  # that any number has which an int64 holds


@dataclass(frozen=True)
class Draws:
    """What was drawn for the rows of one batch.

    Attributes:
        flip: (B,) bool on the batch's device, True = the row is mirrored left to right; None = no
            row is.
        shift: (B, 2) int64 on the batch's device, how far the row moves down and right in px; None
            = no row moves.
        corner: (B, 2) float32 in [0, 1) on the batch's device, where the part of a larger picture
            lies that a batch has of it, from the top and from the left; None = in the middle.
        choice: (B,) float32 in [0, 1), which of several texts the row gives; None = the first.
    """

    flip: Tensor | None = None
    shift: Tensor | None = None
    corner: Tensor | None = None
    choice: Tensor | None = None


@dataclass(frozen=True)
class Column(ABC):
    """What one named part of every row holds.

    Attributes:
        optional: Whether a pipeline that takes this column does without it too.
    """

    kind: ClassVar[str]  # names the class in JSON
    spatial: ClassVar[bool] = False  # whether flips and shifts move it
    optional: bool = field(default=False, kw_only=True)

    @abstractmethod
    def batch(self, raw: Raw, draws: Draws) -> Any:
        """The raw values of B rows as a network is given them."""

    def to_tree(self) -> dict[str, Any]:
        """The column as JSON; `column_of` reads it back."""
        return {"kind": self.kind} | {f.name: _plain(getattr(self, f.name)) for f in fields(self)}


@dataclass(frozen=True)
class _Spatial(Column):
    """A column that lies in the plane of a picture.

    Attributes:
        of: The picture that it belongs to: columns of one picture share its flip and shift.
    """

    spatial: ClassVar[bool] = True
    of: str = field(default="", kw_only=True)


@dataclass(frozen=True)
class Image(_Spatial):
    """A picture. Raw (B, C, H, W) uint8, or a list of (C, H, W); a batch is float32 in [-1, 1].

    Attributes:
        size: (H, W) of every picture; None = they differ, or any is taken.
        channels: C, 1 or 3; None = they differ, or either is taken.
        crop: (H, W) of the part that a batch has of every picture, another each time; None = all.
    """

    kind: ClassVar[str] = "image"
    size: tuple[int, int] | None = None
    channels: int | None = None
    crop: tuple[int, int] | None = None

    @property
    def extent(self) -> tuple[int, int] | None:
        """(H, W) of every picture of a batch; None = they differ."""
        return self.crop or self.size

    @property
    def side(self) -> int:
        """The side of square pictures in px, as a batch has them.

        Raises:
            DataError: The pictures are not square, or not all of one size.
        """
        size = self.extent
        if size is None or size[0] != size[1]:
            shown = "of several sizes" if size is None else "{} x {} px".format(*size)
            raise DataError(f"pictures are {shown}; this needs square ones: set data.image_size")
        return size[0]

    def batch(self, raw: Raw, draws: Draws) -> Tensor:
        """Pictures (B, C, H, W) float32 in [-1, 1], cut, mirrored and shifted as drawn."""
        if self.crop is None:
            images = _stacked(raw, self.kind)
        elif isinstance(raw, Tensor):
            images = cut(raw, self.crop, draws.corner)
        else:  # of several sizes
            corners = [None] * len(raw) if draws.corner is None else draws.corner.split(1)
            pairs = zip(raw, corners, strict=True)
            images = torch.cat([cut(one[None], self.crop, corner) for one, corner in pairs])
        return to_float(moved(images, draws))


@dataclass(frozen=True)
class Mask(_Spatial):
    """Part of a picture. Raw (B, 1, H, W) uint8 in {0, 1}; a batch is the same as float32.

    Attributes:
        size: (H, W), or None.
    """

    kind: ClassVar[str] = "mask"
    size: tuple[int, int] | None = None

    def batch(self, raw: Raw, draws: Draws) -> Tensor:
        """Masks (B, 1, H, W) float32 in {0, 1}, mirrored and shifted as drawn."""
        return moved(_stacked(raw, self.kind), draws).float()


@dataclass(frozen=True)
class Points(_Spatial):
    """Landmarks of a picture. Raw and as a batch (B, L, 2) float32: x from the left, y from the top
    in px, where 0 is the left or upper edge of the picture and `size` the other.

    Attributes:
        names: L words, or None where the points have no names.
        size: (H, W) of the picture, without which a point can't be mirrored.
        mirrored: L numbers: which point each is once the picture is mirrored, such as the left eye
            for the right one; () = every point stays what it is.
    """

    kind: ClassVar[str] = "points"
    names: tuple[str, ...] | None = None
    size: tuple[int, int] | None = None
    mirrored: tuple[int, ...] = ()

    def batch(self, raw: Raw, draws: Draws) -> Tensor:
        """Points (B, L, 2) float32 in px, mirrored and shifted as drawn."""
        points = _stacked(raw, self.kind).float()
        if draws.flip is not None:
            if self.size is None:
                raise DataError("points of pictures of several sizes can't be mirrored; set size")
            order = list(self.mirrored) or list(range(points.shape[1]))
            mirror = points[:, order] * points.new_tensor([-1, 1])
            mirror = mirror + points.new_tensor([self.size[1], 0])
            points = torch.where(draws.flip[:, None, None], mirror, points)
        if draws.shift is not None:
            points = points + draws.shift.flip(1)[:, None].to(points)  # (down, right) -> (x, y)
        return points


@dataclass(frozen=True)
class Class(Column):
    """One of K classes. Raw and as a batch (B,) int64 in [0, K).

    Attributes:
        count: K.
        names: K words, or None where the classes have no names.
    """

    kind: ClassVar[str] = "class"
    count: int
    names: tuple[str, ...] | None = None

    def batch(self, raw: Raw, draws: Draws) -> Tensor:
        """Classes (B,) int64."""
        labels = _stacked(raw, self.kind)
        return labels if labels.dtype == torch.int64 else labels.to(torch.int64)


def are_numbers(names: Iterable[str]) -> bool:
    """Whether all names of classes are whole numbers, none too large for an int64."""
    return all(name.isdecimal() and len(name) <= _DIGITS for name in names)


@dataclass(frozen=True)
class Flags(Column):
    """Attributes that hold or not. Raw (B, A) uint8 in {0, 1}; a batch is the same as float32.

    Attributes:
        names: A words.
        excludes: (name, what switching it on switches off): which of them can't hold together,
            such as colours of hair. See `genkit.rows.flags`.
        mirrored: Pairs of names that change places in a mirrored picture.
        of: The picture whose flip mirrors them.
    """

    kind: ClassVar[str] = "flags"
    names: tuple[str, ...]
    excludes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    mirrored: tuple[tuple[str, str], ...] = ()
    of: str = ""

    def batch(self, raw: Raw, draws: Draws) -> Tensor:
        """Flags (B, A) float32 in {0, 1}; left and right change places in mirrored rows."""
        flags = _stacked(raw, self.kind).float()
        if draws.flip is None or not self.mirrored:
            return flags
        order = list(range(len(self.names)))
        for a, b in self.mirrored:
            i, j = self.names.index(a), self.names.index(b)
            order[i], order[j] = j, i
        return torch.where(draws.flip[:, None], flags[:, order], flags)

    @classmethod
    def of_former(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Its values as JSON once held them: `groups` of names of which one holds."""
        groups = values.pop("groups", ())
        rules = tuple((a, tuple(b for b in group if b != a)) for group in groups for a in group)
        return {"excludes": rules} | values


@dataclass(frozen=True)
class Text(Column):
    """Words. Raw a list of B strings, or of lists of several strings each; a batch has one each.

    Attributes:
        of: The texts that it goes with: the first of both are drawn together, and so on.
    """

    kind: ClassVar[str] = "text"
    of: str = ""

    def batch(self, raw: Raw, draws: Draws) -> list[str]:
        """B strings; of several for one row the one that was drawn."""
        share = [0.0] * len(raw) if draws.choice is None else draws.choice.tolist()
        return [_one_text(texts, at) for texts, at in zip(raw, share, strict=True)]


@dataclass(frozen=True)
class Latent(Column):
    """Numbers, such as an encoder made of a picture. Raw and as a batch (B, *shape) float32; never
    mirrored.

    Attributes:
        shape: Of one row, such as (4, 32, 32) of a latent picture or (512,) of an embedding; () =
            they differ.
    """

    kind: ClassVar[str] = "latent"
    shape: tuple[int, ...]

    def batch(self, raw: Raw, draws: Draws) -> Tensor:
        """The values (B, *shape) float32."""
        return _stacked(raw, self.kind).float()


@dataclass(frozen=True)
class Mirrored(_Spatial):
    """What an encoder made of a picture and of its mirror image. Raw (B, 2, *shape) float32, the
    picture first; a batch has one of the two.

    Attributes:
        shape: Of one of them; () = they differ.
    """

    kind: ClassVar[str] = "mirrored-latent"
    shape: tuple[int, ...]

    def batch(self, raw: Raw, draws: Draws) -> Tensor:
        """The values (B, *shape) float32, of mirrored rows those of the mirror image."""
        both = _stacked(raw, self.kind).float()
        if draws.flip is None:
            return both[:, 0]
        return both[torch.arange(len(both), device=both.device), draws.flip.long()]


@dataclass(frozen=True)
class File(Column):
    """Where a row comes from: a list of B paths, as a writer needs them for names, alpha,
    orientation and colour profile. A batch holds the same list.
    """

    kind: ClassVar[str] = "file"

    def batch(self, raw: Raw, draws: Draws) -> list[str]:
        """B paths as text."""
        return [str(path) for path in raw]


KINDS: dict[str, type[Column]] = {
    c.kind: c for c in (Image, Mask, Points, Class, Flags, Text, Latent, Mirrored, File)
}


def column_of(tree: Mapping[str, Any]) -> Column:
    """The column that `Column.to_tree` wrote.

    Raises:
        DataError: The tree names no kind that is known here.
    """
    values = {key: _frozen(value) for key, value in tree.items() if key != "kind"}
    if tree.get("kind") not in KINDS:
        raise DataError(f"column kind {tree.get('kind')!r}: there are {', '.join(KINDS)}")
    column = KINDS[tree["kind"]]
    return column(**(Flags.of_former(values) if column is Flags else values))


def moved(images: Tensor, draws: Draws) -> Tensor:
    """Pictures (B, C, H, W) of any type, mirrored and then shifted as drawn."""
    if draws.flip is not None:
        # One gather of images and mirrors: half the time of mirroring some in place.
        both = torch.cat([images, images.flip(3)])
        row = torch.arange(len(images), device=images.device)
        images = both.index_select(0, row + len(images) * draws.flip)
    return images if draws.shift is None else shifted(images, draws.shift)


def _stacked(raw: Raw, kind: str) -> Tensor:
    if isinstance(raw, Tensor):
        return raw
    shapes = sorted({tuple(value.shape) for value in raw})
    if len(shapes) != 1:
        raise DataError(
            f"{kind}: {len(shapes)} shapes in one batch, among them {shapes[0]} and {shapes[-1]}; "
            "set data.image_size, which gives all pictures one size"
        )
    return torch.stack(list(raw))


def _one_text(texts: str | Sequence[str], share: float) -> str:
    return texts if isinstance(texts, str) else texts[int(share * len(texts))]


def _plain(value: Any) -> Any:
    return [_plain(part) for part in value] if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(part) for part in value) if isinstance(value, list) else value
