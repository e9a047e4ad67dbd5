"""Attributes as files say them: lists as CelebA writes them, and lines of metadata.jsonl.

A list of attributes has, where it is CelebA's own, the number of its rows in the first line; then
the names of the attributes, and for each picture its file and -1 or 1 (or 0 or 1) for each of them.
Copies with commas instead of spaces, whose first column is named too, are read the same.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from genkit.config import nearest
from genkit.errors import DataError, shown
from genkit.rows.columns import Flags
from genkit.rows.entries import LARGEST_TABLE, refuse_escape, refuse_large
from genkit.rows.flags import known_excludes
from genkit.rows.folders import from_here
from genkit.rows.listing import Listed

_OFF_ON = {"-1": 0, "0": 0, "1": 1}
_PARTS = {"0": "train", "1": "val", "2": "test"}

Names = Annotated[tuple[str, ...], Field(min_length=1)]
Rules = tuple[tuple[str, Names], ...]  # an attribute, and those that it switches off
Line = tuple[int, list[str]]  # its number from 1, and its words


class Attributes(NamedTuple):
    """What a list of attributes holds.

    Attributes:
        names: A words, as its header has them.
        files: The N files, in order.
        values: (N, A) uint8, 1 where the attribute holds.
    """

    names: tuple[str, ...]
    files: list[str]
    values: Tensor

    def chosen(self, names: Sequence[str] | None, where: str) -> Attributes:
        """Only these attributes, in this order; None = all.

        Raises:
            DataError: The list has no such attribute; the nearest one is named.
        """
        if names is None:
            return self
        for name in names:
            if name not in self.names:
                raise DataError(
                    f"{where}: data.attributes has {shown(name)!r}, which is not listed there; "
                    f"{nearest(name, self.names)}"
                )
        places = [self.names.index(name) for name in names]
        return Attributes(tuple(names), self.files, self.values[:, places])


def read_attributes(path: Path) -> Attributes:
    """The attributes of all pictures of a set.

    Raises:
        DataError: The file can't be read, or a line of it is wrong; its number is named.
    """
    where, lines = shown(path), _lines(path)
    promised, header = _head(next(lines, None), lines)
    first = next(lines, None)
    if header is None or first is None:
        raise DataError(f"{where}: no rows; expected names of attributes and a line per picture")
    names = header[1][1:] if len(header[1]) == len(first[1]) else header[1]
    _check_names(names, f"{where}, line {header[0]}")
    seen: dict[str, int] = {}
    signs: set[str] = set()
    content = bytearray()
    for at, (file, *values) in chain([first], lines):
        _add(seen, file, at, where)
        content += _flags(values, names, f"{where}, line {at}")
        signs.update(values)
    if promised is not None and promised != len(seen):
        raise DataError(
            f"{where}: its first line says {promised:,} pictures, but {len(seen):,} rows follow; "
            "get it anew, or correct the number"
        )
    if len(signs) > 2:
        raise DataError(f"{where}: has -1, 0 and 1; expected two of them, 1 where it holds")
    flags = torch.frombuffer(content, dtype=torch.uint8).view(len(seen), len(names))
    return Attributes(tuple(names), list(seen), flags)


def read_partition(path: Path) -> dict[str, str]:
    """Of each file its part: "train" for 0, "val" for 1 and "test" for 2.

    Raises:
        DataError: The file can't be read, or a line of it is wrong; its number is named.
    """
    where, seen, parts = shown(path), dict[str, int](), list[str]()
    for at, words in _lines(path):
        if not seen and len(words) == 2 and not words[1].isdecimal():
            continue  # a header, as copies with commas have one
        if len(words) != 2 or words[1] not in _PARTS:
            raise DataError(
                f"{where}, line {at}: expected a file and 0 (train), 1 (validation) or 2 (test), "
                f"found {shown(' '.join(words), 60)}"
            )
        _add(seen, words[0], at, where)
        parts.append(_PARTS[words[1]])
    return dict(zip(seen, parts, strict=True))


def check_listed(files: Sequence[str], known: Collection[str], where: str) -> None:
    """Raise a `DataError` where files of the list of attributes have no part."""
    without = [file for file in files if file not in known]
    if without:
        raise DataError(
            f"{where}: says nothing of {len(without):,} of {len(files):,} pictures, the first is "
            f"{shown(without[0])}; add a line for each, or set data.partition_file=null, then all "
            "of them train"
        )


def read_text(path: Path) -> str:
    """The text of a list.

    Raises:
        DataError: It can't be read, is no UTF-8, or too large to be meant.
    """
    try:
        refuse_large(path.stat().st_size, shown(path), LARGEST_TABLE)
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(
            f"{shown(path)}: can't be read ({error.strerror or error}){from_here(path)}"
        ) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{shown(path)}: no UTF-8 text ({error}); save it as UTF-8") from None


def flags_column(
    names: Sequence[str], listed: Sequence[str], rules: Rules | None, where: str
) -> Flags:
    """The column of these attributes, with the rules of which can't hold together.

    Args:
        names: Those that are read.
        listed: All that there are: rules may name others than those that are read.
        rules: As `data.excludes` has them; None = what is known of all that there are.
        where: What messages name.

    Raises:
        DataError: A rule names an attribute that is not there; the nearest one is named.
    """
    if rules is None:
        rules = known_excludes(listed)
    for name in (word for rule, off in rules for word in (rule, *off)):
        if name not in listed:
            raise DataError(
                f"{where}: data.excludes has {shown(name)!r}, which is not listed there; "
                f"{nearest(name, listed)}"
            )
    kept = ((name, tuple(n for n in off if n in names)) for name, off in rules)
    return Flags(tuple(names), tuple((name, off) for name, off in kept if name in names and off))


def flags_of(listed: Sequence[Listed], names: Sequence[str], where: str) -> Tensor:
    """The attributes of pictures, (N, A) uint8, as metadata.jsonl says them: by columns, or in an
    object `attributes`; true or false, 1 or 0, 1 or -1.

    Raises:
        DataError: There is no metadata.jsonl, or a value is missing or something else.
    """
    signs: set[int] = set()
    rows = []
    for one in listed:
        if one.row is None:
            raise no_metadata(where)
        inner = one.row.get("attributes")
        said = {**one.row, **inner} if isinstance(inner, Mapping) else one.row
        values = [_said(said, name, one.entry.where) for name in names]
        signs.update(values)
        rows.append([value > 0 for value in values])
    if len(signs) > 2:
        raise DataError(f"{where}: attributes are -1, 0 and 1; expected two of them, 1 = it holds")
    return torch.tensor(rows, dtype=torch.uint8)


def no_metadata(where: str) -> DataError:
    """What to say where attributes are asked for and nothing says them."""
    return DataError(
        f"{where}: data.attributes names columns of metadata.jsonl, and there is none; write one, "
        "or leave data.attributes out"
    )


def _said(row: Mapping[str, Any], name: str, where: str) -> int:
    """One value of a line of metadata.jsonl: -1, 0 or 1."""
    if name not in row:
        raise DataError(
            f"{where}: metadata.jsonl says nothing of {shown(name)!r}; {nearest(name, list(row))}"
        )
    value = row[name]
    if not isinstance(value, bool | int) or value not in (-1, 0, 1):
        raise DataError(
            f"{where}: {shown(name)} is {shown(repr(value), 60)} in metadata.jsonl; expected true "
            "or false, 1 or 0, 1 or -1"
        )
    return int(value)


def _lines(path: Path) -> Iterator[Line]:
    """The words of each line that isn't empty, with its number."""
    text = read_text(path)
    commas = "," in text[: text.find("\n", text.find("\n") + 1)]  # in the first two lines
    for at, line in enumerate(io.StringIO(text), 1):
        words = [word.strip() for word in line.split(",")] if commas else line.split()
        if any(words):
            yield at, words


def _head(first: Line | None, lines: Iterator[Line]) -> tuple[int | None, Line | None]:
    """How many rows the first line says there are, if it does; and the line with the names."""
    if first is None or len(first[1]) != 1 or not first[1][0].isdecimal():
        return None, first
    return int(first[1][0]), next(lines, None)


def _check_names(names: Sequence[str], where: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice or not names:
        what = f"attribute {shown(twice[0])} stands there twice" if twice else "no attributes"
        raise DataError(f"{where}: {what}; expected the names of the attributes, each once")


def _add(seen: dict[str, int], file: str, at: int, where: str) -> None:
    """Note that a line is of a file, of which there may be no other."""
    refuse_escape(file, f"{where}, line {at}")
    if file in seen:
        raise DataError(
            f"{where}, line {at}: {shown(file)} stands in line {seen[file]} already; delete one of "
            "them"
        )
    seen[file] = at


def _flags(values: Sequence[str], names: Sequence[str], where: str) -> bytes:
    """One row as bytes of 0 and 1."""
    if len(values) != len(names):
        raise DataError(
            f"{where}: {len(values)} values behind the file, but {len(names)} attributes are named"
        )
    try:
        return bytes(_OFF_ON[value] for value in values)
    except KeyError:
        place = next(i for i, value in enumerate(values) if value not in _OFF_ON)
        raise DataError(
            f"{where}: {shown(names[place])} is {shown(values[place], 60)}; expected -1 or 1"
        ) from None
