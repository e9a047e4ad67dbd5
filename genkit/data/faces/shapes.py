"""Parts of a picture and the polygons that show them."""

from __future__ import annotations

import math
from enum import IntEnum, auto
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genkit.data.faces.exact import Floats


class Part(IntEnum):
    """What a polygon shows; its number is what is drawn."""

    GROUND = 0
    PATTERN = auto()
    BACK_HAIR = auto()
    CLOTHES = auto()
    COLLAR = auto()
    NECK = auto()
    EAR = auto()
    EAR_HOLE = auto()
    SKIN = auto()
    CHEEK = auto()
    BEARD = auto()
    LIPS = auto()
    MOUTH = auto()
    TEETH = auto()
    TONGUE = auto()
    NOSE = auto()
    NOSTRIL = auto()
    EYE = auto()
    IRIS = auto()
    PUPIL = auto()
    GLINT = auto()
    LASHES = auto()
    BROW = auto()
    MUSTACHE = auto()
    FRAME = auto()
    LENS = auto()
    LENS_GLINT = auto()
    HAIR = auto()
    HAIR_GLOSS = auto()
    HAT = auto()
    HAT_BAND = auto()
    HAT_BRIM = auto()


class Polygon(NamedTuple):
    """One part of B faces.

    Attributes:
        part: What it shows.
        path: (B, N, 2), its corners in the picture.
        where: (B,), which faces have it; None = all.
    """

    part: Part
    path: NDArray[np.float64]
    where: NDArray[np.bool_] | None = None


def circle(count: int) -> tuple[Floats, Floats]:
    """(count,) points of the unit circle: x and y, from the right and downwards."""
    angles = [2 * math.pi * i / count for i in range(count)]
    # Rounded: the mathematics library of another system may differ in the last bit.
    x, y = ([round(f(a), 9) for a in angles] for f in (math.cos, math.sin))
    return np.array(x), np.array(y)


def line(count: int) -> Floats:
    """(count,) numbers from -1 to 1 at equal distances."""
    return np.array([round(2 * i / (count - 1) - 1, 9) for i in range(count)])


def there_and_back(upper: Floats, lower: Floats) -> Floats:
    """(B, 2 N): along one edge of a part and back along the other, (B, N) each."""
    return np.concatenate(np.broadcast_arrays(upper, lower[..., ::-1]), -1)


def joined(*paths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Paths (B, N, 2) one after the other."""
    return np.concatenate(paths, 1)
