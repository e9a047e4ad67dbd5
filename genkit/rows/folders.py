"""Folders of pictures: plain, one sub-folder per class, or listed in `metadata.jsonl`.

Sub-folders named as splits are the parts of a set if nothing but such sub-folders lies beside them.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genkit.errors import DataError
from genkit.images import EXTENSIONS
from genkit.rows.entries import file_entry, refuse_escape
from genkit.rows.listing import Listed, Listing, read_caption, read_label

METADATA = "metadata.jsonl"
LABEL = "label"  # the column of metadata.jsonl that holds the class, unless another is named
SPLITS = ("train", "test", "val", "valid", "validation", "truth", "counterfactual")

log = logging.getLogger("genkit")


def list_folder(root: Path, label: str | None = LABEL) -> Listing:
    """The pictures below a folder, sorted by name, or as its metadata.jsonl lists them.

    Args:
        root: The folder.
        label: The column of metadata.jsonl that holds the class. "label" may be left out of it,
            and the file may be missing; None = metadata.jsonl is not looked at.

    Raises:
        DataError: There are no pictures, or metadata.jsonl is wrong.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; give one that holds images")
    parts = _splits(root, label) or {"": root}
    return Listing("folder", {name: _list(folder, label) for name, folder in parts.items()})


def has_pictures(folder: Path) -> bool:
    """Whether any picture lies in a folder or below it."""
    return next(_walk(folder), None) is not None


def _splits(root: Path, label: str | None) -> dict[str, Path]:
    named = {name: root / name for name in SPLITS if (root / name).is_dir()}
    if not named or (label is not None and (root / METADATA).is_file()):
        return {}
    named = {name: folder for name, folder in named.items() if has_pictures(folder)}
    others = [path for path in root.iterdir() if _is_seen(path.name) and path.name not in named]
    beside = [
        path for path in others if _is_picture(path.name) or (path.is_dir() and has_pictures(path))
    ]
    if beside and named:
        log.warning(
            "%s: %s beside %s, so these are classes, not parts of a set",
            root, beside[0].name, " and ".join(named),
        )  # fmt: skip
    return {} if beside else named


def _list(folder: Path, label: str | None) -> list[Listed]:
    known = label is not None and (label != LABEL or (folder / METADATA).is_file())
    listed = _from_metadata(folder, label) if known and label else _from_folders(folder)
    if not listed:
        raise DataError(
            f"{folder}: no images; looked for {', '.join(sorted(EXTENSIONS))} in it and below"
        )
    return listed


def _from_folders(folder: Path) -> list[Listed]:
    found = sorted(_walk(folder))
    inside = [path.relative_to(folder).parts for path in found]
    loose = sum(len(parts) == 1 for parts in inside)
    if loose == len(found):
        return [Listed(file_entry(path)) for path in found]
    if loose:
        raise DataError(
            f"{folder}: {loose} images lie in it and {len(found) - loose} in sub-folders; move all "
            "into sub-folders, one per class, or all into one plain folder"
        )
    return [Listed(file_entry(path), parts[0]) for path, parts in zip(found, inside, strict=True)]


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if _is_seen(name)]
        yield from (Path(parent, name) for name in files if _is_picture(name))


def _is_seen(name: str) -> bool:
    return not name.startswith((".", "__"))


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS


# -- metadata.jsonl --------------------------------------------------------------------------------


def _from_metadata(folder: Path, label: str) -> list[Listed]:
    """The files that metadata.jsonl lists, as Hugging Face imagefolder has it."""
    path = folder / METADATA
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: can't be read ({error}), but data.label={label} asks for one of its columns; "
            "write it, or leave data.label out"
        ) from None
    rows = [(f"{path}, line {i}", line) for i, line in enumerate(lines, 1) if line.strip()]
    listed = [_from_row(folder, _row(line, where), label, where) for where, line in rows]
    without = [one.entry.name for one in listed if one.caption is None]
    if len(without) in (0, len(listed)):
        return listed
    log.warning(
        "%s: %d of %d images have no caption, the first is %s; captions are left out, since all "
        "must have one",
        *(path, len(without), len(listed), without[0]),
    )
    return [one._replace(caption=None) for one in listed]


def _row(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON ({error}); expected one object per line") from None
    if not isinstance(row, dict) or not isinstance(row.get("file_name"), str):
        raise DataError(f'{where}: expected an object with "file_name"')
    return row


def _from_row(folder: Path, row: dict[str, Any], label: str, where: str) -> Listed:
    if label not in row and label != LABEL:
        raise DataError(f"{where}: no column {label!r}; there are: {', '.join(row)}")
    refuse_escape(row["file_name"], where)
    path = folder / row["file_name"]
    if not path.is_file():
        raise DataError(f"{where}: {path} is missing; put it there or delete the line")
    return Listed(
        file_entry(path), read_label(row.get(label), where, label), read_caption(row, where)
    )
