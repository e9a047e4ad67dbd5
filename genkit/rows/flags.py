"""Switching attributes on and off: what an edit does to the other attributes of a row.

Which attributes can't hold together is data of their column, `Flags.excludes`: a list of
(name, the names that switching it on switches off). Switching one off leaves the others alone.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from torch import Tensor

from genkit.errors import DataError, shown
from genkit.rows.columns import Flags

Excludes = tuple[tuple[str, tuple[str, ...]], ...]


def one_of(*names: str) -> Excludes:
    """The rules of names of which at most one holds: each switches off all others."""
    return tuple((name, tuple(other for other in names if other != name)) for name in names)


# What the public code of AttGAN does to CelebA's attributes (He et al. 2019, arXiv:1711.10678).
CELEBA_EXCLUDES: Excludes = (
    ("Bald", ("Bangs",)),
    ("Receding_Hairline", ("Bangs",)),
    ("Bangs", ("Bald", "Receding_Hairline")),
    *one_of("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"),
    *one_of("Straight_Hair", "Wavy_Hair"),
)

_HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair")
# The 13 attributes of drawn faces, in their order.
DRAWN_NAMES = (
    *("Bald", *_HAIR, "Long_Hair", "Wearing_Hat", "Eyeglasses", "Sunglasses", "Beard"),
    *("Mustache", "Smiling", "Mouth_Open", "Winking"),
)
_DRAWN_ALONE = {"Long_Hair", "Sunglasses", "Beard", "Mouth_Open", "Winking"}  # none of CelebA's 40
# Of drawn faces: a hat covers all hair, sunglasses hide the eyes.
DRAWN_EXCLUDES: Excludes = (
    ("Bald", (*_HAIR, "Long_Hair", "Wearing_Hat")),
    *((name, ("Bald", *(c for c in _HAIR if c != name), "Wearing_Hat")) for name in _HAIR),
    ("Long_Hair", ("Bald", "Wearing_Hat")),
    ("Wearing_Hat", ("Bald", *_HAIR, "Long_Hair")),
    ("Eyeglasses", ("Sunglasses",)),
    ("Sunglasses", ("Eyeglasses", "Winking")),
    *one_of("Beard", "Mustache"),
    ("Winking", ("Sunglasses",)),
)


def known_excludes(names: Sequence[str]) -> Excludes:
    """The rules that are known of attributes with these names: those of drawn faces if all are of
    its 13 and one is none of CelebA's, else those of CelebA, as far as their names are here.
    """
    drawn = {*names} <= {*DRAWN_NAMES} and bool({*names} & _DRAWN_ALONE)
    rules = DRAWN_EXCLUDES if drawn else CELEBA_EXCLUDES
    here = ((name, tuple(n for n in off if n in names)) for name, off in rules if name in names)
    return tuple((name, off) for name, off in here if off)


def place(flags: Flags, name: str) -> int:
    """The place of an attribute in a row.

    Raises:
        DataError: There is no such attribute; the nearest one is named.
    """
    if name in flags.names:
        return flags.names.index(name)
    folded = {known.casefold(): known for known in flags.names}
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    advice = f"did you mean {folded[close[0]]!r}?" if close else f"there are {_some(flags.names)}"
    raise DataError(f"no attribute {shown(repr(name))}; {shown(advice)}")


def excluded(flags: Flags, name: str) -> tuple[str, ...]:
    """The names that switching one on switches off.

    Raises:
        DataError: There is no such attribute.
    """
    place(flags, name)
    off = (others for rule, others in flags.excludes if rule == name)
    return tuple(dict.fromkeys(other for others in off for other in others if other in flags.names))


def switched(flags: Flags, values: Tensor, name: str, on: bool) -> Tensor:
    """Rows with one attribute switched, and what it excludes switched off.

    Args:
        flags: The column.
        values: (B, A) of any type, 0 = off, above 0 = on; they stay as they are.
        name: The attribute.
        on: Whether it is to hold; switching it off changes nothing else.

    Returns:
        (B, A), the rows after the edit, 0 and 1 where they were changed.

    Raises:
        DataError: There is no such attribute.
    """
    edited = values.clone()
    edited[:, place(flags, name)] = int(on)
    if on:
        edited[:, [place(flags, other) for other in excluded(flags, name)]] = 0
    return edited


def likely(flags: Flags, shares: Tensor) -> Tensor:
    """The attributes that hold more likely than not, of two that exclude each other the likelier.

    Args:
        flags: The column.
        shares: (B, A) in [0, 1].

    Returns:
        (B, A) float32 in {0, 1}.
    """
    rows = (shares > 0.5).float()
    for name, off in flags.excludes:
        i = place(flags, name)
        for other in (n for n in off if n in flags.names):
            j = place(flags, other)
            both = (rows[:, i] > 0) & (rows[:, j] > 0)
            first = shares[:, i] >= shares[:, j]
            rows[both & first, j] = 0
            rows[both & ~first, i] = 0
    return rows


def conflicts(flags: Flags, values: Tensor) -> list[tuple[str, str]]:
    """The pairs of attributes that hold together in any of these rows (B, A) and can't."""
    found = []
    for name, off in flags.excludes:
        for other in off:
            pair = values[:, [place(flags, name), place(flags, other)]] > 0
            if (other, name) not in found and bool(pair.all(1).any()):
                found.append((name, other))
    return found


def _some(names: Sequence[str], most: int = 45) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
