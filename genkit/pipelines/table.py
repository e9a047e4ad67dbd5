"""What samples hold beside pictures: classes, flags and texts of every row, as JSON.

What the rows were given is written once, before the first is made; what a pipeline makes beside
pictures goes into a file for each batch, and all of them into the result at its end.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from genkit.files import write_whole
from genkit.pipelines.given import Given
from genkit.rows.columns import Columns, Raw

Table = dict[str, list[Any]]
_GIVEN = ".given.json"
_MADE = ".made-{}.json"


def table_of(rows: Given, held: Columns, count: int) -> Table:
    """What rows 0..count-1 were given, by column; labels that are cycled through are in the spec.

    Where they come from files, `file_name` says what each becomes.
    """
    names = [name for name in held if name != "label" or "label" not in rows.cycles]
    table = {name: _plain(raw) for name, raw in rows.read(range(count), names).items()}
    if "file" not in table:
        return table
    source, named = rows.fields["file"]
    every = _plain(source.read(range(len(source)), (named,))[named])
    return table | {"file_name": names_of(every, count)}


def names_of(files: Sequence[str], count: int) -> list[str]:
    """What `count` pictures made of files in turn are called: the same names as PNG, none twice.

    Folders within the one that holds all the files stay. A larger count begins with the same names.
    """
    common = os.path.commonpath([os.path.dirname(file) or "." for file in files])
    stems = [PurePath(os.path.relpath(f, common)).with_suffix("").as_posix() for f in files]
    again: Counter[str] = Counter()
    names: dict[str, None] = {}
    for i in range(count):
        stem = stems[i % len(stems)]
        name = f"{stem}.png"
        while name in names:
            again[stem] += 1
            name = f"{stem}-{again[stem]}.png"
        names[name] = None
    return [*names]


def write_given(folder: Path, table: Table) -> None:
    """Put what the rows are given beside them, over what was there; nothing where there is none."""
    if table:
        write_whole(folder / _GIVEN, json.dumps(table))


def read_given(folder: Path) -> Table:
    """What `write_given` wrote; {} where it wrote nothing."""
    path = folder / _GIVEN
    return json.loads(path.read_text()) if path.is_file() else {}


def write_made(folder: Path, indices: Sequence[int], made: Mapping[str, Raw]) -> None:
    """Put what a batch made beside its pictures, before these."""
    if made:
        table = {"index": list(indices)} | {name: _plain(raw) for name, raw in made.items()}
        write_whole(folder / _MADE.format(indices[0]), json.dumps(table), sync=False)


def keep_made(folder: Path, lines: Sequence[str], names: Sequence[str]) -> None:
    """Put back what finished rows hold beside their pictures, from the lines of their listing."""
    rows = [json.loads(line) for line in lines]
    columns = {name: [row[name] for row in rows] for name in names}
    table = {"index": list(range(len(rows)))} | columns
    write_whole(folder / _MADE.format("kept"), json.dumps(table), sync=False)


def read_made(folder: Path, count: int) -> Table:
    """What all batches made, in the order of the rows."""
    table: Table = {}
    for path in sorted(folder.glob(_MADE.format("*"))):
        batch = json.loads(path.read_text())
        for name in batch.keys() - {"index"}:
            values = table.setdefault(name, [None] * count)
            for index, value in zip(batch["index"], batch[name], strict=True):
                values[index] = value
    return table


def clear(folder: Path) -> None:
    """Remove what was written beside the rows."""
    for path in (folder / _GIVEN, *folder.glob(_MADE.format("*"))):
        path.unlink(missing_ok=True)


def as_array(values: Sequence[Any]) -> NDArray[Any]:
    """A column as an array that needs no pickle: numbers, or texts."""
    array = np.array(values)
    return array.astype(np.int64) if array.dtype.kind in "biu" else array


def _plain(raw: Raw) -> list[Any]:
    """Values as JSON; of several texts for one row the first, which is what a pipeline is given."""
    if isinstance(raw, Tensor):
        return raw.tolist()
    return [value if isinstance(value, str) else value[0] for value in raw]
