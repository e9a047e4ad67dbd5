"""The 68 landmarks that face alignment uses, and which of them can be seen.

Their order is that of the 300-W challenge (Sagonas et al. 2013): 17 along the jaw from the left of
the picture to its right, 5 and 5 on the eyebrows, 9 on the nose, 6 and 6 around the eyes, 12 around
the lips and 8 between them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genkit.data.faces.features import EYES_V, Eye, Mouth, brow_line, nose_low
from genkit.data.faces.head import Head, Path, Sphere, around
from genkit.data.faces.shapes import Part, line

_GROUPS = (("jaw", 17), ("left_brow", 5), ("right_brow", 5), ("bridge", 4), ("nostrils", 5))
_ROUND = (("left_eye", 6), ("right_eye", 6), ("lips", 12), ("mouth", 8))
NAMES = tuple(f"{name}_{i}" for name, count in (*_GROUPS, *_ROUND) for i in range(count))

# Which point each is in a mirrored picture.
MIRRORED = (
    *reversed(range(17)),
    *reversed(range(17, 27)),
    *range(27, 31),
    *reversed(range(31, 36)),
    *(45, 44, 43, 42, 47, 46),
    *(39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
    *(64, 63, 62, 61, 60, 67, 66, 65),
)

PAIRS = tuple((NAMES[i], NAMES[j]) for i, j in enumerate(MIRRORED) if i < j)  # that change places

# What a landmark can lie beneath.
_COVERS = np.zeros(256, bool)
_COVERS[[Part.HAIR, Part.HAIR_GLOSS, Part.HAT, Part.HAT_BAND, Part.LENS, Part.LENS_GLINT]] = True
_COVERS[[Part.BEARD, Part.MUSTACHE]] = True


def places(head: Head, size: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Where the landmarks of B faces lie in a picture, and which look towards the viewer.

    Args:
        head: The heads.
        size: S.

    Returns:
        (B, 68, 2) x and y in px, and (B, 68).
    """
    found = [*_jaw(head), *_brows(head), *_nose(head), *_eyes(head), *_mouth(head)]
    paths = np.concatenate([path for path, _ in found], 1)
    here = np.concatenate([np.broadcast_to(head.looks_here(q), p.shape[:2]) for p, q in found], 1)
    # Rounded to what a float32 holds for sure, so that the bits are the same everywhere.
    return (np.floor((paths + 1) * (size / 2) * 1024 + 0.5) / 1024).astype(np.float32), here


def uncovered(
    maps: Sequence[Image.Image], points: NDArray[np.float32], size: int
) -> NDArray[np.bool_]:
    """(B, 68): on which landmarks neither hair nor hat nor dark glass lies."""
    found = np.empty(points.shape[:2], bool)
    for face, drawn in enumerate(maps):
        parts = np.asarray(drawn)
        at = np.floor(points[face] * (drawn.width / size)).astype(np.int64)
        x, y = np.clip(at, 0, drawn.width - 1).T
        found[face] = ~_COVERS[parts[y, x]]
    return found


Found = tuple[Path, Sphere]


def _jaw(head: Head) -> list[Found]:
    s = line(17)
    q = around(84 * s, 5 + 78 * (1 - s * s))
    return [(head.place(q), q)]


def _brows(head: Head) -> list[Found]:
    return [_on_face(head, *brow_line(head, side, line(5))) for side in (-1, 1)]


def _nose(head: Head) -> list[Found]:
    low = nose_low(head)
    t = 0.5 + 0.5 * line(4)
    bridge = _on_face(head, np.zeros((1, 4)), EYES_V + (low - EYES_V) * t, 0.14 * t)
    u = 0.75 * head.faces.identity.nose_width[:, None] * line(5)
    return [bridge, _on_face(head, u, low + 0.06 - 0.03 * line(5) * line(5), 0.08)]


def _eyes(head: Head) -> list[Found]:
    found = []
    third = np.array([-1 / 3, 1 / 3])
    for side in (-1, 1):
        eye = Eye(head, side)
        s = np.array([-1, *third, 1, *third[::-1]])
        upper, lower = eye.lids(s)
        v = np.where(np.arange(6) < 3, upper, lower)
        found.append(_on_face(head, eye.u + eye.width * s, v))
    return found


def _mouth(head: Head) -> list[Found]:
    mouth = Mouth(head)
    up, down = mouth.up + mouth.lips, mouth.down + 1.2 * mouth.lips
    return [_round(mouth, line(7), up, down), _round(mouth, line(5), mouth.up, mouth.down)]


def _round(mouth: Mouth, upper: NDArray[np.float64], up: object, down: object) -> Found:
    """From the left corner along an upper edge to the right one, and back along a lower one."""
    s = np.concatenate([upper, upper[-2:0:-1]])
    above = np.arange(len(s)) < len(upper)
    v = mouth.middle(s) + np.where(above, -np.asarray(up), np.asarray(down)) * mouth.bow(s)
    return _on_face(mouth.head, mouth.width * s, v)


def _on_face(head: Head, u: object, v: object, lift: object = 0.0) -> Found:
    u, v, lift = (np.asarray(value) for value in (u, v, lift))
    u, v = np.broadcast_arrays(u, v)
    return head.face(u, v, lift), (u, v, np.sqrt(np.maximum(1 - u * u - v * v, 0)))
