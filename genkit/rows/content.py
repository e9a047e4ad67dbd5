"""The files of a set as one number, so that a set which lost or regained some is known again.

A fingerprint depends on the order of the rows. This is a sum over the files (modulo 2^256, of their
SHA-256), from which single ones can be left out: those that were found broken.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from torch import Tensor

from genkit.errors import DataError
from genkit.rows.base import Rows
from genkit.rows.pictures import HEAD, FileRows

_MODULUS = 1 << 256


def content(rows: Rows, root: str, without: Collection[str] = ()) -> str | None:
    """What names the files of the rows, whatever their order; None where they are no files.

    Args:
        rows: The set.
        root: Where it lies: names of files are taken from there on.
        without: Names of files that don't count.
    """
    if not isinstance(rows, FileRows):
        return None
    total = 0
    for index, entry in enumerate(rows.entries):
        if within(root, entry.name) not in without:
            total += _digest(rows, index)
    return f"{total % _MODULUS:064x}"


def within(root: str, name: str) -> str:
    """The name of a file from the root of its set on, which stays when the set is moved."""
    return name.removeprefix(f"{root}/")


def unreadable(rows: Rows, indices: Collection[int], root: str) -> tuple[str, ...]:
    """The names of those of these rows that can't be read; empty where rows are no files."""
    found: list[str] = []
    if not isinstance(rows, FileRows):
        return ()
    for index in indices:
        try:
            rows.read([index])
        except DataError:
            found.append(within(root, rows.entries[index].name))
    return tuple(found)


def _digest(rows: FileRows, index: int) -> int:
    entry = rows.entries[index]
    shape = "" if rows.shape is None else rows.shape.text
    facts = [shape, entry.path.name, entry.size]
    for _, values in sorted(rows.values.items()):
        value = values[index]
        facts.append(value.tolist() if isinstance(value, Tensor) else value)
    digest = hashlib.sha256(repr(facts).encode())
    digest.update(entry.read(HEAD))
    return int.from_bytes(digest.digest(), "big")
