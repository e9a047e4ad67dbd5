"""What a scene is: its things, where they lie, and the ground.

A tenth of the pairs of colour and shape is held out: `UNSEEN`. No scene of the parts `seen` has one
of these, every scene of `unseen` has, and `all` takes no notice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Any, Literal, get_args

from genkit import random

Shape = Literal["circle", "square", "triangle", "star", "ring", "cross", "heart", "moon"]
Color = Literal["red", "orange", "yellow", "green", "blue", "purple", "pink", "brown"]
Size = Literal["small", "big"]
Ground = Literal["white", "grey", "black", "cream"]
Relation = Literal["left of", "right of", "above", "below"]
Pairs = Literal["seen", "unseen", "all"]

SHAPES: tuple[Shape, ...] = get_args(Shape)
COLORS: tuple[Color, ...] = get_args(Color)
SIZES: tuple[Size, ...] = get_args(Size)
GROUNDS: tuple[Ground, ...] = get_args(Ground)
RELATIONS: tuple[Relation, ...] = get_args(Relation)
OPPOSITE: dict[Relation, Relation] = {
    "left of": "right of",
    "right of": "left of",
    "above": "below",
    "below": "above",
}

# Of the 64 pairs six, no colour and no shape twice: of each the other seven are seen.
UNSEEN: frozenset[tuple[Color, Shape]] = frozenset(
    {
        ("red", "ring"),
        ("orange", "moon"),
        ("yellow", "cross"),
        ("green", "star"),
        ("blue", "heart"),
        ("purple", "triangle"),
    }
)

KINDS = ("one", "two", "alike", "three")  # one thing; two that differ; two or three alike; three
_SHARES = (0.3, 0.4, 0.15, 0.15)
_RADIUS: dict[Size, tuple[float, float]] = {"small": (0.15, 0.17), "big": (0.22, 0.25)}
_GAP = 0.02  # between two things, at least
_CLEAR = 1.5  # how many times farther apart two things lie along one axis than along the other
_TURN = math.radians(15)  # either way
_TRIES = 60  # of places for the same things


@dataclass(frozen=True)
class Thing:
    """One thing of a scene.

    Attributes:
        shape: What it is.
        color: Its colour.
        size: Small or big.
        x: Of its middle, a share of the side.
        y: Likewise, from the top.
        radius: Of the circle around it, a share of the side.
        turn: How far it is turned, in radians clockwise.
    """

    shape: Shape
    color: Color
    size: Size
    x: float
    y: float
    radius: float
    turn: float

    @property
    def pair(self) -> tuple[Color, Shape]:
        """Its colour and shape."""
        return self.color, self.shape

    @property
    def look(self) -> tuple[Shape, Color, Size]:
        """What is told of it beside its place."""
        return self.shape, self.color, self.size


@dataclass(frozen=True)
class Scene:
    """What a picture shows.

    Attributes:
        kind: "one" thing, "two" that differ, two or three "alike", or "three" that differ.
        things: One to three.
        ground: The colour behind them.
    """

    kind: str
    things: tuple[Thing, ...]
    ground: Ground

    @property
    def relation(self) -> Relation | None:
        """Where the first of two things lies from the second; None of other scenes."""
        return relation(*self.things) if self.kind == "two" else None

    def to_tree(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_tree(cls, tree: dict[str, Any]) -> Scene:
        """A scene from its JSON."""
        things = tuple(Thing(**thing) for thing in tree["things"])
        return cls(tree["kind"], things, tree["ground"])


def relation(one: Thing, other: Thing) -> Relation:
    """Where a thing lies from another one, along the axis on which they are farther apart."""
    right, down = one.x - other.x, one.y - other.y
    if abs(right) >= abs(down):
        return "left of" if right < 0 else "right of"
    return "above" if down < 0 else "below"


def scene(
    seed: int, part: str, index: int, pairs: Pairs = "seen", kind: str | None = None
) -> Scene:
    """Scene number `index` of a part, whatever other scenes are drawn.

    Args:
        seed: Names the world.
        part: Such as "train".
        index: From 0 on.
        pairs: Which pairs of colour and shape occur in it.
        kind: One of `KINDS`; None = drawn.
    """
    drawn = Random(random.key(seed, f"scenes/{part}/{pairs}", index))
    kind = kind or _chosen(drawn, KINDS, _SHARES)
    while True:
        looks = _looks(drawn, kind, pairs)
        things = _placed(drawn, looks, clear=kind == "two")
        if things is not None:
            return Scene(kind, things, _one_of(drawn, GROUNDS))


def _looks(drawn: Random, kind: str, pairs: Pairs) -> list[tuple[Shape, Color, Size]]:
    """What the things of a scene are."""
    count = {"one": 1, "two": 2, "three": 3}.get(kind) or (2 if drawn.random() < 0.5 else 3)
    if kind == "alike":
        color, shape = _pair(drawn, pairs)
        return [(shape, color, _size(drawn, count))] * count
    found: list[tuple[Color, Shape]] = []
    unseen_at = int(drawn.random() * count)
    while len(found) < count:
        others: Pairs = "all" if pairs == "unseen" else pairs
        pair = _pair(drawn, pairs if len(found) == unseen_at else others)
        if pair not in found:
            found.append(pair)
    return [(shape, color, _size(drawn, count)) for color, shape in found]


def _pair(drawn: Random, pairs: Pairs) -> tuple[Color, Shape]:
    while True:
        pair = _one_of(drawn, COLORS), _one_of(drawn, SHAPES)
        if pairs == "all" or (pair in UNSEEN) == (pairs == "unseen"):
            return pair


def _size(drawn: Random, count: int) -> Size:
    """Small or big; one of three is seldom big, since three big ones have no room."""
    return "big" if drawn.random() < (0.5 if count < 3 else 0.2) else "small"


def _placed(
    drawn: Random, looks: Sequence[tuple[Shape, Color, Size]], *, clear: bool
) -> tuple[Thing, ...] | None:
    """Things that don't touch each other or the edge; None where no room was found.

    Args:
        drawn: Draws.
        looks: What they are.
        clear: Whether it must be plain where one lies from the other.
    """
    radii = [_between(drawn, *_RADIUS[size]) for _, _, size in looks]
    for _ in range(_TRIES):
        places = [(_between(drawn, r, 1 - r), _between(drawn, r, 1 - r)) for r in radii]
        if _apart(places, radii) and not (clear and _unclear(*places)):
            return tuple(
                Thing(*look, *(round(v, 4) for v in (x, y, radius, _between(drawn, -_TURN, _TURN))))
                for look, (x, y), radius in zip(looks, places, radii, strict=True)
            )
    return None


def _apart(places: Sequence[tuple[float, float]], radii: Sequence[float]) -> bool:
    return all(
        (places[i][0] - places[j][0]) ** 2 + (places[i][1] - places[j][1]) ** 2
        >= (radii[i] + radii[j] + _GAP) ** 2
        for i in range(len(places))
        for j in range(i)
    )


def _unclear(one: tuple[float, float], other: tuple[float, float]) -> bool:
    right, down = abs(one[0] - other[0]), abs(one[1] - other[1])
    return max(right, down) < _CLEAR * min(right, down)


def _between(drawn: Random, low: float, high: float) -> float:
    return low + (high - low) * drawn.random()


def _one_of(drawn: Random, values: Sequence[Any]) -> Any:
    return values[int(drawn.random() * len(values))]


def _chosen(drawn: Random, values: Sequence[str], shares: Sequence[float]) -> str:
    at = drawn.random()
    for value, share in zip(values, shares, strict=True):
        at -= share
        if at < 0:
            return value
    return values[-1]
