"""How maps of parts become pictures: soft shading, ink on paper, or a poster of few colours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genkit.data.faces import colors
from genkit.data.faces.exact import Floats
from genkit.data.faces.parameters import Faces
from genkit.data.faces.raster import colored, covered
from genkit.data.faces.shapes import Part

Style = Literal["soft", "ink", "poster"]
Pictures = NDArray[np.uint8]  # (B, S, S, 3)
Floats32 = NDArray[np.float32]

_BODY = {Part.CLOTHES, Part.NECK, Part.COLLAR, Part.BACK_HAIR}  # lit less: it is not round
_UNLIT = {Part.GROUND, Part.PATTERN, Part.LENS, Part.LENS_GLINT, Part.PUPIL, Part.GLINT}


def _lit(part: int) -> int:
    return 0 if part in _UNLIT or part >= len(Part) else 96 if part in _BODY else 255


def _merged(part: int) -> int:
    """The part that ink draws no line towards."""
    alone = {Part.PATTERN: Part.GROUND, Part.CHEEK: Part.SKIN, Part.HAIR_GLOSS: Part.HAIR}
    alone |= {Part.IRIS: Part.EYE, Part.GLINT: Part.EYE, Part.PUPIL: Part.EYE}
    alone |= {Part.LENS_GLINT: Part.LENS, Part.TONGUE: Part.MOUTH, Part.LIPS: Part.SKIN}
    alone |= {Part.EAR_HOLE: Part.EAR, Part.BROW: Part.SKIN, Part.NOSTRIL: Part.NOSE}
    return alone.get(part, part)  # type: ignore[call-overload]


_LIT = [_lit(value) for value in range(256)]
_MERGED = [_merged(value) for value in range(256)]
_SHADE = np.float32(1 / 255)


def soft(maps: Sequence[Image.Image], faces: Faces, size: int) -> Pictures:
    """Colours, and light from one side on the head as on a ball."""
    flat = _flat(maps, colors.soft(faces), size)
    bright = _brightness(faces, size)[..., None] - 1
    lit = flat * (1 + bright * _share(maps, size))
    return _whole(lit * _tint(faces) * _from_above(size))


def ink(maps: Sequence[Image.Image], faces: Faces, size: int) -> Pictures:
    """Lines and grey washes on paper, with a wash where the light doesn't reach."""
    flat = _flat(maps, colors.ink(faces), size)
    shaded = flat * (1 - np.float32(0.14) * _shadow(faces, size) * _share(maps, size))
    lines = np.stack([covered(_lines(one), range(256), size) for one in maps])[..., None] * _SHADE
    return _whole(shaded * (1 - lines) + np.float32(26) * lines)


def poster(maps: Sequence[Image.Image], faces: Faces, size: int) -> Pictures:
    """Flat, loud colours in light and shadow."""
    flat = _flat(maps, colors.poster(faces), size)
    dark = np.array([0.34, 0.42, 0.22], np.float32)  # shadows are a little violet
    return _whole(flat * (1 - dark * _shadow(faces, size) * _share(maps, size)))


STYLES: dict[Style, Callable[[Sequence[Image.Image], Faces, int], Pictures]] = {
    "soft": soft,
    "ink": ink,
    "poster": poster,
}


def _flat(maps: Sequence[Image.Image], palettes: NDArray[np.uint8], size: int) -> Pictures:
    return np.stack([colored(one, palettes[i], size) for i, one in enumerate(maps)])


def _share(maps: Sequence[Image.Image], size: int) -> Floats32:
    """(B, S, S, 1): how much of each pixel the light on the head reaches."""
    shares: Floats32 = np.stack([covered(one, _LIT, size) for one in maps])[..., None] * _SHADE
    return shares


def _lines(drawn: Image.Image) -> Image.Image:
    """White where parts meet, on black."""
    parts = np.asarray(drawn.point(_MERGED))
    width = max(drawn.width // 90, 1)
    found = np.zeros(parts.shape, bool)
    half = width // 2
    found[:, half : half - width] |= parts[:, width:] != parts[:, :-width]
    found[half : half - width] |= parts[width:] != parts[:-width]
    return Image.fromarray(found.astype(np.uint8) * np.uint8(255))


def _brightness(faces: Faces, size: int) -> Floats32:
    """(B, S, S): how bright each pixel of a ball in the place of the head is, about 1."""
    strength = _column(faces.scene.light) * np.float32(0.62)
    facing = np.minimum(np.maximum(_facing(faces, size), 0), 1) - np.float32(0.78)
    return (1 + strength * facing).astype(np.float32, copy=False)


def _shadow(faces: Faces, size: int) -> Floats32:
    """(B, S, S, 1): 1 where the ball turns away from the light, 0 where it faces it."""
    away = (np.float32(0.5) - _facing(faces, size)) * np.float32(size / 8)
    edge: Floats32 = np.minimum(np.maximum(away, 0), 1)[..., None]
    return edge


def _facing(faces: Faces, size: int) -> Floats32:
    """(B, S, S): the cosine between the ball's surface and the light, nearly."""
    at = _across(size)[None]
    pose, who, scene = faces.pose, faces.identity, faces.scene
    x = ((at - _narrow(pose.x)) / _narrow(who.width))[:, None, :] * np.float32(0.84)
    y = ((at - _narrow(pose.y)) / _narrow(who.height))[:, :, None] * np.float32(0.84)
    z = np.sqrt(np.maximum(1 - x * x - y * y, np.float32(0.04)))
    right, down = _column(scene.light_x) * np.float32(0.7), _column(scene.light_y)
    facing = x * right + y * down * np.float32(0.5) + z * np.float32(0.72)
    return facing.astype(np.float32, copy=False)


def _tint(faces: Faces) -> Floats32:
    """(B, 1, 1, 3): the colour of the light."""
    warm = _column(faces.scene.warmth)[..., None]
    tint: Floats32 = 1 + warm * np.array([0.03, 0, -0.04], np.float32)
    return tint


def _from_above(size: int) -> Floats32:
    """(S, 1, 1): pictures are a little lighter at their top."""
    at = _across(size)
    return (1 - at * np.float32(0.05)).astype(np.float32, copy=False)[:, None, None]


def _across(size: int) -> Floats32:
    """(S,): where the middles of pixels lie, between -1 and 1."""
    return ((2 * np.arange(size) + 1) / size - 1).astype(np.float32)


def _narrow(values: Floats) -> Floats32:
    return values.astype(np.float32)[:, None]


def _column(values: Floats) -> Floats32:
    return values.astype(np.float32)[:, None, None]


def _whole(values: Floats32) -> Pictures:
    return np.minimum(np.maximum(np.floor(values + np.float32(0.5)), 0), 255).astype(np.uint8)
