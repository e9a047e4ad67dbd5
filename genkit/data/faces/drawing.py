"""Many faces at once: pictures, landmarks, masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genkit.data.faces.head import Head
from genkit.data.faces.landmarks import places, uncovered
from genkit.data.faces.parameters import Faces
from genkit.data.faces.parts import polygons
from genkit.data.faces.raster import covered, maps
from genkit.data.faces.shapes import Part
from genkit.data.faces.styles import STYLES, Style

CHUNK = 64  # faces drawn at once

_FACE = {
    *(Part.SKIN, Part.CHEEK, Part.BEARD, Part.LIPS, Part.MOUTH, Part.TEETH, Part.TONGUE),
    *(Part.NOSE, Part.NOSTRIL, Part.EYE, Part.IRIS, Part.PUPIL, Part.GLINT, Part.LASHES),
    *(Part.BROW, Part.MUSTACHE),
}
_HAIR = {Part.BACK_HAIR, Part.HAIR, Part.HAIR_GLOSS}
MASKS = {
    "face_mask": [255 * (value in _FACE) for value in range(256)],
    "hair_mask": [255 * (value in _HAIR) for value in range(256)],
}


@dataclass(frozen=True)
class Drawn:
    """What was drawn of B faces.

    Attributes:
        pictures: (B, 3, S, S) uint8 in each style.
        landmarks: (B, 68, 2) float32, x and y in px.
        visible: (B, 68) uint8, 1 = the landmark can be seen.
        masks: "face_mask" and "hair_mask", (B, 1, S, S) uint8 in {0, 1}: the skin of the face with
            all that is on it but glasses, and the hair without beard and eyebrows, as far as they
            are seen.
    """

    pictures: dict[Style, NDArray[np.uint8]]
    landmarks: NDArray[np.float32]
    visible: NDArray[np.uint8]
    masks: dict[str, NDArray[np.uint8]]


def draw(
    faces: Faces,
    size: int,
    styles: Sequence[Style] = ("soft",),
    *,
    masks: bool = False,
    tell: Callable[[int], object] = lambda count: None,
) -> Drawn:
    """Pictures of B faces and the truth about them; each is the same whatever the others are.

    Args:
        faces: The faces.
        size: S, the side of the pictures in px.
        styles: Which pictures of each.
        masks: Whether masks are drawn too.
        tell: Called with the number of faces that were just drawn.
    """
    parts = []
    for first in range(0, len(faces), CHUNK):
        some = faces.at(slice(first, first + CHUNK))
        parts.append(_drawn(some, size, styles, masks))
        tell(len(some))
    return Drawn(
        {s: np.concatenate([part.pictures[s] for part in parts]) for s in styles},
        np.concatenate([part.landmarks for part in parts]),
        np.concatenate([part.visible for part in parts]),
        {m: np.concatenate([part.masks[m] for part in parts]) for m in parts[0].masks},
    )


def _drawn(faces: Faces, size: int, styles: Sequence[Style], masks: bool) -> Drawn:
    head = Head(faces)
    drawn = list(maps(polygons(head), size))
    landmarks, here = places(head, size)
    pictures = {
        style: np.ascontiguousarray(STYLES[style](drawn, faces, size).transpose(0, 3, 1, 2))
        for style in styles
    }
    asked = MASKS if masks else {}
    visible = (here & uncovered(drawn, landmarks, size)).astype(np.uint8)
    return Drawn(pictures, landmarks, visible, {n: _mask(drawn, t, size) for n, t in asked.items()})


def _mask(drawn: Sequence[Image.Image], table: Sequence[int], size: int) -> NDArray[np.uint8]:
    """(B, 1, S, S): where more than half a pixel shows one of some parts."""
    shares = np.stack([covered(one, table, size) for one in drawn])[:, None]
    return (shares > 128).astype(np.uint8)
