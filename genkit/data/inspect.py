"""What is in a folder or archive: counts, sizes, modes, classes, doubles, damage."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from genkit.data.attribute_lists import read_attributes
from genkit.data.counterfactuals import FILE, read_edits
from genkit.data.readers.celeba import COUNTERFACTUAL, LIST, PARTS, CelebaData
from genkit.errors import DataError, shown
from genkit.images import decoding, strips, white_of
from genkit.rows.archives import CLASS_NAMES
from genkit.rows.base import Rows
from genkit.rows.columns import Class
from genkit.rows.entries import Entry, file_entry
from genkit.rows.files import list_path, open_path
from genkit.rows.folders import LABEL
from genkit.rows.left_out import NONE, LeftOut
from genkit.rows.listing import Listed

_BLOCK = 256
_MOST_EMPTY = 1_000  # classes without an image that are named
_DARK = 16  # a picture whose values stay below this share of white is nearly black


@dataclass
class Inspection:
    """What `genkit data check` found."""

    path: str
    kind: str  # "folder", "shards", "zip", "npz" or "celeba"
    count: int = 0
    parts: dict[str, int] = field(default_factory=dict)  # how many images each split has
    sizes: Counter[str] = field(default_factory=Counter)  # "64x48": how many
    modes: Counter[str] = field(default_factory=Counter)  # as Pillow calls them
    classes: dict[str, int] = field(default_factory=dict)  # in the order of their numbers
    numbers: dict[str, int] = field(default_factory=dict)  # of those classes
    attributes: dict[str, int] = field(default_factory=dict)  # of how many images each holds
    empty: list[str] = field(default_factory=list)  # classes without an image
    columns: list[str] = field(default_factory=list)  # of metadata.jsonl
    captions: dict[str, Any] = field(default_factory=dict)  # how many, and how long; {} = none
    duplicates: list[list[str]] = field(default_factory=list)  # same pixels
    broken: list[str] = field(default_factory=list)  # one message per file
    deep: list[str] = field(default_factory=list)  # of more than 8 bits, and what of it is lost
    left_out: LeftOut = NONE  # what lies there and isn't read

    def to_tree(self) -> dict[str, Any]:
        """Plain dicts and lists, for JSON."""
        counters = ("sizes", "modes")
        counted = {name: dict(getattr(self, name).most_common()) for name in counters}
        return vars(self) | counted | {"left_out": self.left_out.to_tree()}


class _Look(NamedTuple):
    """What one image file shows, or why it can't be read."""

    size: str
    mode: str
    pixels: bytes
    problem: str | None
    deep: str | None = None  # what of a picture of more than 8 bits will be lost


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
    if (path / LIST).is_file():
        return _inspect_celeba(path)
    listing = list_path(path, label=label)
    listed = listing.part(None, shown(path))
    listing.say(path.name)
    found = Inspection(str(path), listing.kind, count=len(listed))
    found.parts = {name: len(part) for name, part in listing.parts.items() if name}
    found.left_out = listing.without(None, shown(path))
    found.columns = list(listing.columns)
    _add_captions(found, listed)
    _add_looks(found, [one.entry for one in listed])
    for part in listing.parts:
        _add_classes(found, *listing.classes(listing.part(part, shown(path)), shown(path)))
    _sort_classes(found)
    return found


def _inspect_celeba(path: Path) -> Inspection:
    """The pictures that CelebA's lists name, by part, and of how many each attribute holds.

    The right answers of edits are looked at too, but not counted as pictures of the set.
    """
    parts = PARTS if (path / PARTS).is_file() else None
    data = CelebaData(root=path, on_error="skip", partition_file=parts)
    listed = read_attributes(path / LIST)
    found, entries = Inspection(str(path), "celeba"), list[Entry]()
    held = torch.zeros(len(listed.names), dtype=torch.int64)
    for part in data.held:
        rows = data.files(part)
        found.parts[part] = len(rows)
        found.left_out += rows.left_out
        held += torch.as_tensor(rows.values["attributes"]).sum(0)
        entries += rows.entries
    found.count = len(entries)
    found.attributes = dict(zip(listed.names, held.tolist(), strict=True))
    if (path / FILE).is_file():
        edits = read_edits(path / FILE, listed, data.folder)
        found.parts[COUNTERFACTUAL] = len(edits)
        entries += [file_entry(path / edit.target) for edit in edits]
    _add_looks(found, entries)
    return found


def _add_looks(found: Inspection, entries: Sequence[Entry]) -> None:
    """What each picture shows, or why it is broken."""
    same: dict[bytes, list[str]] = defaultdict(list)
    for entry, look in zip(entries, _look_at(entries), strict=True):
        if look.problem is not None:
            found.broken.append(look.problem)
            continue
        found.sizes[look.size] += 1
        found.modes[look.mode] += 1
        same[look.pixels].append(entry.name)
        found.deep += [look.deep] if look.deep else []
    found.duplicates = [names for names in same.values() if len(names) > 1]


def _add_captions(found: Inspection, listed: Sequence[Listed]) -> None:
    """How many captions there are, how many words they have, and which pictures have none."""
    said = [[one.caption] if isinstance(one.caption, str) else one.caption for one in listed]
    texts = [text for several in said for text in several or ()]
    if not texts:
        return
    words = sorted(len(text.split()) for text in texts)
    without = [one.entry.name for one in listed if one.caption is None]
    found.captions = {
        "texts": len(texts),
        "words": [words[0], words[len(words) // 2], words[-1]],
        "without": len(without),
        "first_without": without[0] if without else None,
    }


def _add_classes(found: Inspection, labels: Tensor | None, column: Class | None) -> None:
    if labels is None or column is None:
        return
    counts = Counter(labels.tolist())
    for number, count in counts.items():
        name = _name(number, column.names)
        found.classes[name] = found.classes.get(name, 0) + count
        found.numbers[name] = number
    known = set(found.numbers.values())
    without = (n for n in range(column.count) if n not in known)
    found.empty = [_name(n, column.names) for n in islice(without, _MOST_EMPTY)]


def _sort_classes(found: Inspection) -> None:
    found.numbers = dict(sorted(found.numbers.items(), key=lambda item: item[1]))
    found.classes = {name: found.classes[name] for name in found.numbers}


def _name(number: int, names: Sequence[str] | None) -> str:
    if names is None:
        return str(number)
    return names[number] if 0 <= number < len(names) else f"{number} (not in {CLASS_NAMES})"


def _look_at(entries: Iterable[Entry]) -> Iterator[_Look]:
    entries = iter(entries)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        while block := list(islice(entries, _BLOCK)):
            yield from pool.map(_look, block)


def _look(entry: Entry) -> _Look:
    try:
        with decoding(entry.read(), entry.where) as picture:
            size = f"{picture.width}x{picture.height}"
            return _Look(size, picture.mode, _pixel_hash(picture), None, _lost(picture, entry))
    except DataError as error:
        return _Look("", "", b"", str(error))


def _pixel_hash(picture: Image.Image) -> bytes:
    """The same for the same picture, whatever file format or palette holds it."""
    deep = picture.mode.startswith(("I", "F"))
    mode = picture.mode if deep else "RGBA"
    digest = hashlib.sha256(f"{mode}{picture.size}".encode())
    for _, strip in strips(picture):
        digest.update((strip if deep else strip.convert(mode)).tobytes())
    return digest.digest()


def _lost(picture: Image.Image, entry: Entry) -> str | None:
    if not picture.mode.startswith(("I", "F")):
        return None
    extrema: Any = picture.getextrema()  # of one band
    high, white = float(extrema[1]), white_of(picture)
    what = f"{entry.where}: mode {picture.mode} with values up to {high:g}, and {white:g} is white"
    if 0 < high < white / _DARK:
        return f"{what}, so it is nearly black"
    return f"{what}, so what is above is cut" if high > white else None


def _inspect_array(path: Path, rows: Rows) -> Inspection:
    images = rows.read(range(len(rows)), ("image",))["image"]
    found = Inspection(str(path), "npz", count=len(rows))
    same: dict[bytes, list[str]] = defaultdict(list)
    for i, image in enumerate(images):
        found.sizes[f"{image.shape[2]}x{image.shape[1]}"] += 1
        found.modes["L" if image.shape[0] == 1 else "RGB"] += 1
        same[hashlib.sha256(image.numpy().tobytes()).digest()].append(str(i))
    label = rows.columns.get("label")
    if isinstance(label, Class):
        _add_classes(found, rows.labels, label)
        _sort_classes(found)
    found.duplicates = [names for names in same.values() if len(names) > 1]
    return found
