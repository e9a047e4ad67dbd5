"""What is in a folder or archive: counts, sizes, modes, classes, doubles, damage."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from genkit.errors import DataError
from genkit.images import decode
from genkit.rows.archives import CLASS_NAMES
from genkit.rows.base import Rows
from genkit.rows.entries import Entry
from genkit.rows.files import list_path, open_path
from genkit.rows.folders import LABEL
from genkit.rows.left_out import NONE, LeftOut
from genkit.rows.listing import Listed, Listing

_BLOCK = 256


@dataclass
class Inspection:
    """What `genkit data check` found."""

    path: str
    kind: str  # "folder", "shards", "zip" or "npz"
    count: int = 0
    parts: dict[str, int] = field(default_factory=dict)  # how many images each split has
    sizes: Counter[str] = field(default_factory=Counter)  # "64x48": how many
    modes: Counter[str] = field(default_factory=Counter)  # as Pillow calls them
    classes: Counter[str] = field(default_factory=Counter)
    duplicates: list[list[str]] = field(default_factory=list)  # same pixels
    broken: list[str] = field(default_factory=list)  # one message per file
    left_out: LeftOut = NONE  # what lies there and isn't read

    def to_tree(self) -> dict[str, Any]:
        """Plain dicts and lists, for JSON."""
        counters = ("sizes", "modes", "classes")
        counted = {name: dict(getattr(self, name).most_common()) for name in counters}
        return vars(self) | counted | {"left_out": self.left_out.to_tree()}


class _Look(NamedTuple):
    """What one image file shows, or why it can't be read."""

    size: str
    mode: str
    pixels: bytes
    problem: str | None


def inspect(path: Path, label: str | None = LABEL) -> Inspection:
    """Everything about the images at a path; every one is decoded.

    Args:
        path: A folder, archive or pattern, as `data.kind=folder` and evaluations read it.
        label: The column of metadata.jsonl that holds the class.

    Raises:
        DataError: There are no images there, or the whole can't be read.
    """
    if path.suffix == ".npz":
        return _inspect_array(path, open_path(path))
    listing = list_path(path, label=label)
    listed = listing.part(None, str(path))
    found = Inspection(str(path), listing.kind, count=len(listed))
    found.parts = {name: len(part) for name, part in listing.parts.items() if name}
    found.left_out = listing.without(None, str(path))
    same: dict[bytes, list[str]] = defaultdict(list)
    for one, look in zip(listed, _look_at(one.entry for one in listed), strict=True):
        if one.label is not None:
            found.classes[_class(one, listing)] += 1
        if look.problem is not None:
            found.broken.append(look.problem)
            continue
        found.sizes[look.size] += 1
        found.modes[look.mode] += 1
        same[look.pixels].append(one.entry.name)
    found.duplicates = [names for names in same.values() if len(names) > 1]
    for part in listing.parts:
        listing.classes(listing.part(part, str(path)), str(path))
    return found


def _class(one: Listed, listing: Listing) -> str:
    """The name of a picture's class."""
    names = listing.names
    if isinstance(one.label, str) or names is None or one.label is None:
        return str(one.label)
    known = 0 <= one.label < len(names)
    return names[one.label] if known else f"{one.label} (not in {CLASS_NAMES})"


def _look_at(entries: Iterable[Entry]) -> Iterator[_Look]:
    entries = iter(entries)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        while block := list(islice(entries, _BLOCK)):
            yield from pool.map(_look, block)


def _look(entry: Entry) -> _Look:
    try:
        picture = decode(entry.read(), entry.name)
    except DataError as error:
        return _Look("", "", b"", str(error))
    size = f"{picture.width}x{picture.height}"
    return _Look(size, picture.mode, _pixel_hash(picture), None)


def _pixel_hash(picture: Image.Image) -> bytes:
    """The same for the same picture, whatever file format or palette holds it."""
    deep = picture.mode.startswith(("I", "F"))
    content = picture if deep else picture.convert("RGBA")
    return hashlib.sha256(f"{content.mode}{content.size}".encode() + content.tobytes()).digest()


def _inspect_array(path: Path, rows: Rows) -> Inspection:
    images = rows.read(range(len(rows)), ("image",))["image"]
    found = Inspection(str(path), "npz", count=len(rows))
    same: dict[bytes, list[str]] = defaultdict(list)
    for i, image in enumerate(images):
        found.sizes[f"{image.shape[2]}x{image.shape[1]}"] += 1
        found.modes["L" if image.shape[0] == 1 else "RGB"] += 1
        same[hashlib.sha256(image.numpy().tobytes()).digest()].append(str(i))
    if rows.labels is not None:
        found.classes.update(str(label) for label in rows.labels.tolist())
    found.duplicates = [names for names in same.values() if len(names) > 1]
    return found
