"""Which attributes of pictures are to change, and the codes that say so to a decoder.

Legend: B batch, A attributes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from genkit.errors import DataError, PipelineError, shown
from genkit.pipelines.schedulers import nearest
from genkit.rows.columns import Flags
from genkit.rows.flags import excluded, place, switched


@dataclass(frozen=True)
class Edits:
    """What a call asks for; nothing at all gives each picture back.

    Attributes:
        set: Attributes to switch, each to 1 (on) or 0 (off); what one excludes goes off with it.
        flip: Attributes of which each picture gets the other state, one after the other.
        levels: Attributes told to the decoder as they are, in units of what one of the picture is
            told by: 1 on, -1 off, 0 between, 2 twice as much.
        strength: What the code of attributes in `set` and `flip` is multiplied by; no others.
        have: Attributes that the pictures are known to have (1) or not (0), whatever is guessed or
            given.
    """

    set: Mapping[str, int] = field(default_factory=dict)
    flip: Sequence[str] = ()
    levels: Mapping[str, float] = field(default_factory=dict)
    strength: float = 1.0
    have: Mapping[str, int] = field(default_factory=dict)

    def to_tree(self) -> dict[str, Any]:
        """What was asked for, as JSON; what was not is left out."""
        tree: dict[str, Any] = {
            "set": dict(self.set),
            "flip": list(self.flip),
            "levels": dict(self.levels),
            "have": dict(self.have),
        }
        return {name: value for name, value in tree.items() if value} | {"strength": self.strength}

    @property
    def edited(self) -> list[str]:
        """The attributes that are asked for, in order."""
        return [*self.set, *self.flip, *self.levels]


def edits_of(flags: Flags, asked: Mapping[str, Any]) -> Edits:
    """Options of a call, checked.

    Args:
        flags: The attributes of the model.
        asked: Attributes of `Edits`; None = left out; `flip` may be one name.

    Raises:
        PipelineError: An option or an attribute is unknown, a value is none, or edits contradict
            each other.
    """
    known = [*Edits.__dataclass_fields__]
    for name in asked:
        if name not in known:
            raise PipelineError(f"{name}: no such option; {nearest(name, known)}")
    given = {name: value for name, value in asked.items() if value is not None}
    if isinstance(given.get("flip"), str):
        given["flip"] = (given["flip"],)
    for name, read in (("set", _state), ("have", _state), ("levels", _number)):
        given[name] = _mapping(flags, name, given.get(name, {}), read)
    given["strength"] = _number("strength", given.get("strength", 1.0))
    if given["strength"] < 0:
        raise PipelineError(
            f"strength: must be a number from 0 on, got {given['strength']:g}; set=... says which "
            "way an attribute goes"
        )
    edits = Edits(**given)
    if edits.strength != 1 and not (edits.set or edits.flip):
        raise PipelineError(
            "strength: is of set and flip, and there is none of them; leave it out, or say by one "
            "of them what to edit"
        )
    for name in edits.flip:
        _known(flags, "flip", name)
    for problem in _contradictions(flags, edits):
        raise PipelineError(problem)
    return edits


def coded(
    flags: Flags, attributes: Tensor, edits: Edits, *, thres_int: float, test_int: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The attributes of pictures, what they are to become, and the codes that say so.

    The code of an attribute is (2a - 1) thres_int; of one that `set` and `flip` name it is
    (2a - 1) test_int times the strength, and no other one changes but by what these exclude.

    Args:
        flags: The attributes of the model.
        attributes: (B, A) in {0, 1}, of the pictures.
        edits: What is asked for.
        thres_int: As the model was trained.
        test_int: Of an edited attribute at strength 1.

    Returns:
        Attributes before and after the edits, (B, A) in {0, 1}, and the codes (B, A) float32.
    """
    before = (attributes > 0).float()
    for name, state in edits.have.items():
        before = switched(flags, before, name, bool(state))
    after = before
    for name, state in sorted(edits.set.items(), key=lambda item: item[1]):  # on has the last word
        after = switched(flags, after, name, bool(state))
    for name in edits.flip:
        holds = after[:, [place(flags, name)]] > 0
        off, on = (switched(flags, after, name, state) for state in (False, True))
        after = torch.where(holds, off, on)
    for name, level in edits.levels.items():
        after = switched(flags, after, name, level > 0)
    sign = 2 * after - 1
    code = sign * thres_int
    for name in (*edits.set, *edits.flip):
        i = place(flags, name)
        code[:, i] = sign[:, i] * (test_int * edits.strength)
    for name, level in edits.levels.items():
        code[:, place(flags, name)] = level * thres_int
    return before, after, code


# -- checks ----------------------------------------------------------------------------------------


def _mapping(
    flags: Flags, option: str, value: Any, read: Callable[[str, Any], Any]
) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise PipelineError(
            f'{option}: expected attributes and values, as in {option}={{"{flags.names[0]}": 1}}, '
            f"got {shown(repr(value))}"
        )
    for name in value:
        _known(flags, option, name)
    return {name: read(f"{option}: {name}", each) for name, each in value.items()}


def _known(flags: Flags, option: str, name: Any) -> None:
    try:
        place(flags, str(name))
    except DataError as error:
        raise PipelineError(f"{option}: {error}") from None


def _state(where: str, value: Any) -> int:
    if value not in (0, 1):
        raise PipelineError(
            f"{where}: must be 1 (on) or 0 (off), got {shown(repr(value))}; how far it goes is "
            "said by strength"
        )
    return int(value)


def _number(where: str, value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        raise PipelineError(f"{where}: must be a number, got {shown(repr(value))}")
    return float(value)


def _contradictions(flags: Flags, edits: Edits) -> Iterator[str]:
    """Of edits that can't all be: what is wrong, in words."""
    named = edits.edited
    for name in named:
        if named.count(name) > 1:
            yield f"{name}: is asked for twice; name it in one of set, flip and levels"
    levels = {name: int(level > 0) for name, level in edits.levels.items()}
    for option, states in (("set", {**edits.set, **levels}), ("have", edits.have)):
        on = [name for name, state in states.items() if state]
        for name in on:
            for other in excluded(flags, name):
                if other in on:
                    yield (
                        f"{option}: {name} and {other} can't hold together, in the attributes that "
                        "this model learnt; ask for one of them"
                    )
