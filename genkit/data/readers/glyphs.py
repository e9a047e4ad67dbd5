"""Characters in the fonts that come with matplotlib, white on black like MNIST.

Every character of every face is kept as a signed distance field: how far each point lies inside
the ink. So slant, rotation, scale, shift and elastic distortion are one warped lookup, stroke width
is an offset added to the distance, and anti-aliasing is a clamp. Whole batches are drawn at once.

Image i of a split depends on (seed, split, i), never on how many are drawn.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydantic import Field, model_validator
from torch import Tensor

from genkit import random
from genkit.config import DataSection
from genkit.config.data import Drawn
from genkit.data.fetch import check_split
from genkit.errors import DataError
from genkit.files import cache_folder, write_whole
from genkit.rows.base import MemoryRows, image_rows

VERSION = 1  # raise it when a change here changes a pixel: cached sets are then drawn anew

_DEJAVU = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
)
_STIX = tuple(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta"))
_COMPUTER_MODERN = ("cmb10", "cmmi10", "cmr10", "cmss10", "cmti10", "cmtt10")

_RASTER = 256  # px of the font, when its distance fields are measured
_FIELD = 64  # px of the field that is kept
_REACH = 0.9  # half the field's side, in units of the tallest or widest character
_CHUNK = 256  # images drawn at once
_KNOTS = 4  # the elastic distortion is a smooth surface through KNOTS x KNOTS random points

# Ranges of the random values. Lengths are shares of the image side, stroke in px of a 28 px image.
_ROTATION = math.radians(12)
_SLANT = 0.22
_SCALE = (0.6, 0.76)
_ASPECT = 0.13
_STROKE = (0.1, 0.8)
_SHIFT = 0.05
_ELASTIC = 0.03
_NUMBERS = 8 + 2 * _KNOTS * _KNOTS  # random values per image


class GlyphsData(DataSection):
    """Images drawn by our own code from (seed, index), cached in the user's cache folder."""

    kind: Literal["glyphs"] = "glyphs"
    characters: Annotated[str, Field(min_length=1)] = "0123456789"  # one class each
    train_count: Drawn = 10_000
    test_count: Drawn = 2_000
    seed: int = 0
    channels: Literal[1, 3] = 1

    @model_validator(mode="after")
    def _can_be_drawn(self) -> GlyphsData:
        if len(set(self.characters)) != len(self.characters):
            raise ValueError(f"characters must all differ, got {self.characters!r}")
        assert self.side
        return self

    def open(self, split: str) -> MemoryRows:
        """The train or test part, drawn once and then read from the user's cache folder."""
        check_split("glyphs", split, ("train", "test"))
        count = self.train_count if split == "train" else self.test_count
        if split == "train" and self.limit is not None:
            count = min(count, self.limit)
        grey = _cached(self, split, count)
        pixels = torch.from_numpy(grey)[:, None].expand(-1, self.channels, -1, -1)  # (N, C, S, S)
        names = tuple(self.characters)
        labels = torch.arange(count) % len(names)
        return image_rows(f"synthetic:glyphs:{split}", pixels, labels, class_names=names)


READER = GlyphsData


def _cached(data: GlyphsData, split: str, count: int) -> NDArray[np.uint8]:
    path = cache_folder() / "glyphs" / _file_name(data, split, count)
    shape = (count, data.side, data.side)
    try:
        stored = np.load(path)
        if stored.shape == shape and stored.dtype == np.uint8:
            return stored
    except (OSError, ValueError, EOFError):
        pass  # not there yet, or cut short by a full disk: draw it
    drawn = draw(data.characters, data.side, data.seed, split, count).numpy()
    try:
        write_whole(path, lambda file: np.save(file, drawn))
    except OSError as error:
        log = logging.getLogger("genkit")
        log.warning("%s can't be written (%s): glyphs are drawn anew each time", path, error)
    return drawn


def _file_name(data: GlyphsData, split: str, count: int) -> str:
    import matplotlib

    # The faces come with matplotlib: another version may hold other outlines.
    what = f"{VERSION}/{matplotlib.__version__}/{data.characters}/{data.side}"
    return f"{split}-{count}-{random.key(data.seed, what):016x}.npy"


def draw(characters: str, size: int, seed: int, split: str, count: int) -> Tensor:
    """(count, size, size) uint8; image i shows characters[i % len(characters)]."""
    parts = [_draw_chunk(characters, size, seed, split, i) for i in range(0, count, _CHUNK)]
    return torch.cat(parts)[:count]


def _draw_chunk(characters: str, size: int, seed: int, split: str, first: int) -> Tensor:
    # Always a whole chunk: vectorised arithmetic may round a row otherwise at another place.
    fields = distance_fields(characters)  # (faces, characters, FIELD, FIELD)
    indices = torch.arange(first, first + _CHUNK)
    normal = random.rows(seed, f"glyphs/{split}", indices.tolist(), (_NUMBERS,))
    uniform = torch.special.ndtr(normal)
    face = (uniform[:, 0] * len(fields)).long().clamp_(max=len(fields) - 1)
    field = fields[face, indices % len(characters)][:, None]  # (B, 1, FIELD, FIELD)
    grid, scale = _warp(uniform, normal[:, 8:], size)
    depth = F.grid_sample(field, grid / _REACH, padding_mode="border", align_corners=False)
    stroke = _between(uniform[:, 1], *_STROKE) * size / 28
    ink = depth[:, 0] * scale[:, None, None] * size + stroke[:, None, None] + 0.5
    return ink.clamp_(0, 1).mul_(255).round_().to(torch.uint8)


def _warp(uniform: Tensor, bumps: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Where each pixel looks in its character's field (B, S, S, 2), and the scale (B,)."""
    angle = _between(uniform[:, 2], -_ROTATION, _ROTATION)
    slant = _between(uniform[:, 3], -_SLANT, _SLANT)
    scale = _between(uniform[:, 4], *_SCALE)
    stretch = torch.exp(_between(uniform[:, 5], -_ASPECT, _ASPECT))
    shift = _between(uniform[:, 6:8], -_SHIFT, _SHIFT)
    cos, sin = torch.cos(angle), torch.sin(angle)
    # Undo, in turn: rotation, slant (x moves with y), stretch of the width.
    inverse = (
        torch.stack(
            [(cos + slant * -sin) / stretch, (sin + slant * cos) / stretch, -sin, cos], dim=1
        ).view(-1, 2, 2)
        / scale[:, None, None]
    )
    axis = (torch.arange(size) + 0.5) / size - 0.5
    pixel = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1)  # (S, S, 2)
    knots = bumps.view(-1, 2, _KNOTS, _KNOTS).clamp(-1.6, 1.6) * _ELASTIC
    bent = F.interpolate(knots, size=(size, size), mode="bicubic", align_corners=True)
    moved = pixel - shift[:, None, None, :] + bent.permute(0, 2, 3, 1)  # (B, S, S, 2)
    return torch.einsum("bij,bhwj->bhwi", inverse, moved), scale


def _between(uniform: Tensor, low: float, high: float) -> Tensor:
    return low + (high - low) * uniform


# -- faces -----------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def distance_fields(characters: str) -> Tensor:
    """(faces, characters, 64, 64) float32: depth inside the ink, negative outside.

    The unit is about the height (or width, if larger) of the face's largest character.
    """
    faces = list(_faces(characters))
    if not faces:
        raise DataError(
            f"data.characters={characters!r}: no font of matplotlib has all of them; "
            "use letters, digits or common signs"
        )
    return torch.stack([_face_fields(path, characters) for path in faces])


def _faces(characters: str) -> Iterator[Path]:
    """Font files that have every one of the characters."""
    import matplotlib
    from matplotlib.ft2font import FT2Font

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    # Computer Modern has other signs at the places of punctuation.
    plain = characters.isascii() and characters.isalnum()
    for name in (*_DEJAVU, *_STIX, *(_COMPUTER_MODERN if plain else ())):
        path = folder / f"{name}.ttf"
        if path.is_file() and all(ord(c) in FT2Font(str(path)).get_charmap() for c in characters):
            yield path


def _face_fields(path: Path, characters: str) -> Tensor:
    font = ImageFont.truetype(str(path), _RASTER)
    inks = [_ink(font, c) for c in characters]
    if not all(ink.any() for ink in inks):
        raise DataError(f"data.characters={characters!r}: leave out characters without ink")
    largest = max(max(ink.shape) for ink in inks)
    # Half-way to one size for all: a small o differs from O, yet an old-style 0 isn't tiny.
    return torch.stack([_field(ink, math.sqrt(largest * max(ink.shape))) for ink in inks])


def _ink(font: ImageFont.FreeTypeFont, character: str) -> NDArray[np.bool_]:
    """One character as a mask, cropped to its ink."""
    side = 3 * _RASTER  # room for the widest character
    picture = Image.new("L", (side, side))
    ImageDraw.Draw(picture).text((side / 2, side / 2), character, 255, font, anchor="mm")
    return np.asarray(picture.crop(picture.getbbox() or (0, 0, 0, 0))) >= 128


def _field(ink: NDArray[np.bool_], unit: float) -> Tensor:
    from scipy.ndimage import distance_transform_edt  # slow to import

    side = round(2 * _REACH * unit / _FIELD) * _FIELD
    height, width = ink.shape
    top, left = (side - height) // 2, (side - width) // 2
    page = np.pad(ink, ((top, side - height - top), (left, side - width - left)))
    depth = (distance_transform_edt(page) - distance_transform_edt(~page)) / unit
    fine = torch.from_numpy(depth).float()[None]  # (1, side, side)
    return F.avg_pool2d(fine, side // _FIELD)[0]
