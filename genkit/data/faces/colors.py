"""Colours of parts: as they are in soft pictures, in ink and on posters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from genkit.data.faces.exact import Floats, Ints
from genkit.data.faces.parameters import Faces
from genkit.data.faces.shapes import Part

Color = tuple[int, int, int]
Colors = NDArray[np.uint8]  # (B, 3)
Table = Sequence[Color]

_DARK, _BROWN, _WHITE = (24, 14, 14), (52, 22, 10), (255, 255, 255)
_DARKER = 148  # of 256: how light facial hair may be, as a share of the skin's lightness


# In the order of skins, irises, hair (black, blond, brown, red, grey), cloth and grounds.
_SOFT: Mapping[str, Table] = {
    "skin": (
        *((252, 224, 204), (245, 206, 176), (232, 184, 148)),
        *((214, 162, 122), (188, 134, 96), (160, 110, 76)),
    ),
    "iris": ((96, 60, 36), (58, 110, 176), (62, 136, 84), (116, 122, 134)),
    "hair": ((40, 36, 42), (242, 208, 112), (122, 74, 42), (212, 92, 42), (196, 198, 204)),
    "cloth": (
        *((202, 66, 66), (62, 104, 178), (56, 146, 102)),
        *((238, 238, 242), (76, 78, 94), (234, 174, 66)),
    ),
    "ground": (
        *((148, 198, 232), (244, 216, 150), (176, 218, 168), (240, 180, 174)),
        *((200, 184, 230), (160, 214, 208), (226, 228, 232), (122, 140, 170)),
    ),
}
_POSTER: Mapping[str, Table] = {
    "skin": (
        *((255, 234, 208), (255, 206, 160), (244, 174, 116)),
        *((220, 140, 86), (182, 104, 66), (146, 78, 54)),
    ),
    "iris": ((96, 40, 30), (30, 110, 220), (20, 150, 90), (110, 120, 150)),
    "hair": ((26, 24, 66), (255, 212, 44), (126, 46, 44), (244, 84, 40), (190, 200, 222)),
    "cloth": (
        *((226, 40, 60), (36, 84, 214), (20, 158, 104)),
        *((250, 246, 236), (62, 56, 92), (255, 170, 30)),
    ),
    "ground": (
        *((64, 176, 246), (255, 176, 56), (140, 206, 72), (248, 104, 132)),
        *((146, 108, 228), (52, 204, 184), (238, 232, 220), (52, 66, 146)),
    ),
}


def soft(faces: Faces) -> NDArray[np.uint8]:
    """(B, P, 3): the colours of parts without light and shadow, a little different each time."""
    who, wear, scene = faces.identity, faces.wear, faces.scene
    skin = _toned(_SOFT["skin"], who.skin, who.tone, 5)
    hair = _toned(_SOFT["hair"], who.hair, who.tone, 5)
    ground = _toned(_SOFT["ground"], scene.ground, scene.ground_tone, 8)
    cloth, hat = (_of(_SOFT["cloth"], n) for n in (wear.clothes_color, wear.hat_color))
    found = _everything(skin, hair, ground, cloth, hat, _of(_SOFT["iris"], who.iris))
    return np.stack([found[part] for part in Part], 1)


def poster(faces: Faces) -> NDArray[np.uint8]:
    """(B, P, 3): loud colours, the same for all faces of one kind."""
    who, wear, scene = faces.identity, faces.wear, faces.scene
    skin, hair = _of(_POSTER["skin"], who.skin), _of(_POSTER["hair"], who.hair)
    ground = _of(_POSTER["ground"], scene.ground)
    cloth, hat = (_of(_POSTER["cloth"], n) for n in (wear.clothes_color, wear.hat_color))
    found = _everything(skin, hair, ground, cloth, hat, _of(_POSTER["iris"], who.iris))
    found[Part.LIPS] = found[Part.TONGUE] = _all(faces, (226, 40, 76))
    found[Part.MOUTH] = _all(faces, (92, 10, 44))
    found[Part.NOSE] = _mixed(skin, (226, 40, 60), 60)
    found[Part.CHEEK] = _mixed(skin, (255, 60, 90), 110)
    return np.stack([found[part] for part in Part], 1)


def ink(faces: Faces) -> NDArray[np.uint8]:
    """(B, P, 3): greys of a wash on paper, which shows neither ground nor hue."""
    who = faces.identity
    hair = _of([(c, c, c) for c in (40, 226, 100, 146, 186)], who.hair)
    skin = _of([(c, c, c) for c in (252, 246, 236, 222, 204, 186)], who.skin)
    tints = [(c, c, c) for c in (120, 96, 140, 246, 74, 196)]
    cloth, hat = (_of(tints, n) for n in (faces.wear.clothes_color, faces.wear.hat_color))
    paper, black = _all(faces, (252, 252, 252)), _all(faces, (30, 30, 30))
    found = _everything(skin, hair, paper, cloth, hat, _all(faces, (110, 110, 110)))
    found |= dict.fromkeys((Part.CHEEK, Part.NOSE, Part.EAR), skin)
    found |= dict.fromkeys((Part.MOUTH, Part.NOSTRIL, Part.LASHES, Part.FRAME), black)
    found |= {Part.PATTERN: paper, Part.LIPS: _mixed(skin, (60, 60, 60), 110)}
    found |= {Part.TONGUE: _all(faces, (130, 130, 130)), Part.LENS_GLINT: _all(faces, (150,) * 3)}
    grey = np.stack([found[part] for part in Part], 1).astype(np.int64)
    mean = (grey * np.array([77, 151, 28])).sum(2, keepdims=True) // 256
    return np.concatenate([mean, mean, mean], 2).astype(np.uint8)


def _everything(
    skin: Colors, hair: Colors, ground: Colors, cloth: Colors, hat: Colors, iris: Colors
) -> dict[Part, Colors]:
    facial = _on_skin(_mixed(hair, _DARK, 90), skin)
    white = np.broadcast_to(np.array(_WHITE, np.uint8), skin.shape)

    def all_(*color: int) -> Colors:
        return np.broadcast_to(np.array(color, np.uint8), skin.shape)

    return {
        Part.GROUND: ground,
        Part.PATTERN: _mixed(ground, _WHITE, 90),
        Part.BACK_HAIR: _mixed(hair, (30, 10, 20), 60),
        Part.CLOTHES: cloth,
        Part.COLLAR: _mixed(cloth, (30, 20, 50), 60),
        Part.NECK: _mixed(skin, (120, 40, 40), 60),
        Part.EAR: _mixed(skin, (200, 70, 60), 30),
        Part.EAR_HOLE: _mixed(skin, (130, 40, 40), 90),
        Part.SKIN: skin,
        Part.CHEEK: _mixed(skin, (236, 72, 80), 104),
        Part.BEARD: facial,
        Part.LIPS: _mixed(skin, (196, 40, 62), 150),
        Part.MOUTH: all_(86, 20, 30),
        Part.TEETH: all_(252, 250, 246),
        Part.TONGUE: all_(236, 120, 120),
        Part.NOSE: _mixed(skin, (206, 84, 60), 64),
        Part.NOSTRIL: _mixed(skin, (90, 20, 20), 150),
        Part.EYE: all_(252, 252, 252),
        Part.IRIS: iris,
        Part.PUPIL: all_(18, 16, 20),
        Part.GLINT: white,
        Part.LASHES: all_(44, 24, 24),
        Part.BROW: facial,
        Part.MUSTACHE: facial,
        Part.FRAME: all_(30, 28, 44),
        Part.LENS: all_(22, 24, 32),
        Part.LENS_GLINT: all_(104, 116, 138),
        Part.HAIR: hair,
        Part.HAIR_GLOSS: _mixed(hair, _WHITE, 46),
        Part.HAT: hat,
        Part.HAT_BAND: _mixed(hat, (30, 20, 50), 90),
        Part.HAT_BRIM: _mixed(hat, (30, 20, 50), 44),
    }


def _on_skin(colors: Colors, skin: Colors) -> Colors:
    """Colours with as much dark brown as they need to be seen on the skin."""
    brown = np.array([_BROWN], np.uint8)
    light, least = _lightness(colors), _lightness(brown)
    over = np.maximum(0, light - _lightness(skin) * _DARKER // 256)
    share = np.minimum(256, over * 256 // np.maximum(1, light - least))[:, None]
    mixed = colors.astype(np.int64) * (256 - share) + brown.astype(np.int64) * share
    return (mixed // 256).astype(np.uint8)


def _lightness(colors: Colors) -> Ints:
    wide = colors.astype(np.int64)
    return (77 * wide[:, 0] + 151 * wide[:, 1] + 28 * wide[:, 2]) // 256


def _of(colors: Table, number: Ints) -> Colors:
    return np.array(colors, np.uint8)[number]


def _toned(colors: Table, number: Ints, tone: Floats, reach: int) -> Colors:
    shifted = np.array(colors, np.float64)[number] + np.floor(tone * reach)[:, None]
    return np.minimum(np.maximum(shifted, 0), 255).astype(np.uint8)


def _mixed(colors: Colors, with_: Color, share: int) -> Colors:
    """So many parts of 256 of another colour."""
    mixed = colors.astype(np.int64) * (256 - share) + np.array(with_) * share
    return (mixed // 256).astype(np.uint8)


def _all(faces: Faces, color: Sequence[int]) -> Colors:
    return np.broadcast_to(np.array(color, np.uint8), (len(faces), 3))
