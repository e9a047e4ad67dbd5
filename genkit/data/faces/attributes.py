"""The 13 attributes of drawn faces: which of them hold, what switching one does, and whether the
result of an edit can be known from the picture before it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from genkit.data.faces import parameters as p
from genkit.data.faces.parameters import Bools, Faces
from genkit.rows.flags import DRAWN_EXCLUDES, DRAWN_NAMES

NAMES, EXCLUDES = DRAWN_NAMES, DRAWN_EXCLUDES
COLORS = {"Black_Hair": p.BLACK, "Blond_Hair": p.BLOND, "Brown_Hair": p.BROWN}


def rows(faces: Faces) -> NDArray[np.uint8]:
    """(B, 13) in {0, 1}: which attributes hold, as they can be seen."""
    wear, does, hair = faces.wear, faces.expression, faces.wear.head == p.HAIR
    holds = {
        "Bald": wear.head == p.BARE,
        **{name: hair & (faces.identity.hair == color) for name, color in COLORS.items()},
        "Long_Hair": hair & wear.long,
        "Wearing_Hat": wear.head == p.HAT,
        "Eyeglasses": wear.glasses == p.EYEGLASSES,
        "Sunglasses": wear.glasses == p.SUNGLASSES,
        "Beard": wear.chin == p.BEARD,
        "Mustache": wear.chin == p.MUSTACHE,
        "Smiling": does.smiling,
        "Mouth_Open": does.mouth_open,
        "Winking": does.winking & (wear.glasses != p.SUNGLASSES),
    }
    return np.stack([holds[name] for name in NAMES], 1).astype(np.uint8)


def switched(faces: Faces, name: str, on: bool) -> Faces:
    """The same faces with one attribute switched, and with it what it excludes.

    Everything else stays, also what can't be seen; `rows` of the result is what
    `genkit.rows.flags.switched` makes of `rows` before it.

    Args:
        faces: For all of them the attribute is not `on` yet.
        name: One of `NAMES`.
        on: Whether it is to hold.
    """
    if name in COLORS:
        return _colored(faces, COLORS[name] if on else None)
    wear, does = faces.wear, faces.expression

    def worn(**values: int | bool) -> p.Wear:
        return replace(wear, **{k: np.full_like(getattr(wear, k), v) for k, v in values.items()})

    if name in ("Smiling", "Mouth_Open", "Winking"):
        field = name.lower()
        does = replace(does, **{field: np.full_like(getattr(does, field), on)})
        dark = wear.glasses == p.SUNGLASSES
        if name == "Winking" and on:
            wear = replace(wear, glasses=np.where(dark, p.NO_GLASSES, wear.glasses))
        return replace(faces, wear=wear, expression=does)
    if name == "Long_Hair" and on:
        return _without_colors(replace(faces, wear=worn(head=p.HAIR, long=True)), faces)
    if name in ("Bald", "Wearing_Hat") and not on:
        # Switching one off switches no other on: short hair of a colour without an attribute.
        return _without_colors(replace(faces, wear=worn(head=p.HAIR, long=False)), faces)
    values: dict[str, int | bool] = {
        "Bald": {"head": p.BARE},
        "Wearing_Hat": {"head": p.HAT},
        "Long_Hair": {"long": False},
        "Eyeglasses": {"glasses": p.EYEGLASSES if on else p.NO_GLASSES},
        "Sunglasses": {"glasses": p.SUNGLASSES if on else p.NO_GLASSES},
        "Beard": {"chin": p.BEARD if on else p.SHAVEN},
        "Mustache": {"chin": p.MUSTACHE if on else p.SHAVEN},
    }[name]  # type: ignore[assignment]
    if name in ("Eyeglasses", "Sunglasses"):  # eyes that come to light don't wink: they did not
        does = replace(does, winking=does.winking & (wear.glasses != p.SUNGLASSES))
    return replace(faces, wear=worn(**values), expression=does)


def unique(faces: Faces, edited: Faces) -> Bools:
    """(B,): whether the result of an edit can be known from the picture before it.

    It can if all that the edit shows could be seen, or follows from what could be.
    """
    before, after = _shown(faces), _shown(edited)
    return np.logical_and.reduce([before[what] | ~after[what] for what in before])


def _shown(faces: Faces) -> dict[str, Bools]:
    """What of a face that is not the same for all can be seen."""
    wear, hair = faces.wear, faces.wear.head == p.HAIR
    no_brim = (wear.head != p.HAT) | (wear.hat == p.WOOL)  # a brim hides the eyebrows
    return {
        "colour of the hair": no_brim | (wear.chin != p.SHAVEN),
        "style of the hair": hair,
        "style of long hair": hair & wear.long,
        "one of several other colours": faces.identity.hair >= p.RED,
        "hat": wear.head == p.HAT,
        "eyes": wear.glasses != p.SUNGLASSES,
    }


def _colored(faces: Faces, color: int | None) -> Faces:
    """With hair of a colour; None = of one that has no attribute."""
    known = faces.identity.other if color is None else np.full(len(faces), color)
    bare = faces.wear.head != p.HAIR
    wear = replace(
        faces.wear,
        head=np.full(len(faces), p.HAIR),
        long=faces.wear.long & ~bare,
    )
    return replace(faces, identity=replace(faces.identity, hair=known), wear=wear)


def _without_colors(edited: Faces, before: Faces) -> Faces:
    """Hair that appears has a colour without an attribute; hair that was there keeps its own."""
    appears = before.wear.head != p.HAIR
    hair = np.where(appears, before.identity.other, before.identity.hair)
    return replace(edited, identity=replace(edited.identity, hair=hair))
