"""Words of edits: what a picture was taken for, what results are called, which option is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from genkit.errors import PipelineError, shown

_OPTIONS = {"set": "--set", "have": "--have", "levels": "--sweep", "strength": "--strength"}
_LONGEST = 80  # characters of an ending that says what was switched
_UNSURE = 0.2  # a share between this and 1 - this is shown even where an attribute doesn't hold


def taken_for(
    taken: Mapping[str, int], shares: Mapping[str, float], have: Mapping[str, int]
) -> str:
    """What a picture was taken for, and what else may hold."""
    holds = [
        f"{name} {'(given)' if name in have else _share(shares[name])}"
        for name, state in taken.items()
        if state
    ]
    unsure = [
        f"{name} {_share(share)}"
        for name, share in shares.items()
        if not taken[name] and name not in have and share > _UNSURE
    ]
    words = f"taken for {', '.join(map(shown, holds)) or 'none of its attributes'}"
    return f"{words}; perhaps {', '.join(map(shown, unsure))}" if unsure else words


def _share(share: float) -> str:
    return f"{share:.2f}".removeprefix("0")


def ending(what: Mapping[str, Any], size: tuple[int, int]) -> str:
    """Of results: what was switched, unless that is too long for a name."""
    words = ["sweep", *map(_safe, what["sweep"])] if "sweep" in what else []
    states = what.get("set", {})
    words += ["with"] if words and states else []
    words += [f"{_safe(name)}_{'on' if state else 'off'}" for name, state in states.items()]
    words += [] if what.get("strength", 1) == 1 else [f"x{number(what['strength'])}"]
    name = f"-{'-'.join(words)}"
    name = name if len(name) <= _LONGEST else "-edited"
    return f"{name}-{size[1]}px.png" if what.get("model_size") else f"{name}.png"


def as_typed(
    what: Mapping[str, Any], have: Mapping[str, int], crop: Sequence[int] | None
) -> list[str]:
    """What is asked for as options of the command line.

    Args:
        what: "sweep", "set", "strength" and "model_size", as far as they are asked for.
        have: What pictures have or don't, whatever is guessed.
        crop: The part that the model sees; None = the middle.
    """
    words = [f"--sweep={name}" for name in what.get("sweep", ())]
    words += [f"--set={name}={state}" for name, state in what.get("set", {}).items()]
    far = what.get("strength", 1)
    words += [] if far == 1 else [f"--strength={number(far)}"]
    words += ["--model-size"] if what.get("model_size") else []
    words += [f"--have={name}={state}" for name, state in have.items()]
    return words if crop is None else [*words, "--crop", ",".join(map(str, crop))]


def number(value: float) -> str:
    """A number as it is written, to its last digit: "2", "1.5"."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


@contextmanager
def named_as_options() -> Iterator[None]:
    """What is wrong with options of a call, said of those of the command line."""
    try:
        yield
    except PipelineError as error:
        option, colon, rest = str(error).partition(": ")
        if colon and option in _OPTIONS:
            raise PipelineError(f"{_OPTIONS[option]}: {rest}") from None
        if "is asked for twice" in rest:
            raise PipelineError(
                f"--sweep {option}: --set switches it too; leave one of them out"
            ) from None
        raise


def _safe(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name)
