"""What a face is: identity, pose, expression, what it wears, light and ground, from (seed, index).

All of a face is drawn, also what can't be seen: the hair beneath a hat, the eyes behind sunglasses.
So an edit has one answer, and the same identity can be shown in another pose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from genkit.data.faces.exact import Floats, Ints, between, choice, uniform

Bools = NDArray[np.bool_]

BLACK, BLOND, BROWN, RED, GREY = range(5)  # colours of hair; the last two have no attribute
BARE, HAIR, HAT = range(3)  # what is on the head
SHAVEN, BEARD, MUSTACHE = range(3)
NO_GLASSES, EYEGLASSES, SUNGLASSES = range(3)
WOOL, PEAK, BRIM = range(3)  # hats

SKINS, IRISES, GROUNDS, COLORS = 6, 4, 8, 6  # how many colours there are, the last of cloth
TOPS, LENGTHS = 5, 3  # styles of hair above the face, and of long hair
HATS, CUTS, PATTERNS = 3, 3, 3  # styles of hats, necklines and grounds

_DRAWS = 64  # random numbers of a face, some of them still unused
_HEADS = (0.1, 0.75, 0.15)  # shares of bare heads, of hair and of hats
_HAIRS = (0.27, 0.24, 0.24, 0.15, 0.1)
_CHINS = (0.62, 0.2, 0.18)
_GLASSES = (0.6, 0.27, 0.13)


@dataclass(frozen=True)
class Group:
    """Arrays of one value a face."""

    def at(self, rows: Any) -> Self:
        """The same of some of the faces."""
        return replace(self, **{f.name: getattr(self, f.name)[rows] for f in fields(self)})


@dataclass(frozen=True)
class Identity(Group):
    """Who it is.

    Attributes:
        width, height, depth: Half axes of the head.
        jaw: How much narrower the head is at its chin, a share.
        skin, iris: Numbers of colours.
        eye_gap, eye_size, eye_tilt: Distance of the eyes, their width, and how they slant.
        brow: Thickness of the eyebrows.
        nose_width, nose_length: Of the nose.
        mouth_width, lips: Of the mouth, and how full the lips are.
        hair: BLACK, BLOND, BROWN, RED or GREY.
        other: RED or GREY, what the hair becomes once it is none of the others.
        tone: How much lighter or darker skin and hair are than their number says, ±1.
        top, length: Numbers of styles of hair, and of long hair.
        volume: How far the hair stands out.
        parting: On which side it is parted, ±1.
    """

    width: Floats
    height: Floats
    depth: Floats
    jaw: Floats
    skin: Ints
    iris: Ints
    eye_gap: Floats
    eye_size: Floats
    eye_tilt: Floats
    brow: Floats
    nose_width: Floats
    nose_length: Floats
    mouth_width: Floats
    lips: Floats
    hair: Ints
    other: Ints
    tone: Floats
    top: Ints
    length: Ints
    volume: Floats
    parting: Floats


@dataclass(frozen=True)
class Pose(Group):
    """How the head is held.

    Attributes:
        yaw: Degrees, above 0 to the right of the picture.
        pitch: Degrees, above 0 downwards.
        roll: Degrees, above 0 clockwise.
        x, y: Where its middle lies.
        scale: How large it is.
    """

    yaw: Floats
    pitch: Floats
    roll: Floats
    x: Floats
    y: Floats
    scale: Floats


@dataclass(frozen=True)
class Expression(Group):
    """What the face does.

    Attributes:
        smiling, mouth_open, winking: Whether it does; it winks with the eye on the picture's left.
        gaze_x, gaze_y: Where it looks, ±1.
        brow_lift: How far the eyebrows are raised, ±1.
    """

    smiling: Bools
    mouth_open: Bools
    winking: Bools
    gaze_x: Floats
    gaze_y: Floats
    brow_lift: Floats


@dataclass(frozen=True)
class Wear(Group):
    """What grows on the face and what it wears.

    Attributes:
        head: BARE, HAIR or HAT.
        long: Whether the hair is long, seen or not.
        glasses: NO_GLASSES, EYEGLASSES or SUNGLASSES.
        chin: SHAVEN, BEARD or MUSTACHE.
        hat, hat_color: Numbers of style and colour.
        clothes, clothes_color: Numbers of style and colour.
    """

    head: Ints
    long: Bools
    glasses: Ints
    chin: Ints
    hat: Ints
    hat_color: Ints
    clothes: Ints
    clothes_color: Ints


@dataclass(frozen=True)
class Scene(Group):
    """Light and ground.

    Attributes:
        light_x, light_y: Where the light comes from, ±1; above 0 from the right, from below.
        light: How strong shadows are, 0 to 1.
        warmth: Colour of the light, ±1, above 0 = warm.
        ground: Number of its colour.
        ground_tone: How much lighter or darker it is, ±1.
        pattern: Number of its pattern.
    """

    light_x: Floats
    light_y: Floats
    light: Floats
    warmth: Floats
    ground: Ints
    ground_tone: Floats
    pattern: Ints


@dataclass(frozen=True)
class Faces:
    """B faces: all that a picture of them shows."""

    identity: Identity
    pose: Pose
    expression: Expression
    wear: Wear
    scene: Scene

    def __len__(self) -> int:
        return len(self.pose.yaw)

    def at(self, rows: Any) -> Faces:
        """Some of the faces, by numbers, a slice or (B,) bool."""
        parts = (getattr(self, field.name).at(rows) for field in fields(self))
        return Faces(*parts)

    def posed(self, like: Faces) -> Faces:
        """The same people in the poses and with the expressions of others."""
        return replace(self, pose=like.pose, expression=like.expression)


def drawn(seed: int, part: str, indices: Sequence[int]) -> Faces:
    """The faces of these indices; each depends on (seed, part, index) alone.

    Args:
        seed: Of the set.
        part: Names it: faces of different parts have nothing in common.
        indices: B numbers.
    """
    share = iter(uniform(seed, f"faces/{part}", indices, _DRAWS).T)
    return Faces(_identity(share), _pose(share), _expression(share), _wear(share), _scene(share))


def _identity(share: Any) -> Identity:
    return Identity(
        width=between(next(share), 0.53, 0.61),
        height=between(next(share), 0.64, 0.71),
        depth=between(next(share), 0.56, 0.64),
        jaw=between(next(share), 0.05, 0.3),
        skin=_one_of(next(share), SKINS),
        iris=_one_of(next(share), IRISES),
        eye_gap=between(next(share), 0.37, 0.42),
        eye_size=between(next(share), 0.19, 0.225),
        eye_tilt=between(next(share), -0.03, 0.05),
        brow=between(next(share), 0.03, 0.055),
        nose_width=between(next(share), 0.11, 0.17),
        nose_length=between(next(share), 0.26, 0.34),
        mouth_width=between(next(share), 0.37, 0.43),
        lips=between(next(share), 0.05, 0.085),
        hair=choice(next(share), _HAIRS),
        other=RED + _one_of(next(share), 2),
        tone=between(next(share), -1, 1),
        top=_one_of(next(share), TOPS),
        length=_one_of(next(share), LENGTHS),
        volume=between(next(share), 0.08, 0.16),
        parting=np.where(next(share) < 0.5, -1.0, 1.0),
    )


def _pose(share: Any) -> Pose:
    return Pose(
        # Faces look forward more often than aside: sums of two draws.
        yaw=31 * (next(share) + next(share) - 1),
        pitch=14 * (next(share) + next(share) - 1),
        roll=11 * (next(share) + next(share) - 1),
        x=between(next(share), -0.05, 0.05),
        y=between(next(share), 0.03, 0.09),
        scale=between(next(share), 0.96, 1.04),
    )


def _expression(share: Any) -> Expression:
    return Expression(
        smiling=next(share) < 0.5,
        mouth_open=next(share) < 0.5,
        winking=next(share) < 0.23,
        gaze_x=between(next(share), -1, 1),
        gaze_y=between(next(share), -1, 1),
        brow_lift=between(next(share), -1, 1),
    )


def _wear(share: Any) -> Wear:
    return Wear(
        head=choice(next(share), _HEADS),
        long=next(share) < 0.5,
        glasses=choice(next(share), _GLASSES),
        chin=choice(next(share), _CHINS),
        hat=_one_of(next(share), HATS),
        hat_color=_one_of(next(share), COLORS),
        clothes=_one_of(next(share), CUTS),
        clothes_color=_one_of(next(share), COLORS),
    )


def _scene(share: Any) -> Scene:
    return Scene(
        light_x=between(next(share), -1, 1),
        light_y=between(next(share), -1, 0),
        light=between(next(share), 0.3, 1),
        warmth=between(next(share), -1, 1),
        ground=_one_of(next(share), GROUNDS),
        ground_tone=between(next(share), -1, 1),
        pattern=_one_of(next(share), PATTERNS),
    )


def _one_of(share: Floats, count: int) -> Ints:
    return (share * count).astype(np.int64)
