"""Words for scenes by a small grammar, and what such words claim.

    caption = [prefix] body [" on a " ground " ground"]      or  "on a " ground " ground, " body
    body    = things | things " left of " things | "left of " things ", " things | a list
    things  = count [size] color shape | count shape " in " color | ... " that is " size

A caption tells shape and colour of every thing, and some of the rest: sizes, where one of two lies
from the other, the ground. Several captions of a scene differ in words, order and what they tell.
A *foil* is a caption that is wrong by as little as can be: of two things the colours have changed
places, or one lies on the other side.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from genkit import random
from genkit.data.scenes.things import (
    COLORS,
    GROUNDS,
    OPPOSITE,
    RELATIONS,
    SHAPES,
    SIZES,
    UNSEEN,
    Color,
    Ground,
    Relation,
    Scene,
    Shape,
    Size,
    Thing,
    relation,
)
from genkit.errors import DataError, shown

Meaning = TypeVar("Meaning", bound=str)

_SYNONYMS: dict[str, tuple[str, ...]] = {
    "circle": ("circle", "disc"),
    "square": ("square", "box"),
    "ring": ("ring", "hoop"),
    "cross": ("cross", "plus"),
    "moon": ("moon", "crescent"),
    "small": ("small", "little"),
    "big": ("big", "large"),
    "purple": ("purple", "violet"),
    "cream": ("cream", "beige"),
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}
_PLURALS = {"box": "boxes", "cross": "crosses", "plus": "pluses"}
_COUNTS = {1: ("a",), 2: ("two",), 3: ("three",)}
_PREFIXES = ("", "", "a picture of ", "a drawing of ")
_GROUNDS = ("on {}", "on a {} ground", "on a {} background", "in front of {}")


@dataclass(frozen=True)
class Told:
    """Things of one look that a caption tells of.

    Attributes:
        shape: What they are.
        color: Their colour.
        count: How many.
        size: Small or big; None = not told.
    """

    shape: Shape
    color: Color
    count: int = 1
    size: Size | None = None


@dataclass(frozen=True)
class Prompt:
    """What a caption claims.

    Attributes:
        things: Those that it tells of, in its order.
        relation: Where the first lies from the second; None = not told.
        ground: None = not told.
    """

    things: tuple[Told, ...]
    relation: Relation | None = None
    ground: Ground | None = None

    def holds(self, scene: Scene) -> bool:
        """Whether a scene shows what is claimed, and nothing else."""
        if self.ground not in (None, scene.ground):
            return False
        left = list(scene.things)
        found: list[list[Thing]] = []
        for told in self.things:
            fitting = [t for t in left if _fits(told, t)]
            if len(fitting) != told.count:
                return False
            found.append(fitting)
            left = [t for t in left if t not in fitting]
        if left:
            return False
        return self.relation is None or all(
            relation(one, other) == self.relation for one in found[0] for other in found[1]
        )


def everything(scene: Scene) -> Prompt:
    """All that can be told of a scene."""
    return Prompt(tuple(_told(scene, sizes=True)), scene.relation, scene.ground)


def _fits(told: Told, thing: Thing) -> bool:
    same = (told.shape, told.color) == (thing.shape, thing.color)
    return same and told.size in (None, thing.size)


# -- saying it -------------------------------------------------------------------------------------


def captions(scene: Scene, seed: int, part: str, index: int, count: int) -> list[str]:
    """So many captions of a scene, the first of which tells all there is to tell."""
    drawn = Random(random.key(seed, f"captions/{part}", index))
    return [_caption(scene, drawn, everything=number == 0) for number in range(count)]


def foils(scene: Scene, said: Sequence[str], seed: int, part: str, index: int) -> list[str]:
    """A foil of each caption of a scene; "" where there is none.

    None names a held-out pair of colour and shape, as no caption that is learnt from does.
    """
    drawn = Random(random.key(seed, f"foils/{part}", index))
    return [_foil(scene, text, drawn) for text in said]


def _foil(scene: Scene, text: str, drawn: Random) -> str:
    first = drawn.random() < 0.5  # the colours, where both can change
    if scene.kind != "two":
        return ""
    one, other = scene.things
    pairs = {(one.color, other.shape), (other.color, one.shape)}
    related, found = claims(text).relation is not None, []
    if one.color != other.color and (related or one.shape != other.shape) and not pairs & UNSEEN:
        found.append(with_exchanged_colours(text))
    if related:
        found.append(with_opposite_relation(text))
    return "" if not found else found[0 if first else -1]


def _caption(scene: Scene, drawn: Random, *, everything: bool) -> str:
    def tells(share: float) -> bool:
        return everything or drawn.random() < share

    words = [_things(told, drawn) for told in _told(scene, sizes=tells(0.6))]
    lies = scene.relation
    body = _listed(words)
    if lies is not None and tells(0.8):
        first, second = words
        if drawn.random() < 0.5:
            first, second, lies = second, first, OPPOSITE[lies]
        where = _word(lies, drawn)
        body = f"{first} {where} {second}"
        if drawn.random() < 0.25:
            body = f"{where} {second}, {first}"
    if not tells(0.6):
        return body if body.startswith(_relations()) else f"{_one(drawn, _PREFIXES)}{body}"
    ground = _one(drawn, _GROUNDS).format(_word(scene.ground, drawn))
    if drawn.random() < 0.25 and not body.startswith(_relations()):
        return f"{ground}, {body}"
    return f"{body} {ground}"


def _told(scene: Scene, *, sizes: bool) -> list[Told]:
    alike = scene.kind == "alike"
    things, count = (scene.things[:1], len(scene.things)) if alike else (scene.things, 1)
    return [Told(t.shape, t.color, count, t.size if sizes else None) for t in things]


def _things(told: Told, drawn: Random) -> str:
    many = told.count > 1
    shape, color = _word(told.shape, drawn), _word(told.color, drawn)
    if many:
        shape = _PLURALS.get(shape, f"{shape}s")
    size = "" if told.size is None else _word(told.size, drawn)
    way = drawn.random()
    if size and way < 0.2:
        words = f"{color} {shape} that {'are' if many else 'is'} {size}"
    elif way < 0.4:
        words = f"{size} {shape} in {color}".strip()
    else:
        words = f"{size} {color} {shape}".strip()
    count = _one(drawn, _COUNTS[told.count])
    if count == "a" and words[0] in "aeiou":
        count = "an"
    return f"{count} {words}"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _word(meaning: str, drawn: Random) -> str:
    return _one(drawn, _SYNONYMS.get(meaning, (meaning,)))


def _one(drawn: Random, values: Sequence[str]) -> str:
    return values[int(drawn.random() * len(values))]


# -- reading it ------------------------------------------------------------------------------------


def _meanings(names: Sequence[Meaning]) -> dict[str, Meaning]:
    """Every word for each of some meanings."""
    return {word: name for name in names for word in _SYNONYMS.get(name, (name,))}


_ONE_OF = _meanings(SHAPES)
_SHAPE_OF = _ONE_OF | {_PLURALS.get(word, f"{word}s"): name for word, name in _ONE_OF.items()}
_COLOR_OF, _SIZE_OF, _GROUND_OF = _meanings(COLORS), _meanings(SIZES), _meanings(GROUNDS)
_RELATION_OF = _meanings(RELATIONS)
_COUNT_OF = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3}


def _relations() -> tuple[str, ...]:
    return tuple(_RELATION_OF)


def _any(words: Iterable[str]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


_THINGS = (
    rf"(?P<count>{_any(_COUNT_OF)}) (?:(?P<size>{_any(_SIZE_OF)}) )?"
    rf"(?:(?P<color>{_any(_COLOR_OF)}) )?"
    rf"(?P<shape>{_any(_SHAPE_OF)})(?: in (?P<color2>{_any(_COLOR_OF)}))?"
    rf"(?: that (?:is|are) (?P<size2>{_any(_SIZE_OF)}))?"
)
_BEHIND = rf"(?:on|in front of) (?:an? )?(?P<ground>{_any(_GROUND_OF)})(?: ground| background)?"
_ON_FIRST = re.compile(rf"^{_BEHIND}, (?P<rest>.+)$")
_ON_LAST = re.compile(rf"^(?P<rest>.+?),? {_BEHIND}$")
_PREFIX = re.compile(r"^(?:(?:a|the) (?:picture|drawing|image|photo) of |there (?:is|are) )")
_RELATED = re.compile(rf"^(?P<one>.+?) (?P<where>{_any(_RELATION_OF)}) (?P<other>.+)$")
_FRONTED = re.compile(rf"^(?P<where>{_any(_RELATION_OF)}) (?P<other>[^,]+), (?P<one>.+)$")


def claims(text: str) -> Prompt:
    """What a caption of this grammar claims.

    Raises:
        DataError: It isn't one.
    """
    body = " ".join(text.lower().strip(" .").split())
    ground: Ground | None = None
    for on in (_ON_FIRST, _ON_LAST):
        if (found := on.match(body)) is not None:
            ground, body = _GROUND_OF[found["ground"]], found["rest"]
            break
    body = _PREFIX.sub("", body)
    for pattern in (_FRONTED, _RELATED):
        if (found := pattern.match(body)) is not None:
            things = _different([found["one"], found["other"]], text)
            return Prompt(things, _RELATION_OF[found["where"]], ground)
    return Prompt(_different(re.split(r",? and |, ", body), text), None, ground)


def _different(parts: Sequence[str], text: str) -> tuple[Told, ...]:
    """What parts of a caption tell of; things of one shape and colour are told of together."""
    things = tuple(_read(part, text) for part in parts)
    looks = [(each.shape, each.color) for each in things]
    twice = next((look for look in looks if looks.count(look) > 1), None)
    if twice is not None:
        many = _PLURALS.get(twice[0], f"{twice[0]}s")
        raise DataError(
            f"{shown(text)}: tells twice of things of one look, and no scene has such that differ "
            f"in size alone; write 'two {twice[1]} {many}'"
        )
    return things


def _read(words: str, text: str) -> Told:
    found = re.fullmatch(_THINGS, words)
    color = found and (found["color"] or found["color2"])
    if found is None or color is None:
        raise DataError(
            f"{shown(text)}: {shown(words)} tells of no things that scenes have; such captions "
            "are 'a small red star left of two blue rings on grey', with the shapes "
            f"{', '.join(SHAPES)} and the colours {', '.join(COLORS)}"
        )
    size = found["size"] or found["size2"]
    return Told(
        _SHAPE_OF[found["shape"]],
        _COLOR_OF[color],
        _COUNT_OF[found["count"]],
        None if size is None else _SIZE_OF[size],
    )


def with_exchanged_colours(text: str) -> str:
    """A caption of two things, each in the colour of the other.

    Raises:
        DataError: It names other than two colours of things.
    """
    found = [*re.finditer(rf"\b(?:{_any(_COLOR_OF)})\b", text)]
    if len(found) != 2:
        raise DataError(
            f"{shown(text)}: names {len(found)} colours of things, and two change places"
        )
    one, other = found
    between = text[one.end() : other.start()]
    changed = f"{text[: one.start()]}{other[0]}{between}{one[0]}{text[other.end() :]}"
    return re.sub(r"\ban? (?=(.))", lambda a: "an " if a[1] in "aeiou" else "a ", changed)


def with_opposite_relation(text: str) -> str:
    """A caption of two things, the first of which lies on the other side of the second.

    Raises:
        DataError: It doesn't tell where one lies from the other.
    """
    found = re.search(rf"\b(?:{_any(_RELATION_OF)})\b", text)
    if found is None:
        raise DataError(f"{shown(text)}: doesn't tell where one thing lies from another")
    told = found[0]
    words = _SYNONYMS[OPPOSITE[_RELATION_OF[told]]]
    other = words[_SYNONYMS[_RELATION_OF[told]].index(told)]
    return f"{text[: found.start()]}{other}{text[found.end() :]}"
