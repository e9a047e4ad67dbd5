"""Pictures before and after an edit whose right answer is known: `counterfactuals.jsonl`.

One object a line, paths from the root of the set on:

    {"source": "img_align_celeba/011353.png", "target": "counterfactual/000001.png",
     "attribute": "Bald", "from": -1, "to": 1, "target_labels": [1, -1, ...], "truth": "unique"}

`target` is the same face with `attribute` changed, and `target_labels` its whole row in the order
of the list of attributes; what excludes the new value is off in it too. `truth` is "one_of_several"
where what appears can't be known from the source, such as the style of new hair; left out it is
"unique". Only the evaluator opens such rows.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from genkit.config import nearest
from genkit.data.attribute_lists import Attributes, read_text
from genkit.errors import DataError, shown
from genkit.rows.base import Rows
from genkit.rows.columns import Class, Column, Flags
from genkit.rows.combine import renamed, zipped
from genkit.rows.entries import file_entry, refuse_escape
from genkit.rows.listing import read_json
from genkit.rows.pictures import FileRows, Shape

FILE = "counterfactuals.jsonl"
SWITCH = Class(2, ("off", "on"))
TRUTH = Class(2, ("one_of_several", "unique"))
_OFF_ON = {-1: 0, 0: 0, 1: 1}


class Edit(NamedTuple):
    """One line of the file.

    Attributes:
        source: The picture before, from the root on.
        target: The picture after.
        attribute: Which attribute is changed.
        to: 1 where it is switched on, 0 where off.
        truth: One of the names of `TRUTH`.
        before: (A,) uint8, all attributes of the source.
        after: (A,) uint8, all attributes of the target.
    """

    source: str
    target: str
    attribute: str
    to: int
    truth: str
    before: Tensor
    after: Tensor


def read_edits(path: Path, listed: Attributes, folder: str) -> list[Edit]:
    """Every edit of a file.

    Args:
        path: The file.
        listed: The attributes of all sources.
        folder: That of the listed pictures, from the root on.

    Raises:
        DataError: The file can't be read, or a line of it is wrong; its number is named.
    """
    places = {posixpath.join(folder, file): i for i, file in enumerate(listed.files)}
    lines = enumerate(read_text(path).split("\n"), 1)
    return [
        _edit(line, f"{shown(path)}, line {at}", listed, places)
        for at, line in lines
        if line.strip()
    ]


def edit_rows(
    name: str,
    root: Path,
    edits: Sequence[Edit],
    names: Sequence[str],
    column: Flags,
    shape: Shape,
) -> Rows:
    """Edits as rows: `image`, `attributes`, `target`, `target_attributes`, `edited`, `to`, `truth`.

    Args:
        name: What messages call them.
        root: Of the set.
        edits: Which, each of an attribute of `column`.
        names: All attributes, in the order of `Edit.before`.
        column: The attributes that the rows have.
        shape: What all pictures are brought to.

    Raises:
        DataError: There are none.
    """
    if not edits:
        raise DataError(f"{name}: no edit of {shown(', '.join(column.names))} in {FILE}")
    chosen = torch.tensor([list(names).index(one) for one in column.names])
    columns: dict[str, Column] = {
        "attributes": column,
        "edited": Class(len(column.names), column.names),
        "to": SWITCH,
        "truth": TRUTH,
    }
    numbers = {
        "edited": [column.names.index(edit.attribute) for edit in edits],
        "to": [edit.to for edit in edits],
        "truth": [(TRUTH.names or ()).index(edit.truth) for edit in edits],
    }
    before, after = (torch.stack(rows)[:, chosen] for rows in
                     ([e.before for e in edits], [e.after for e in edits]))  # fmt: skip
    sources = FileRows(
        name,
        [file_entry(root / edit.source) for edit in edits],
        columns,
        {"attributes": before, **{key: torch.tensor(value) for key, value in numbers.items()}},
        shape=shape,
    )
    targets = FileRows(
        name,
        [file_entry(root / edit.target) for edit in edits],
        {"attributes": column},
        {"attributes": after},
        shape=shape,
    )
    others = {"image": "target", "attributes": "target_attributes", "file": "target_file"}
    return zipped(sources, renamed(targets, others), name)


def _edit(line: str, where: str, listed: Attributes, places: Mapping[str, int]) -> Edit:
    tree = read_json(line, where, "one object per line")
    if not isinstance(tree, dict):
        raise DataError(f"{where}: expected an object with source, target, attribute and to")
    source, target, attribute = (
        _text(tree, key, where) for key in ("source", "target", "attribute")
    )
    truth = tree.get("truth", "unique")
    if attribute not in listed.names:
        raise DataError(
            f"{where}: attribute {shown(attribute)!r} is not listed; "
            f"{nearest(attribute, listed.names)}"
        )
    if source not in places:
        raise DataError(f"{where}: source {shown(source)} is not in the list of attributes")
    if truth not in (TRUTH.names or ()):
        raise DataError(f"{where}: truth is {shown(truth)!r}; expected unique or one_of_several")
    before = listed.values[places[source]]
    after = _flags(tree.get("target_labels"), "target_labels", len(listed.names), where)
    to = _flags([tree.get("to")], "to", 1, where)[0]
    if after[listed.names.index(attribute)] != to:
        raise DataError(f"{where}: target_labels has {shown(attribute)} otherwise than `to` says")
    return Edit(source, target, attribute, int(to), truth, before, after)


def _text(tree: Mapping[str, Any], key: str, where: str) -> str:
    value = tree.get(key)
    if not isinstance(value, str):
        raise DataError(f"{where}: {key} is {shown(repr(value), 60)}; expected a text")
    refuse_escape(value, where)
    return value


def _flags(values: Any, key: str, count: int, where: str) -> Tensor:
    """(count,) uint8 of a list of -1 and 1."""
    found = values if isinstance(values, list) else []
    flags = [_OFF_ON.get(v) if isinstance(v, int) and not isinstance(v, bool) else None
             for v in found]  # fmt: skip
    if len(flags) != count or None in flags:
        raise DataError(
            f"{where}: {key} is {shown(repr(values), 60)}; expected {count} of -1 and 1"
        )
    return torch.tensor(flags, dtype=torch.uint8)
