"""What is in a folder, shards or an npz file: counts, sizes, modes, classes, doubles, damage."""

from __future__ import annotations

import glob
import hashlib
import os
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from genkit.data.encoded import Entry
from genkit.data.folder import file_entry, list_images
from genkit.data.shards import CLASS_NAMES, SUFFIXES, find_shards, read_class_names, scan
from genkit.errors import DataError
from genkit.images import EXTENSIONS, decode

_BLOCK = 256


@dataclass
class Inspection:
    """What `genkit data check` found."""

    path: str
    kind: str  # "folder", "shards" or "npz"
    count: int = 0
    sizes: Counter[str] = field(default_factory=Counter)  # "64x48": how many
    modes: Counter[str] = field(default_factory=Counter)  # as Pillow calls them
    classes: Counter[str] = field(default_factory=Counter)
    duplicates: list[list[str]] = field(default_factory=list)  # same pixels
    broken: list[str] = field(default_factory=list)  # one message per file

    def to_tree(self) -> dict[str, Any]:
        """Plain dicts and lists, for JSON."""
        counters = ("sizes", "modes", "classes")
        return vars(self) | {name: dict(getattr(self, name).most_common()) for name in counters}


class _Item(NamedTuple):
    entry: Entry
    label: str | None


class _Look(NamedTuple):
    """What one image file shows, or why it can't be read."""

    size: str
    mode: str
    pixels: bytes
    problem: str | None


def inspect(path: Path) -> Inspection:
    """Everything about the images at a path; every one is decoded.

    Raises:
        DataError: There are no images there, or the whole can't be read.
    """
    if path.suffix == ".npz":
        return _inspect_npz(path)
    if not path.exists() and not glob.glob(str(path)):
        raise DataError(f"{path}: no such file or folder")
    is_shards = not path.is_dir() or any(p.name.endswith(SUFFIXES) for p in path.iterdir())
    kind = "shards" if is_shards else "folder"
    items = list(_shard_items(path) if is_shards else _folder_items(path))
    if not items:
        raise DataError(f"{path}: no images; looked for {', '.join(sorted(EXTENSIONS))}")
    found = Inspection(str(path), kind, count=len(items))
    same: dict[bytes, list[str]] = defaultdict(list)
    for item, look in zip(items, _look_at(items), strict=True):
        if item.label is not None:
            found.classes[item.label] += 1
        if look.problem is not None:
            found.broken.append(look.problem)
            continue
        found.sizes[look.size] += 1
        found.modes[look.mode] += 1
        same[look.pixels].append(item.entry.name)
    found.duplicates = [names for names in same.values() if len(names) > 1]
    return found


def _folder_items(path: Path) -> Iterator[_Item]:
    splits = [path / name for name in ("train", "test") if (path / name).is_dir()]
    for folder in splits or [path]:
        for file, label in list_images(folder):
            yield _Item(file_entry(file), None if label is None else str(label))


def _shard_items(path: Path) -> Iterator[_Item]:
    shards = find_shards(path)
    names = read_class_names(shards[0].parent)
    for shard in shards:
        for entry, label in scan(shard):
            yield _Item(entry, _class(label, names))


def _class(label: int | None, names: Sequence[str] | None) -> str | None:
    if label is None or names is None:
        return None if label is None else str(label)
    return names[label] if 0 <= label < len(names) else f"{label} (not in {CLASS_NAMES})"


def _look_at(items: Iterable[_Item]) -> Iterator[_Look]:
    entries = (item.entry for item in items)
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


def _inspect_npz(path: Path) -> Inspection:
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files if name in ("images", "labels")}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a readable npz file ({error})") from None
    images = arrays.get("images")
    if (
        images is None
        or images.dtype != np.uint8
        or images.ndim != 4
        or images.shape[3] not in (1, 3)
    ):
        raise DataError(f'{path}: expected "images" as uint8 (N, H, W, C) with C 1 or 3')
    count, height, width, channels = images.shape
    found = Inspection(str(path), "npz", count=count)
    found.sizes[f"{width}x{height}"] = count
    found.modes["L" if channels == 1 else "RGB"] = count
    if "labels" in arrays:
        found.classes.update(str(label) for label in arrays["labels"].tolist())
        if len(arrays["labels"]) != count:
            found.broken.append(f"{path}: {count} images but {len(arrays['labels'])} labels")
    same: dict[bytes, list[str]] = defaultdict(list)
    for i, image in enumerate(images):
        same[hashlib.sha256(image.tobytes()).digest()].append(str(i))
    found.duplicates = [names for names in same.values() if len(names) > 1]
    return found
