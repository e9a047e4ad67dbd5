"""How parts look: soft shading, ink on paper, or a poster of few colours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genkit.data.faces.exact import Floats, Ints
from genkit.data.faces.parameters import Faces
from genkit.data.faces.raster import colored, covered
from genkit.data.faces.shapes import Part

Style = Literal["soft", "ink", "poster"]
Color = tuple[int, int, int]

_SKIN = [
    (250, 222, 200),
    (244, 203, 172),
    (228, 178, 140),
    (207, 152, 112),
    (176, 120, 84),
    (141, 92, 62),
]
_HAIR = [(38, 34, 40), (240, 205, 110), (118, 70, 38), (205, 88, 40), (188, 190, 196)]
_IRIS = [(92, 58, 34), (66, 110, 168), (70, 130, 84), (120, 120, 128)]
_CLOTHES = [
    (196, 62, 62),
    (60, 98, 168),
    (58, 140, 96),
    (236, 236, 240),
    (70, 70, 82),
    (230, 170, 60),
]
_GROUND = [
    (150, 196, 226),
    (242, 214, 148),
    (178, 216, 170),
    (238, 178, 172),
    (198, 182, 226),
    (168, 214, 208),
    (224, 226, 230),
    (120, 136, 164),
]

_HEAD = {
    Part.SKIN,
    Part.CHEEK,
    Part.EAR,
    Part.EAR_HOLE,
    Part.BEARD,
    Part.LIPS,
    Part.NOSE,
    Part.NOSTRIL,
    Part.MUSTACHE,
    Part.HAIR,
    Part.HAT,
    Part.HAT_BAND,
    Part.BROW,
    Part.LASHES,
    Part.EYE,
}
_BODY = {Part.CLOTHES, Part.NECK, Part.COLLAR, Part.BACK_HAIR}
_SHADED = [255 if value in _HEAD else 90 if value in _BODY else 0 for value in range(256)]


def soft_palette(faces: Faces) -> NDArray[np.uint8]:
    """(B, P, 3): the colours of parts without light and shadow."""
    who, wear, scene = faces.identity, faces.wear, faces.scene
    skin = _toned(_SKIN, who.skin, who.tone, 6)
    hair = _toned(_HAIR, who.hair, who.tone, 6)
    ground = _toned(_GROUND, scene.ground, scene.ground_tone, 8)
    clothes = _toned(_CLOTHES, wear.clothes_color, who.tone, 0)
    cloth = _toned(_CLOTHES, wear.hat_color, who.tone, 0)
    found = {
        Part.GROUND: ground,
        Part.PATTERN: _mixed(ground, (255, 255, 255), 0.3),
        Part.BACK_HAIR: _mixed(hair, (0, 0, 0), 0.25),
        Part.CLOTHES: clothes,
        Part.COLLAR: _mixed(clothes, (0, 0, 0), 0.25),
        Part.NECK: _mixed(skin, (90, 30, 20), 0.2),
        Part.EAR: _mixed(skin, (200, 80, 60), 0.1),
        Part.EAR_HOLE: _mixed(skin, (120, 40, 30), 0.35),
        Part.SKIN: skin,
        Part.CHEEK: _mixed(skin, (236, 90, 90), 0.3),
        Part.BEARD: _mixed(hair, (30, 15, 10), 0.3),
        Part.LIPS: _mixed(skin, (200, 50, 70), 0.55),
        Part.MOUTH: _all(faces, (88, 24, 32)),
        Part.TEETH: _all(faces, (252, 250, 246)),
        Part.TONGUE: _all(faces, (222, 104, 104)),
        Part.NOSE: _mixed(skin, (200, 80, 60), 0.22),
        Part.NOSTRIL: _mixed(skin, (90, 20, 20), 0.6),
        Part.EYE: _all(faces, (252, 252, 252)),
        Part.IRIS: _table(_IRIS, who.iris),
        Part.PUPIL: _all(faces, (18, 16, 20)),
        Part.GLINT: _all(faces, (255, 255, 255)),
        Part.LASHES: _all(faces, (40, 24, 24)),
        Part.BROW: _mixed(hair, (30, 15, 10), 0.35),
        Part.MUSTACHE: _mixed(hair, (30, 15, 10), 0.35),
        Part.FRAME: _all(faces, (30, 30, 46)),
        Part.LENS: _all(faces, (24, 26, 34)),
        Part.LENS_GLINT: _all(faces, (110, 120, 140)),
        Part.HAIR: hair,
        Part.HAIR_GLOSS: _mixed(hair, (255, 255, 255), 0.2),
        Part.HAT: cloth,
        Part.HAT_BAND: _mixed(cloth, (20, 20, 30), 0.35),
    }
    return np.stack([found[part] for part in Part], 1)


def soft(maps: Sequence[Image.Image], faces: Faces, size: int) -> NDArray[np.uint8]:
    """Pictures (B, S, S, 3): colours, and light from one side on the head as on a ball."""
    palette = soft_palette(faces)
    flat = np.stack([colored(one, palette[i], size) for i, one in enumerate(maps)])
    share = np.stack([covered(one, _SHADED, size) for one in maps])[..., None]
    bright = _light(faces, size)[..., None] - 1
    lit = flat * (1 + bright * (share * np.float32(1 / 255)))
    return _whole(lit)


def ink(maps: Sequence[Image.Image], faces: Faces, size: int) -> NDArray[np.uint8]:
    """Pictures (B, S, S, 3): lines and grey washes on paper."""
    palette = soft_palette(faces)
    grey = (palette.astype(np.int64) * [77, 151, 28]).sum(2) // 256
    wash = 255 - (255 - grey) * 3 // 5
    paper = {Part.GROUND, Part.PATTERN, Part.EYE, Part.TEETH, Part.GLINT, Part.SKIN, Part.CHEEK}
    dark = {Part.PUPIL, Part.LENS, Part.FRAME, Part.LASHES, Part.BROW, Part.MOUTH, Part.NOSTRIL}
    for part in Part:
        wash[:, part] = 250 if part in paper else 30 if part in dark else wash[:, part]
    colors = np.stack([wash, wash, wash], 2).astype(np.uint8)
    pictures = []
    for i, one in enumerate(maps):
        picture = colored(one, colors[i], size).astype(np.float32)
        line = covered(_lines(one), range(256), size)[..., None] * np.float32(1 / 255)
        pictures.append(_whole(picture * (1 - line) + 28 * line))
    return np.stack(pictures)


def poster(maps: Sequence[Image.Image], faces: Faces, size: int) -> NDArray[np.uint8]:
    """Pictures (B, S, S, 3): flat, loud colours."""
    palette = soft_palette(faces).astype(np.int64)
    loud = (palette + 32) // 64 * 64
    colors = np.minimum(loud, 255).astype(np.uint8)
    return np.stack([colored(one, colors[i], size) for i, one in enumerate(maps)])


STYLES: dict[Style, Callable[[Sequence[Image.Image], Faces, int], NDArray[np.uint8]]] = {
    "soft": soft,
    "ink": ink,
    "poster": poster,
}


def _lines(drawn: Image.Image) -> Image.Image:
    """White where parts meet, on black."""
    parts = np.asarray(drawn)
    width = max(drawn.width // 128, 1)
    found = np.zeros(parts.shape, bool)
    found[:, width:] |= parts[:, width:] != parts[:, :-width]
    found[width:] |= parts[width:] != parts[:-width]
    return Image.fromarray(found.astype(np.uint8) * np.uint8(255))


def _light(faces: Faces, size: int) -> NDArray[np.float32]:
    """(B, S, S): how bright each pixel of a ball in the place of the head is."""
    at = ((np.arange(size, dtype=np.float32) * 2 + 1) / size - 1)[None]
    x = (at - _f32(faces.pose.x)[:, None]) / _f32(faces.identity.width)[:, None]
    y = (at - _f32(faces.pose.y)[:, None]) / _f32(faces.identity.height)[:, None]
    x, y = x[:, None, :] * np.float32(0.8), y[:, :, None] * np.float32(0.8)
    scene = faces.scene
    side, above = _f32(scene.light_x)[:, None, None], _f32(scene.light_y)[:, None, None]
    z = np.sqrt(np.maximum(1 - x * x - y * y, np.float32(0.05)))
    facing = x * side * np.float32(0.6) + y * above * np.float32(0.6) + z * np.float32(0.7)
    strength = _f32(scene.light)[:, None, None] * np.float32(0.5)
    shadow = np.minimum(np.maximum(facing, 0), 1) - np.float32(0.75)
    bright: NDArray[np.float32] = np.add(1, strength * shadow, dtype=np.float32)
    return bright


def _f32(values: Floats) -> NDArray[np.float32]:
    return values.astype(np.float32)


def _whole(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.minimum(np.maximum(np.floor(values + np.float32(0.5)), 0), 255).astype(np.uint8)


def _table(colors: Sequence[Color], number: Ints) -> NDArray[np.uint8]:
    return np.array(colors, np.uint8)[number]


def _toned(colors: Sequence[Color], number: Ints, tone: Floats, reach: int) -> NDArray[np.uint8]:
    shifted = np.array(colors, np.float64)[number] + np.floor(tone * reach)[:, None]
    return np.minimum(np.maximum(shifted, 0), 255).astype(np.uint8)


def _mixed(colors: NDArray[np.uint8], with_: Color, share: float) -> NDArray[np.uint8]:
    part = round(share * 256)
    mixed = colors.astype(np.int64) * (256 - part) + np.array(with_) * part
    return (mixed // 256).astype(np.uint8)


def _all(faces: Faces, color: Color) -> NDArray[np.uint8]:
    return np.broadcast_to(np.array(color, np.uint8), (len(faces), 3))
