"""WebDataset shards: .tar and .tar.gz archives in which KEY.cls and KEY.json lie beside KEY.png.

One scan notes where each member begins, so any picture can be read at once: order and resume are
exact, as with a folder. A .tar.gz can't be read from the middle; it is unpacked once to the cache.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from genkit.errors import DataError, shown
from genkit.files import cache_folder, write_whole
from genkit.images import EXTENSIONS
from genkit.rows.entries import Entry, refuse_escape, refuse_large
from genkit.rows.left_out import NONE, LeftOut
from genkit.rows.listing import (
    Caption,
    Label,
    Listed,
    Listing,
    read_caption,
    read_json,
    read_label,
    read_text,
)
from genkit.rows.shard_names import SUFFIXES, find_shards, parts_of
from genkit.rows.tree import is_picture, no_pictures

CLASS_NAMES = "class_names.json"
_SIDES = (".cls", ".txt", ".json")
_LARGEST_SIDE = 1 << 24  # bytes of what lies beside one picture


def list_shards(root: Path, split: str | None = None) -> Listing:
    """The pictures of a folder of shards, of one shard, or of those that fit a pattern.

    Args:
        root: The folder, file or pattern.
        split: Scan only the shards of this split; None = all.

    Raises:
        DataError: There are none, none of this split, or one is wrong.
    """
    shards = find_shards(root)
    names = read_class_names(shards[0].parent)
    parts, stray = parts_of(shards)
    if split == "train" and "train" not in parts and not root.is_dir():
        parts = {"": shards}  # of which part each is says a folder only: these were named
    if split is None:
        found = {name: list_tars(files) for name, files in parts.items()}
    else:
        part = _chosen(parts, split, root)
        found = {"" if part == "" else split: list_tars(parts[part])}
        words = any(isinstance(one.label, str) for one in found[split if part else ""].listed)
        if words and "train" in parts:
            found |= {"train": list_tars(parts["train"])}  # its words are the classes
    left_out = {name: part.left_out for name, part in found.items()}
    left_out["train"] = left_out.get("train", NONE) + stray
    listed = {name: part.listed for name, part in found.items()}
    others = [(name, len(files)) for name, files in parts.items() if name and name not in found]
    unlisted = tuple(f"{name} ({number} shard{'s' * (number > 1)})" for name, number in others)
    return Listing("shards", listed, names, left_out=left_out, unlisted=unlisted)


def _chosen(parts: Mapping[str, Sequence[Path]], split: str, root: Path) -> str:
    """Which part holds a split."""
    if split in parts:
        return split
    if split == "train" and "" in parts:
        return ""
    only = f", only of {' and '.join(parts)}" if "" not in parts else ""
    advice = "name another reference"
    if split == "train":
        ending = next(end for end in SUFFIXES if next(iter(parts.values()))[0].name.endswith(end))
        advice = f"to train on them, name them: data.root='{shown(root / f'*{ending}')}'"
    raise DataError(
        f"{shown(root)}: no shard with {split!r} in its name{only}, so there is no {split} part; "
        f"{advice}"
    )


def read_class_names(folder: Path) -> tuple[str, ...] | None:
    """The words in class_names.json beside the shards, or None."""
    path = folder / CLASS_NAMES
    if not path.is_file():
        return None
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{shown(path)}: can't be read ({error})") from None
    names = read_json(content, shown(path), "a list of words")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{shown(path)}: expected a JSON list of words")
    return tuple(names)


# -- one archive -----------------------------------------------------------------------------------


@dataclass
class Scan:
    """What archives hold: pictures in their order, and what is not read."""

    listed: list[Listed] = field(default_factory=list)
    left_out: LeftOut = NONE


def list_tars(shards: Sequence[Path]) -> Scan:
    """The pictures of these archives in their order.

    Raises:
        DataError: There are none, or an archive is wrong.
    """
    found = Scan()
    for shard in shards:
        one = scan(shard)
        found.listed += one.listed
        found.left_out += one.left_out
    if not found.listed:
        raise DataError(
            f"{shown(shards[0])}: no images in {len(shards)} shards; looked for KEY.png|jpg, where "
            f"KEY has no dot; {found.left_out.sentence(examples=True)}"
        )
    return found


def scan(shard: Path) -> Scan:
    """Every picture of a tar archive in its order, with what lies beside: KEY.cls, .txt, .json."""
    path = shard if shard.name.endswith(".tar") else _unpacked(shard)
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
            members = [m for m in archive if not m.isdir()]
            found = _samples(file, path, shard, members)
    except (OSError, tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        raise DataError(f"{shown(shard)}: not a whole tar archive ({error}); get it anew") from None
    if not found.listed and path != shard:
        path.unlink(missing_ok=True)  # nothing of it will be read from the cache
    return found


def _samples(file: BinaryIO, path: Path, shard: Path, members: Sequence[tarfile.TarInfo]) -> Scan:
    images: dict[str, Entry] = {}
    said: dict[str, tuple[Label, Caption]] = {}
    sides: dict[str, list[str]] = {}  # names of the members that say it
    others: list[str] = []
    doubles: list[str] = []
    for member in members:
        name = f"{shard}!{member.name}"
        refuse_escape(member.name, shown(shard))
        if not member.isreg():
            raise DataError(f"{shown(name)}: links and devices are not read")
        folder, _, base = member.name.rpartition("/")
        stem, _, kind = base.partition(".")
        key, kind = f"{folder}/{stem}", f".{kind.lower()}"
        if not stem:
            continue  # hidden
        if kind in EXTENSIONS:
            doubles += [images[key].name.rpartition("!")[2]] if key in images else []
            images[key] = Entry(path, name, member.offset_data, member.size)
        elif kind in _SIDES:
            refuse_large(member.size, shown(name), _LARGEST_SIDE)
            file.seek(member.offset_data)
            label, caption = _said(file.read(member.size), kind, shown(name))
            before = said.get(key, (None, None))
            said[key] = (before[0] if label is None else label, caption or before[1])
            sides.setdefault(key, []).append(member.name)
        else:
            others.append(member.name)
    alone = [name for key, names in sides.items() if key not in images for name in names]
    left_out = (
        no_pictures(others)
        + LeftOut.of("with a dot in its key", [name for name in others if is_picture(name)])
        + LeftOut.of("a second picture of its key", doubles)
        + LeftOut.of("without the picture of its key", alone)
    )
    return Scan([Listed(e, *said.get(key, (None, None))) for key, e in images.items()], left_out)


def _said(content: bytes, kind: str, where: str) -> tuple[Label, Caption]:
    """The class and the caption that a .cls, .txt or .json member holds."""
    if kind == ".txt":
        return None, read_text(content, where) or None
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        expected = "a whole number" if kind == ".cls" else "JSON"
        raise DataError(f"{where}: holds {content[:20]!r}; expected {expected}") from None
    if kind == ".json":
        row = value if isinstance(value, dict) else {}
        return read_label(row.get("label", row.get("cls")), where), read_caption(row, where)
    if isinstance(value, bool) or not isinstance(value, int):
        given = shown(repr(value))
        raise DataError(f"{where}: the class is {given}; expected a whole number from 0")
    return read_label(value, where), None


def _unpacked(shard: Path) -> Path:
    """The .tar of a .tar.gz, in the user's cache folder."""
    state = shard.stat()
    identity = f"{shard.resolve()}/{state.st_size}/{state.st_mtime_ns}"
    key = hashlib.sha256(identity.encode()).hexdigest()[:16]
    stem = shard.name.removesuffix(".tar.gz").removesuffix(".tgz")
    path = cache_folder() / "shards" / f"{stem}-{key}.tar"
    if path.is_file():
        return path
    try:
        with gzip.open(shard) as packed:
            write_whole(path, lambda file: shutil.copyfileobj(packed, file, 1 << 20))
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{shown(shard)}: not a whole gzip file ({error}); get it anew") from None
    except OSError as error:
        raise DataError(
            f"{shown(path)}: {shown(shard.name)} can't be unpacked there ({error}); free space, "
            "set GENKIT_CACHE to a writable folder, or unpack the shards to .tar yourself"
        ) from None
    return path
