"""A folder of images: plain, one sub-folder per class, or with labels in `metadata.jsonl`.

`train/` and `test/` below the root, when there, are its two parts. Class numbers always come from
the train part, so that a class which the test part lacks shifts nothing.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from genkit.config import FolderData
from genkit.data.encoded import EncodedSource, Entry, opened
from genkit.data.sources import Source
from genkit.errors import DataError
from genkit.images import EXTENSIONS

METADATA = "metadata.jsonl"
Class = str | int | None
Listed = tuple[Path, Class]  # a file and the class it is in


def open_folder(data: FolderData, split: str) -> Source:
    """The images below `data.root`, or below its sub-folder of that split."""
    train = list_images(part(data.root, "train"), data.label)
    listed = train if split == "train" else list_images(part(data.root, split), data.label)
    names = class_names(train)
    labels = label_numbers(listed, names, str(data.root))
    if split == "train" and data.limit is not None:
        listed, labels = listed[: data.limit], None if labels is None else labels[: data.limit]
    entries = [file_entry(path) for path, _ in listed]
    name = f"folder:{data.root.resolve().name}:{split}"
    return opened(EncodedSource(name, entries, data, labels, class_names=names))


def part(root: Path, split: str) -> Path:
    """The folder that holds a split: its sub-folder, or the root itself for train."""
    if not root.is_dir():
        raise DataError(f"data.root={root}: no such folder; give one that holds images")
    if (root / split).is_dir():
        return root / split
    if split == "train":
        return root
    raise DataError(
        f"data.root={root}: it has no test part; put images to test against in {root / 'test'} "
        "and those to train on in train/ beside it, or name another reference"
    )


def file_entry(path: Path) -> Entry:
    """A whole file."""
    try:
        return Entry(path, str(path), 0, path.stat().st_size)
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error})") from None


def list_images(folder: Path, label: str | None = None) -> list[Listed]:
    """Every image below a folder with its class, sorted, the classes taking turns.

    Raises:
        DataError: There is none, or classes can't be told.
    """
    listed = _from_metadata(folder, label) if label is not None else _from_folders(folder)
    if not listed:
        raise DataError(
            f"{folder}: no images; looked for {', '.join(sorted(EXTENSIONS))} in it and below"
        )
    return _take_turns(listed)


def _from_folders(folder: Path) -> list[Listed]:
    found = sorted(_walk(folder))
    inside = [path.relative_to(folder).parts for path in found]
    loose = sum(len(parts) == 1 for parts in inside)
    if loose == len(found):
        return [(path, None) for path in found]
    if loose:
        raise DataError(
            f"{folder}: {loose} images lie in it and {len(found) - loose} in sub-folders; move all "
            "into sub-folders, one per class, or all into one plain folder"
        )
    return [(path, parts[0]) for path, parts in zip(found, inside, strict=True)]


def _walk(folder: Path) -> list[Path]:
    found = []
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith((".", "__"))]
        named = (name for name in files if not name.startswith("."))
        found += [Path(parent, n) for n in named if os.path.splitext(n)[1].lower() in EXTENSIONS]
    return found


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
    return [_from_row(folder, line, label, where) for where, line in rows]


def _from_row(folder: Path, line: str, label: str, where: str) -> Listed:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON ({error}); expected one object per line") from None
    if not isinstance(row, dict) or not isinstance(row.get("file_name"), str):
        raise DataError(f'{where}: expected an object with "file_name"')
    if label not in row:
        raise DataError(f"{where}: no column {label!r}; there are: {', '.join(row)}")
    value = row[label]
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise DataError(f"{where}: {label} is {value!r}; a class is a word or a whole number")
    path = folder / row["file_name"]
    if not path.is_file():
        raise DataError(f"{where}: {path} is missing; put it there or delete the line")
    return path, value


def _take_turns(listed: Sequence[Listed]) -> list[Listed]:
    # So that data.limit, which takes the first so many, keeps every class.
    seen: Counter[Class] = Counter()
    turns = []
    for item in listed:
        turns.append(seen[item[1]])
        seen[item[1]] += 1
    order = sorted(range(len(listed)), key=lambda i: turns[i])
    return [listed[i] for i in order]


def class_names(listed: Sequence[Listed]) -> tuple[str, ...] | None:
    """The classes by name, sorted; None when there are none or they are numbers already."""
    return tuple(sorted({c for _, c in listed if isinstance(c, str)})) or None


def label_numbers(
    listed: Sequence[Listed], names: Sequence[str] | None, where: str
) -> Tensor | None:
    """(N,) int64 class numbers, or None when no image has a class."""
    classes = [c for _, c in listed]
    if all(c is None for c in classes):
        return None
    number = {name: i for i, name in enumerate(names or ())}
    for path, c in listed:
        if (names is None) != isinstance(c, int) or (names is not None and c not in number):
            known = "whole numbers" if names is None else ", ".join(list(number)[:20])
            raise DataError(f"{where}: {path} has class {c!r}; the train part has {known}")
    return torch.tensor([c if isinstance(c, int) else number[str(c)] for c in classes])
