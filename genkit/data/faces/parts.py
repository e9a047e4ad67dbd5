"""The one list of polygons, back to front, that every picture, mask and landmark of faces is made
of.
"""

from __future__ import annotations

from genkit.data.faces import features, hair, wear
from genkit.data.faces.head import Head
from genkit.data.faces.shapes import Polygon


def polygons(head: Head) -> list[Polygon]:
    """Every part of B faces, from the ground to what is nearest."""
    return [
        *wear.ground(head),
        hair.behind(head),
        *wear.body(head),
        *wear.ears(head, near=False),
        wear.skull(head),
        *wear.ears(head, near=True),
        *features.cheeks(head),
        features.beard(head),
        *features.Mouth(head).polygons(),
        *(part for side in (-1, 1) for part in features.Eye(head, side).polygons()),
        *(features.brow(head, side) for side in (-1, 1)),
        *features.nose(head),
        features.mustache(head),
        *wear.arms(head),
        *hair.above_face(head),
        *hair.beside_face(head),
        *wear.glasses(head),
        *wear.hat(head),
    ]
