"""Polygons become maps of parts, and maps of parts become pictures of any palette."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from genkit.data.faces.shapes import Polygon

FINEST = 256  # px of the side that a picture is drawn at before it is made smaller, if it can be


def factor(size: int) -> int:
    """How many times larger than (S, S) px parts are drawn, whose mean a pixel then is."""
    return max(FINEST // size, 4)


def maps(polygons: Sequence[Polygon], size: int) -> Iterator[Image.Image]:
    """The map of each face: a picture in mode L whose values are numbers of parts.

    Args:
        polygons: Of B faces, back to front.
        size: S of the picture that it is for; the map is `factor` times as large.
    """
    side = size * factor(size)
    paths = [_rounded(polygon.path, side) for polygon in polygons]
    for face in range(len(paths[0])):
        drawn = Image.new("L", (side, side))
        draw = ImageDraw.Draw(drawn)
        for polygon, path in zip(polygons, paths, strict=True):
            if polygon.where is None or polygon.where[face]:
                draw.polygon(cast(Any, path[face]), fill=int(polygon.part))
        yield drawn


def _rounded(path: NDArray[np.float64], side: int) -> NDArray[np.float32]:
    """Corners in px of the map as Pillow takes them, each in the middle of a pixel."""
    return np.ascontiguousarray(np.floor((path + 1) * (side / 2)), dtype=np.float32)


def colored(drawn: Image.Image, palette: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """A map as a picture (S, S, 3), each pixel the mean of what it covers.

    Args:
        drawn: The map.
        palette: (P, 3), a colour for each part.
        size: S.
    """
    picture = drawn.copy()
    picture.putpalette(palette.tobytes())
    return np.asarray(picture.convert("RGB").reduce(drawn.width // size))


def covered(drawn: Image.Image, table: Sequence[int], size: int) -> NDArray[np.uint8]:
    """The mean (S, S) of what a table of 256 values says of the parts that each pixel covers."""
    return np.asarray(drawn.point(table).reduce(drawn.width // size))
