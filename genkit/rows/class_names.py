"""Classes as people write them: which number a word, a number or a range stands for.

A word is the class of that name. So is a whole number where any name is one: of classes called 3, 7
and 9, "3" is the first. Elsewhere a whole number is the number of a class, from 0 on. Whole numbers
that are no text, as in Python, are always numbers of classes.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from numbers import Integral
from typing import Any

from genkit.errors import DataError, shown
from genkit.rows.columns import Class

_SHOWN = 12  # classes that are named
_LARGEST = 1_000_000
_HOW = "write for example 3, 0-9 or 1,3,5-7"


def numbered(classes: Sequence[int], names: Sequence[str] | None) -> str:
    """Such as "0 cat, 1 dog and 8 more"; numbers alone where there are no names."""
    few = classes[:_SHOWN]
    told = [str(one) if names is None else f"{one} {shown(names[one], 40)}" for one in few]
    return _with_rest(told, len(classes))


def called(classes: Sequence[int], names: Sequence[str]) -> str:
    """Such as "cat (number 0), dog (number 1) and 8 more"."""
    few = [f"{shown(names[one], 40)} (number {one})" for one in classes[:_SHOWN]]
    return _with_rest(few, len(classes))


def number_of(column: Class, given: Any) -> int:
    """The number of a class that is given by its name or its number.

    Raises:
        DataError: There is no such class; the message says which there are.
    """
    number = int(given) if isinstance(given, Integral) else None
    if isinstance(given, str):
        number = _of_word(column, given)
    if number is None or not 0 <= number < column.count:
        what = repr(shown(given, 60)) if isinstance(given, str) else shown(repr(given), 60)
        raise DataError(f"{what} is no class; {_known(column, given)}")
    return number


def numbers_of(text: str, column: Class | None = None) -> list[int]:
    """The numbers of classes listed in a text: "apple,tomato", "3", "0-9", "1,3,5-7".

    A range of names that are whole numbers holds all those between its ends. Names may hold commas
    and dashes.

    Args:
        text: The list.
        column: The classes; None = numbers of any.

    Raises:
        DataError: A part of it is no class and no range of classes.
    """
    pieces, found = text.split(","), list[int]()
    names = set() if column is None else set(column.names or ())
    longest = 1 + max((name.count(",") for name in names), default=0)
    while pieces:
        # "salt, pepper" may be one name: the longest that fits.
        sizes = range(min(longest, len(pieces)), 1, -1)
        size = next((n for n in sizes if ",".join(pieces[:n]).strip() in names), 1)
        piece, pieces = ",".join(pieces[:size]).strip(), pieces[size:]
        found += _of_piece(column or Class(_LARGEST + 1), piece, is_known=column is not None)
    return found


def _of_piece(column: Class, piece: str, *, is_known: bool) -> list[int]:
    first, dash, last = (part.strip() for part in piece.partition("-"))
    is_range = dash and first.isdecimal() and last.isdecimal()
    if is_range and piece not in (column.names or ()):
        return _between(column, piece, first, last)
    if is_known:
        return [number_of(column, piece)]
    if not piece.isdecimal():
        raise DataError(f"{shown(piece, 60)!r} is no class or range; {_HOW}")
    return _between(column, piece, piece, piece)


def _between(column: Class, piece: str, first: str, last: str) -> list[int]:
    """The numbers of all classes from one to another."""
    if len(first) > 9 or len(last) > 9:
        raise DataError(f"{shown(piece, 60)!r} is out of reach; {_HOW}")
    if int(first) > int(last):
        raise DataError(f"{shown(piece, 60)!r} runs backwards; {_HOW}")
    low, high = number_of(column, first), number_of(column, last)
    if not _are_whole(column.names):
        return list(range(low, high + 1))
    values = {i: int(name) for i, name in enumerate(column.names or ()) if _is_whole(name)}
    held = [i for i, value in values.items() if int(first) <= value <= int(last)]
    return sorted(held, key=values.__getitem__)


def _of_word(column: Class, word: str) -> int | None:
    names = column.names or ()
    if word in names:
        return names.index(word)
    if not _is_whole(word):
        return None
    if not _are_whole(names):
        return int(word)
    alike = [i for i, name in enumerate(names) if _is_whole(name) and int(name) == int(word)]
    return alike[0] if len(alike) == 1 else None  # 7 may be called 007


def _known(column: Class, given: Any) -> str:
    """Which classes there are, and which was probably meant."""
    names, there = column.names, f"they are 0 to {column.count - 1}"
    if names is None:
        words = isinstance(given, str) and not _is_whole(given)
        return f"{there}, and their names are not known here" if words else there
    if names == tuple(map(str, range(column.count))):
        return there
    if isinstance(given, str) and _are_whole(names):
        few = [shown(name, 40) for name in names[:_SHOWN]]
        return f"they are called {_with_rest(few, len(names))}"
    close = difflib.get_close_matches(str(given), names, n=1)
    meant = f"; did you mean {shown(close[0], 60)!r}?" if close else ""
    return f"{there}: {numbered(range(column.count), names)}{meant}"


def _with_rest(told: Sequence[str], count: int) -> str:
    return ", ".join(told) + (f" and {count - len(told):,} more" if count > len(told) else "")


def _is_whole(word: str) -> bool:
    return word.isdecimal() and len(word) <= 9


def _are_whole(names: Sequence[str] | None) -> bool:
    return any(_is_whole(name) for name in names or ())
