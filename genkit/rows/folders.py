"""Folders and zips of pictures: plain, one sub-folder per class, or listed in `metadata.jsonl` or
`metadata.csv`. Beside a picture that neither lists, a .txt of its name is its caption.

Sub-folders named as splits are the parts of a set if nothing but such sub-folders lies beside them.
"""

from __future__ import annotations

import csv
import io
import os
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from genkit.errors import DataError, shown
from genkit.images import EXTENSIONS
from genkit.rows.entries import LARGEST_TABLE, refuse_escape, refuse_large
from genkit.rows.left_out import NONE, LeftOut
from genkit.rows.listing import Listed, Listing, read_caption, read_json, read_label, read_text
from genkit.rows.tree import (
    DATASET,
    METADATA,
    TABLE,
    Tree,
    folder_tree,
    is_picture,
    no_pictures,
    table_of,
    walk,
    zip_tree,
)

LABEL = "label"  # the column of metadata.jsonl that holds the class, unless another is named
SPLITS = ("train", "test", "val", "valid", "validation", "truth", "counterfactual")


def list_folder(root: Path, label: str | None = LABEL) -> Listing:
    """The pictures below a folder, sorted by name, or as its metadata.jsonl lists them.

    Args:
        root: The folder.
        label: The column of metadata.jsonl that holds the class. "label" may be left out of it,
            and the file may be missing; None = metadata.jsonl is not looked at.

    Raises:
        DataError: There are no pictures, or metadata.jsonl is wrong.
    """
    if not os.path.isdir(root):  # a name may be too long to ask the path itself
        raise DataError(f"{shown(root)}: no such folder{from_here(root)}; give one that has images")
    return _list(folder_tree(root), "folder", label)


def list_zip(path: Path, label: str | None = LABEL) -> Listing:
    """The pictures of a zip file by name, with the classes in its dataset.json; without one it is
    read as the folder that was packed.

    Raises:
        DataError: It is no zip, holds no pictures, or a member is not safe to read.
    """
    tree = zip_tree(path)
    if not tree.pictures:
        raise DataError(f"{shown(path)}: no images in this file")
    tables = [name for name in tree.names if name.rpartition("/")[2] == DATASET]
    if not tables:
        return _list(_unwrapped(tree), "zip", label)
    table = min(tables, key=lambda name: (name.count("/"), name))
    labels, where = _table(tree, table), f"{shown(path)}:{shown(table)}"
    listed = [
        Listed(tree.entry(name), read_label(labels.get(name), where)) for name in tree.pictures
    ]
    return Listing(
        "zip", {"": listed}, left_out={"": no_pictures(n for n in tree.names if n != table)}
    )


def from_here(path: Path) -> str:
    """What to add where a path doesn't exist: what a relative one is relative to."""
    return "" if path.is_absolute() else f" (looked in {shown(Path.cwd())})"


def has_pictures(folder: Path) -> bool:
    """Whether any picture lies in a folder or below it."""
    return any(is_picture(name) for name in walk(folder))


class _Part(NamedTuple):
    listed: list[Listed]
    left_out: LeftOut
    columns: tuple[str, ...] = ()
    note: str = ""


def _list(tree: Tree, kind: str, label: str | None) -> Listing:
    note = ""
    if label is not None and table_of(tree) is not None:
        parts, beside = _from_metadata(tree, label), NONE
    else:
        folders, note = _splits(tree)
        places = {name: tree.below(folder) for name, folder in folders.items()} or {"": tree}
        parts = {name: _part(place, label) for name, place in places.items()}
        beside = no_pictures(name for name in tree.names if folders and "/" not in name)
    first = "train" if "train" in parts else next(iter(parts))
    left_out = {name: part.left_out for name, part in parts.items()}
    left_out[first] += beside + tree.problems
    columns = tuple(dict.fromkeys(column for part in parts.values() for column in part.columns))
    listed = {name: part.listed for name, part in parts.items()}
    notes = tuple(filter(None, (note, *(part.note for part in parts.values()))))
    return Listing(kind, listed, left_out=left_out, columns=columns, notes=notes)


def _splits(tree: Tree) -> tuple[dict[str, str], str]:
    """The folders of a set's parts by the name of their split, none where it has no parts; and
    what is to be said of it.
    """
    loose = [name for name in tree.pictures if "/" not in name]
    tops = dict.fromkeys(name.partition("/")[0] for name in tree.pictures if "/" in name)
    named = [top for split in SPLITS for top in tops if top.lower() == split]
    words = " and ".join(map(shown, named))
    beside = sorted(top for top in tops if top not in named) + loose
    if not named or not beside:
        parts = {top.lower(): top for top in named}
        if len(parts) < len(named):
            raise DataError(f"{tree.where}: {words} name a part twice; rename one, or move it away")
        return parts, ""
    if any(top.lower() == "train" for top in named):
        raise DataError(
            f"{tree.where}: {words} would be parts of a set, but {shown(beside[0])} lies beside; "
            f"if it's all classes, rename {words}; if not, move {shown(beside[0])} elsewhere"
        )
    first = shown(beside[0])
    return {}, f"{tree.where}: {first} beside {words}, so these are classes, not parts of a set"


def _part(tree: Tree, label: str | None) -> _Part:
    if label is not None and (label != LABEL or table_of(tree) is not None):
        return _listed(tree, _rows(tree, label), label, tree.names)
    listed, captions = _from_folders(tree)
    if not listed:
        raise DataError(
            f"{tree.where}: no images; looked for .png, .jpg and {len(EXTENSIONS) - 2} other "
            f"endings in it and below; {no_pictures(tree.names).sentence(examples=True)}"
        )
    return _Part(listed, no_pictures(name for name in tree.names if name not in captions))


def _from_folders(tree: Tree) -> tuple[list[Listed], set[str]]:
    """The pictures by the folders that they lie in, and the files of their captions."""
    found = tree.pictures
    loose = sum("/" not in name for name in found)
    if 0 < loose < len(found):
        raise DataError(
            f"{tree.where}: {loose} images lie in it and {len(found) - loose} in sub-folders; move "
            "all into sub-folders, one per class, or all into one plain folder"
        )
    there, read = {*tree.names}, {}
    for name in found:
        beside = f"{posixpath.splitext(name)[0]}.txt"
        if beside in there:
            read[name] = beside
    listed = []
    for name in found:
        label = None if loose else name.partition("/")[0]
        said = None
        if name in read:
            text = tree.entry(read[name]).read()
            said = read_text(text, f"{tree.where}/{shown(read[name])}") or None
        listed.append(Listed(tree.entry(name), label, said))
    return listed, {*read.values()}


# -- metadata.jsonl and metadata.csv ---------------------------------------------------------------


class _Row(NamedTuple):
    where: str
    name: str  # of the file, within the set
    values: Mapping[str, Any]


def _rows(tree: Tree, label: str) -> list[_Row]:
    """What metadata.jsonl or metadata.csv lists, as Hugging Face imagefolder has it."""
    table = table_of(tree)
    path = f"{tree.where}/{table or METADATA}"
    if table is None:
        raise DataError(
            f"{path}: can't be read (not there), but data.label={shown(label)} asks for one of its "
            "columns; write it, or leave data.label out"
        )
    try:
        text = tree.entry(table).read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: no UTF-8 text ({error}); save it as UTF-8") from None
    if table == TABLE:
        return [_checked(row, where) for row, where in _csv_rows(text, path)]
    lines = enumerate(text.split("\n"), 1)
    return [_row(line, f"{path}, line {i}") for i, line in lines if line.strip()]


def _row(line: str, where: str) -> _Row:
    row = read_json(line, where, "one object per line")
    return _checked(row if isinstance(row, dict) else {}, where)


def _csv_rows(text: str, path: str) -> Iterator[tuple[dict[str, str], str]]:
    """Rows by column, every value a word, and where each stands; empty values are left out."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            if None in row or None in row.values():
                there = len(reader.fieldnames or ())
                raise DataError(
                    f"{where}: expected {there} values; put texts with commas in quotes"
                )
            yield {name: value for name, value in row.items() if value != ""}, where
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: no CSV ({error})") from None


def _checked(row: Mapping[str, Any], where: str) -> _Row:
    if not isinstance(row.get("file_name"), str):
        raise DataError(f'{where}: expected an object with "file_name"')
    refuse_escape(row["file_name"], where)
    return _Row(where, posixpath.normpath(row["file_name"]), row)


def _from_metadata(tree: Tree, label: str) -> dict[str, _Part]:
    """The files that metadata.jsonl lists, by part if each lies in a folder named as a split."""
    rows = _rows(tree, label)
    found = {_split_of(row.name) for row in rows}
    parts = [split for split in SPLITS if split in found]
    if "" in found or not rows:
        return {"": _listed(tree, rows, label, tree.names)}
    names: dict[str, list[str]] = {part: [] for part in parts}
    for name in tree.names:
        split = _split_of(name)
        names[split if split in names else next(iter(names))].append(name)
    return {
        part: _listed(tree, [r for r in rows if _split_of(r.name) == part], label, names[part])
        for part in parts
    }


def _split_of(name: str) -> str:
    top = name.partition("/")[0].lower()
    return top if top in SPLITS and "/" in name else ""


def _listed(tree: Tree, rows: Sequence[_Row], label: str, names: Sequence[str]) -> _Part:
    """The pictures of these rows; `names` are all files that lie there."""
    listed = [_one(tree, row, label) for row in rows]
    known = {row.name for row in rows}
    others = [name for name in names if name not in known]
    unlisted = [name for name in others if is_picture(name)]
    left_out = LeftOut.of(f"not listed in {table_of(tree) or METADATA}", unlisted)
    left_out += no_pictures(others)
    columns = tuple(dict.fromkeys(column for row in rows for column in row.values))
    return _Part(listed, left_out, columns)


def _one(tree: Tree, row: _Row, label: str) -> Listed:
    if label not in row.values and label != LABEL:
        there = shown(", ".join(row.values))
        raise DataError(f"{row.where}: no column {label!r}; there are: {there}")
    if not tree.has(row.name):
        slashes = "; write / between folders" if "\\" in row.name else ""
        raise DataError(
            f"{row.where}: {tree.where}/{shown(row.name)} is missing; put it there or delete the "
            f"line{slashes}"
        )
    known = read_label(row.values.get(label), row.where, label)
    return Listed(tree.entry(row.name), known, read_caption(row.values, row.where), row.values)


# -- dataset.json of a zip -------------------------------------------------------------------------


def _table(tree: Tree, table: str) -> dict[str, Any]:
    """The class of each picture by its name, as StyleGAN and EDM write it."""
    where, folder = f"{tree.where}:{shown(table)}", table.rpartition("/")[0]
    entry = tree.entry(table)
    refuse_large(entry.size, where, LARGEST_TABLE)
    expected = '{"labels": [[name, class], ...]}'
    found = read_json(entry.read(), where, expected)
    try:
        labels = dict(found.get("labels") or [])
        labels = {posixpath.join(folder, name): label for name, label in labels.items()}
    except (ValueError, TypeError, AttributeError):
        raise DataError(f"{where}: expected {expected}") from None
    strange = [name for name in labels if not tree.has(name)]
    if strange:
        raise DataError(
            f"{where}: has classes of {len(strange)} files that aren't in the zip, the first is "
            f"{shown(strange[0])}; pack it anew with them, or without their classes"
        )
    return labels


def _unwrapped(tree: Tree) -> Tree:
    """Without the folder that all of it was packed in, unless that is named as a part."""
    levels = zip(*(name.split("/")[:-1] for name in tree.pictures), strict=False)
    shared = [tops[0] for tops in takewhile(lambda tops: len({*tops}) == 1, levels)]
    folders = "/".join(takewhile(lambda top: top.lower() not in SPLITS, shared))
    return tree.below(folders) if folders else tree
