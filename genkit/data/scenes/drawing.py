"""Scenes as pictures: antialiased shapes, lightly shaded, on a ground that is shaded too.

Legend: S side of the picture in px.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from genkit import random
from genkit.data.scenes.things import Color, Ground, Scene, Shape, Thing

_RGB: dict[Color | Ground, tuple[int, int, int]] = {
    "red": (215, 38, 40),
    "orange": (250, 145, 30),
    "yellow": (247, 222, 45),
    "green": (45, 160, 70),
    "blue": (45, 90, 215),
    "purple": (130, 60, 180),
    "pink": (245, 140, 195),
    "brown": (130, 80, 42),
    "white": (248, 248, 248),
    "grey": (150, 150, 150),
    "black": (24, 24, 24),
    "cream": (238, 220, 180),
}
_FINEST = 256  # px of the side that shapes are filled at before they are made smaller
_JITTER = 10  # levels of 255 that a colour is off by, at most
_SHADE, _GROUND_SHADE = 0.16, 0.06  # of a colour, from the middle of a thing or picture to its edge

_Path = Sequence[tuple[float, float]]  # corners, for a thing of radius 1 that is not turned


def picture(scene: Scene, size: int, seed: int, part: str, index: int) -> NDArray[np.uint8]:
    """The picture (3, S, S) of a scene, whatever other scenes are drawn.

    Args:
        scene: What it shows.
        size: S.
        seed: Names the world.
        part: Such as "train".
        index: Of the scene; it names shades and small differences of colour.
    """
    drawn = Random(random.key(seed, f"shades/{part}", index))
    ramps = (np.arange(size) + 0.5) / size
    found = _paint(drawn, scene.ground, _GROUND_SHADE, (0.5, 0.5), 0.5, ramps)
    for thing in scene.things:
        paint = _paint(drawn, thing.color, _SHADE, (thing.x, thing.y), thing.radius, ramps)
        found = found + _covered(thing, size)[:, :, None] * (paint - found)
    pixels = np.floor(np.clip(found, 0, 255) + 0.5).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _paint(
    drawn: Random,
    color: Color | Ground,
    shade: float,
    middle: tuple[float, float],
    radius: float,
    ramps: NDArray[np.float64],
) -> NDArray[np.float64]:
    """A colour (S, S, 3) that grows lighter one way and darker the other."""
    levels = np.array([c + _JITTER * (2 * drawn.random() - 1) for c in _RGB[color]])
    right, down = (shade * (2 * drawn.random() - 1) / radius for _ in range(2))
    light = 1 + (right * (ramps - middle[0]))[None, :] + (down * (ramps - middle[1]))[:, None]
    return light[:, :, None] * levels


def _covered(thing: Thing, size: int) -> NDArray[np.float64]:
    """How much of each pixel a thing covers: (S, S) in [0, 1]."""
    factor = max(_FINEST // size, 4)
    side = size * factor
    mask = Image.new("L", (side, side))
    draw = ImageDraw.Draw(mask)
    for path, fill in _SHAPES[thing.shape]:
        draw.polygon(_placed(path, thing, side), fill=fill)
    return np.asarray(mask.reduce(factor), dtype=np.float64) / 255


def _placed(path: _Path, thing: Thing, side: int) -> list[tuple[float, float]]:
    """Corners in px, each in the middle of one, so that nothing hangs on a last bit."""
    cos, sin = math.cos(thing.turn) * thing.radius, math.sin(thing.turn) * thing.radius
    return [
        (
            math.floor((thing.x + cos * x - sin * y) * side),
            math.floor((thing.y + sin * x + cos * y) * side),
        )
        for x, y in path
    ]


# -- shapes, each as polygons that are filled (255) or cut out (0) ---------------------------------


def _round(radius: float, x: float = 0.0, y: float = 0.0, corners: int = 64) -> _Path:
    angles = (2 * math.pi * i / corners for i in range(corners))
    return [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles]


def _star(points: int = 5, inner: float = 0.42) -> _Path:
    angles = [math.pi * i / points - math.pi / 2 for i in range(2 * points)]
    lengths = [1.0, inner] * points
    return [(r * math.cos(a), r * math.sin(a)) for r, a in zip(lengths, angles, strict=True)]


def _heart(corners: int = 64) -> _Path:
    """x = 16 sin^3 t, y = 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t, brought to radius 1."""
    path = []
    for i in range(corners):
        t = 2 * math.pi * i / corners
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        path.append((16 * math.sin(t) ** 3 / 18, -(y + 2.5) / 18))
    return path


def _cross(half: float = 0.3) -> _Path:
    a, b = half, 0.95
    return [(-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a),
            (a, b), (-a, b), (-a, a), (-b, a), (-b, -a), (-a, -a)]  # fmt: skip


_HALF = math.sqrt(0.5)
_SHAPES: dict[Shape, list[tuple[_Path, int]]] = {
    "circle": [(_round(0.88), 255)],
    "square": [([(-_HALF, -_HALF), (_HALF, -_HALF), (_HALF, _HALF), (-_HALF, _HALF)], 255)],
    "triangle": [([(0, -1), (0.87, 0.5), (-0.87, 0.5)], 255)],
    "star": [(_star(), 255)],
    "ring": [(_round(0.95), 255), (_round(0.5), 0)],
    "cross": [(_cross(), 255)],
    "heart": [(_heart(), 255)],
    "moon": [(_round(0.95), 255), (_round(0.78, 0.45, -0.2), 0)],
}
