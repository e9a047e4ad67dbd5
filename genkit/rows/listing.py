"""What a set of files lists: pictures with their classes and captions, before any is decoded.

One set of rules for classes, wherever they are written. Words are classes by name, sorted, and
sorted as numbers where all are whole numbers: the folders 3, 7 and 12 are the classes 0, 1 and 2
with these names. Whole numbers that are not words, as `.cls` files and metadata hold them, are the
numbers of the classes. Classes are those of the train part, so that one which the test part lacks
shifts nothing.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor

from genkit.errors import DataError, shown
from genkit.rows.columns import Class, are_numbers
from genkit.rows.entries import Entry
from genkit.rows.left_out import NONE, LeftOut

Label = str | int | None
Caption = str | list[str] | None
log = logging.getLogger("genkit")
_LARGEST_CLASS = 1 << 40


class Listed(NamedTuple):
    """One picture, its class and its caption, where it has them, and its line of metadata.jsonl."""

    entry: Entry
    label: Label = None
    caption: Caption = None
    row: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Listing:
    """The pictures of a set.

    Attributes:
        kind: What holds them: "folder", "shards" or "zip".
        parts: The pictures by their split; "" = the set is not divided, so all of them train.
        names: Words for classes that are written as numbers, or None.
        left_out: What lies in each of these parts and is not read.
        columns: What metadata.jsonl calls its columns, where there is one.
        notes: What a user should know of how it was read.
        unlisted: Further parts, of which nobody asked what is in them, in words: "test (2 shards)".
    """

    kind: str
    parts: Mapping[str, Sequence[Listed]]
    names: tuple[str, ...] | None = None
    left_out: Mapping[str, LeftOut] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()

    def say(self, name: str, split: str | None = None) -> None:
        """Log the notes, and which part is read where there are several.

        Args:
            name: What messages call the rows.
            split: The part that is read; None = all.
        """
        for note in self.notes:
            log.warning("%s", note)
        others = [f"{part} ({len(held):,})" for part, held in self.parts.items() if part != split]
        others += self.unlisted
        if split in self.parts and others:
            log.info("%s: of the parts only %s is read, not %s", name, split, ", ".join(others))

    def part(self, split: str | None, where: str) -> list[Listed]:
        """The pictures of one split, or of all of them one after the other.

        Raises:
            DataError: There is no such split.
        """
        return [one for part in self._chosen(split, where) for one in self.parts[part]]

    def without(self, split: str | None, where: str) -> LeftOut:
        """What lies in one split, or in any of them, and is not read.

        Raises:
            DataError: There is no such split.
        """
        parts = self._chosen(split, where)
        return sum((self.left_out.get(part, NONE) for part in parts), NONE)

    def _chosen(self, split: str | None, where: str) -> list[str]:
        if split is None:
            return list(self.parts)
        if split == "train" and "" in self.parts:
            split = ""
        if split not in self.parts:
            raise no_part(where, split, self.parts)
        return [split]

    def classes(self, listed: Sequence[Listed], where: str) -> tuple[Tensor | None, Class | None]:
        """The numbers of the classes of these pictures (N,) int64 and what the column is.

        Raises:
            DataError: Some have no class, or one that the train part doesn't know.
        """
        known = [*self.parts.get("train", self.part(None, where))]
        words = {one.label for one in known if isinstance(one.label, str)}
        names = in_order(words) if words else self.names
        numbered = {name: number for number, name in enumerate(names or ())}
        labels = [_number(one, numbered, words, where) for one in listed]
        given = [label for label in labels if label is not None]
        if not given:
            return None, None
        if len(given) < len(labels):
            first = listed[labels.index(None)].entry.where
            lacking = f"{len(labels) - len(given)} of {len(labels)} images have no label"
            raise DataError(f"{where}: {lacking}, the first is {first}; give all of them one")
        numbers = [one.label for one in known if isinstance(one.label, int)]
        count = 1 + max(0, *numbers, *given) if names is None else len(names)
        return torch.tensor(given, dtype=torch.int64), Class(count, names)


def no_part(where: str, split: str, parts: Collection[str]) -> DataError:
    """What to say where a set has no such split."""
    there = ", ".join(part for part in parts if part)
    found = f"there are: {there}" if there else "it is not divided"
    return DataError(
        f"{where}: it has no {split} part ({found}); put images to test against in test/ and those "
        "to train on in train/ beside it"
    )


def in_order(words: Collection[str]) -> tuple[str, ...]:
    """Names of classes, sorted; as numbers where all of them are whole numbers."""
    if are_numbers(words):
        return tuple(sorted(words, key=lambda word: (int(word), word)))
    return tuple(sorted(words))


def take_turns(listed: Sequence[Listed]) -> list[Listed]:
    """The same pictures, the classes taking turns, so that the first so many have every class."""
    seen: Counter[Label] = Counter()
    turns = []
    for one in listed:
        turns.append(seen[one.label])
        seen[one.label] += 1
    order = sorted(range(len(listed)), key=lambda i: turns[i])
    return [listed[i] for i in order]


def read_json(content: bytes | str, where: str, expected: str) -> Any:
    """What a JSON text holds.

    Raises:
        DataError: It is none, or one that is nested too deeply to be read.
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise DataError(f"{where}: nested too deeply; expected {expected}") from None
    except ValueError as error:
        raise DataError(f"{where}: not JSON ({error}); expected {expected}") from None


def read_label(value: Any, where: str, name: str = "label") -> Label:
    """A class as a file names it under `name`.

    Raises:
        DataError: It is neither a word nor a whole number.
    """
    if isinstance(value, bool) or not (value is None or isinstance(value, str | int)):
        given = shown(repr(value))
        raise DataError(f"{where}: {name} is {given}; a class is a word or a whole number")
    if isinstance(value, int) and abs(value) > _LARGEST_CLASS:
        raise DataError(f"{where}: {name} is larger than {_LARGEST_CLASS:,}; number classes from 0")
    return value


def read_caption(row: Mapping[str, Any], where: str) -> Caption:
    """What a row of metadata says of its picture, under `caption` or `text`: one text or several.

    A text of blanks says nothing, and is none.

    Raises:
        DataError: It is something else, or one of several is empty.
    """
    found = row.get("caption", row.get("text"))
    if found is None or isinstance(found, str):
        return found if found and found.strip() else None
    if isinstance(found, list) and found and all(isinstance(text, str) for text in found):
        if not all(text.strip() for text in found):
            raise DataError(f"{where}: one of its {len(found)} captions is empty; take it out")
        return found
    given = shown(repr(found))
    raise DataError(f"{where}: caption is {given}; expected a text or a list of texts")


def read_text(content: bytes, where: str) -> str:
    """The caption that a file of its own holds, without what is blank around it.

    Raises:
        DataError: It is no UTF-8.
    """
    try:
        return content.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: the caption is no UTF-8 text ({error})") from None


def read_foils(one: Listed) -> Caption:
    """What a row of metadata has under `foil`: for each caption one that is nearly right and wrong
    all the same, "" where there is none; None without any.

    Raises:
        DataError: It is something else, or of another number than the captions.
    """
    found = None if one.row is None else one.row.get("foil")
    if found is None:
        return None
    several = isinstance(one.caption, list)
    texts = found if several and isinstance(found, list) else [found]
    wanted = len(one.caption) if several and one.caption is not None else 1
    if len(texts) != wanted or not all(isinstance(text, str) for text in texts):
        raise DataError(
            f"{one.entry.where}: foil is {shown(repr(found))}; expected {wanted} text"
            f"{'s in a list' if several else ''}, one for each caption"
        )
    found_texts: Caption = found
    return found_texts


def _number(
    one: Listed, numbers: Mapping[str, int], words: Collection[str], where: str
) -> int | None:
    if one.label is None or (not words and isinstance(one.label, int)):
        return one.label
    if one.label in words:
        return numbers[str(one.label)]
    known = shown(", ".join(islice(numbers, 20))) if words else "whole numbers"
    label = shown(repr(one.label))
    raise DataError(f"{where}: {one.entry.where} has class {label}; the train part has {known}")
