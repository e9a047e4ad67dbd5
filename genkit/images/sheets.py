"""Sheets of pictures for people: in rows, with names beside them and words above.

The pictures' own pixels stay as they are, at most enlarged by a whole factor; words stand in
margins. Where there are no words, a sheet is what `grid` makes.

Legend: N pictures, C channels, H W height and width in px.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from genkit.images import to_pil

_GAP = 2  # px between pictures, before they are enlarged
_LEAST, _MOST = 11, 40  # px of letters: a quarter of a picture's height within these
_LETTERS_OF_A_LINE = 24  # of a sentence
_LONGEST = 14  # times the height of the letters: as wide as a name may be
_INK: dict[str, int | tuple[int, ...]] = {
    "L": 60,
    "LA": (60, 255),
    "RGB": (60, 60, 60),
    "RGBA": (60, 60, 60, 255),
}


@dataclass(frozen=True)
class Line:
    """Pictures side by side.

    Attributes:
        images: (N, C, H, W) uint8, of the same size in all lines of a sheet.
        name: Written to their left, in one or more lines; the same as above it is not repeated.
        above: Words above each of the pictures, or none.
    """

    images: Tensor
    name: str = ""
    above: Sequence[str] = ()


def lines_of(images: Tensor, columns: int | None, names: Sequence[str] | None = None) -> list[Line]:
    """Pictures in lines of so many: each name begins a line of its own.

    Args:
        images: (N, C, H, W) uint8.
        columns: Pictures in a line, at most; None = all of one name, or a square without names.
        names: N words, or None.
    """
    named = names or [""] * len(images)
    side = max(1, round(len(images) ** 0.5)) if names is None else len(images)
    lines: list[Line] = []
    begin = 0
    for name, run in groupby(named):
        end = begin + len(list(run))
        step = columns or side
        lines += [Line(images[i : min(i + step, end)], name) for i in range(begin, end, step)]
        begin = end
    return lines


def sheet(
    lines: Sequence[Line], *, scale: int = 1, title: str = "", letters: int | None = None
) -> Image.Image:
    """All lines below each other; where that is a tall strip of named ones, in parts side by side.

    Args:
        lines: At least one.
        scale: How many times the pictures are enlarged.
        title: Words above all.
        letters: Height of letters in px; None = a quarter of a picture's, within limits.
    """
    drawer = _Drawer(lines, scale, letters)
    width, height = drawer.size(lines)
    parts = 1
    if any(line.name for line in lines) and height > 2 * width:
        parts = round((height / width) ** 0.5)
    each = -(-len(lines) // parts)
    drawn = [drawer.panel(lines[i : i + each]) for i in range(0, len(lines), each)]
    top = drawer.letters + 2 * drawer.gap if title else 0
    whole = Image.new(
        drawer.mode,
        (sum(one.width for one in drawn), top + max(one.height for one in drawn)),
        "white",
    )
    left = 0
    for one in drawn:
        whole.paste(one, (left, top))
        left += one.width
    if title:
        drawer.write(whole, (drawer.gap, drawer.gap), title, whole.width - drawer.gap)
    return whole


def in_lines(text: str) -> str:
    """A sentence as a name of several lines, so that all of it fits beside pictures."""
    return textwrap.fill(text, _LETTERS_OF_A_LINE)


def word_for(number: int, names: Sequence[str] | None) -> str:
    """What a sheet calls a class: its name, or its number where it has none that can be drawn."""
    name = "" if names is None else _drawable(names[number])
    return name or f"class {number}"


def _drawable(text: str) -> str:
    """A text in the letters of Pillow's own font, those of English; "" where it has others."""
    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return plain if plain.isascii() and plain.isprintable() else ""


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


class _Drawer:
    """Where things lie on a sheet: margins, gaps and the height of letters."""

    def __init__(self, lines: Sequence[Line], scale: int, letters: int | None = None) -> None:
        _, _, height, width = lines[0].images.shape
        self.scale, self.gap = scale, _GAP * scale
        self.width, self.height = width * scale, height * scale
        self.mode = to_pil(lines[0].images[0]).mode
        self.letters = letters or min(max(self.height // 4, _LEAST), _MOST)
        self.font = _font(self.letters)
        words = [word for line in lines for word in line.name.splitlines()]
        longest = max((self._length(word) for word in words), default=0)
        self.margin = min(longest, _LONGEST * self.letters) + 2 * self.gap if longest else 0

    def size(self, lines: Sequence[Line]) -> tuple[int, int]:
        """Width and height of lines below each other."""
        columns = max(len(line.images) for line in lines)
        width = self.margin + columns * (self.width + self.gap) + self.gap
        return width, sum(map(self._height, lines)) + self.gap

    def panel(self, lines: Sequence[Line]) -> Image.Image:
        """Lines below each other."""
        drawn = Image.new(self.mode, self.size(lines), "white")
        top, before = self.gap, ""
        for line in lines:
            if line.name and line.name != before:
                place = (self.gap, top + self._above(line))
                self.write(drawn, place, line.name, self.margin - 2 * self.gap)
            before = line.name
            for i, image in enumerate(line.images.cpu()):
                left = self.margin + self.gap + i * (self.width + self.gap)
                if i < len(line.above):
                    self.write(drawn, (left, top), line.above[i], self.width + self.gap)
                big = to_pil(image).resize((self.width, self.height), Image.Resampling.NEAREST)
                drawn.paste(big, (left, top + self._above(line)))
            top += self._height(line)
        return drawn

    def write(self, on: Image.Image, at: tuple[int, int], text: str, width: int) -> None:
        """Words from a corner on, each of their lines cut to a width."""
        cut = "\n".join(self._cut(line, width) for line in text.splitlines())
        ImageDraw.Draw(on).multiline_text(
            at, cut, fill=_INK[self.mode], font=self.font, spacing=self.letters // 4
        )

    def _height(self, line: Line) -> int:
        """Of a line with what is above it and the gap below."""
        words = len(line.name.splitlines()) * (self.letters + self.letters // 4)
        return self._above(line) + max(self.height, words) + self.gap

    def _above(self, line: Line) -> int:
        return self.letters + self.letters // 4 + 1 if any(line.above) else 0

    def _cut(self, text: str, width: int) -> str:
        if self._length(text) <= width:
            return text
        while text and self._length(f"{text}..") > width:
            text = text[:-1]
        return f"{text}.." if text else ""

    def _length(self, text: str) -> int:
        return -int(-self.font.getlength(text) // 1)
