"""Local WebDataset shards: tar archives in which KEY.png lies beside KEY.cls or KEY.json.

One scan notes where each member begins, so any image can be read at once: order and resume are
exact, as with a folder. A .tar.gz can't be read from the middle; it is unpacked once to the cache.
"""

from __future__ import annotations

import glob
import gzip
import hashlib
import json
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import torch

from genkit.config import DataSection, ShardsData
from genkit.data.encoded import EncodedSource, Entry, opened
from genkit.data.sources import Source
from genkit.errors import DataError
from genkit.files import cache_folder, write_whole
from genkit.images import EXTENSIONS

SUFFIXES = (".tar", ".tar.gz", ".tgz")
CLASS_NAMES = "class_names.json"


class Sample(NamedTuple):
    """One image of a shard and its class, when it has one."""

    entry: Entry
    label: int | None


def open_shards(data: ShardsData, split: str) -> Source:
    """The images of the shards that `data.root` names."""
    shards = choose(find_shards(data.root), split, data.root)
    name = f"shards:{data.root.resolve().name}:{split}"
    return open_samples(name, shards, data, split, read_class_names(shards[0].parent))


def open_samples(
    name: str,
    shards: Sequence[Path],
    data: DataSection,
    split: str,
    class_names: Sequence[str] | None,
) -> Source:
    """The images of these archives as a source."""
    samples = [sample for shard in shards for sample in scan(shard)]
    if not samples:
        raise DataError(f"{shards[0]}: no images in {len(shards)} shards; looked for KEY.png|jpg")
    if split == "train":
        samples = samples[: data.limit]
    labels = [s.label for s in samples if s.label is not None]
    if labels and len(labels) < len(samples):
        without = next(s.entry.name for s in samples if s.label is None)
        raise DataError(f"{without}: no .cls and no label in .json, but other images have one")
    entries = [s.entry for s in samples]
    numbers = torch.tensor(labels) if labels else None
    return opened(EncodedSource(name, entries, data, numbers, class_names=class_names))


def find_shards(root: Path) -> list[Path]:
    """The archives in a folder, or that one file, or those that fit a pattern; sorted."""
    if root.is_dir():
        found = [path for path in root.iterdir() if path.name.endswith(SUFFIXES)]
    else:
        found = [Path(p) for p in glob.glob(str(root.expanduser())) if Path(p).is_file()]
    if not found:
        raise DataError(
            f"data.root={root}: no shards; expected a folder with {', '.join(SUFFIXES)}, "
            "one such file, or a pattern such as data/train-*.tar"
        )
    return sorted(found)


def choose(shards: Sequence[Path], split: str, root: Path) -> list[Path]:
    """Those whose name says the split; all of them for train when no name does."""
    named = [path for path in shards if split in path.name]
    if named or split == "train":
        return named or list(shards)
    raise DataError(
        f"data.root={root}: no shard with {split!r} in its name, so there is no {split} part; "
        "name another reference"
    )


def read_class_names(folder: Path) -> tuple[str, ...] | None:
    """The words in class_names.json beside the shards, or None."""
    path = folder / CLASS_NAMES
    if not path.is_file():
        return None
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: can't be read ({error})") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path}: expected a JSON list of words")
    return tuple(names)


# -- one archive -----------------------------------------------------------------------------------


def scan(shard: Path) -> Iterator[Sample]:
    """Every image of an archive in its order, with the class that lies beside it."""
    path = shard if shard.name.endswith(".tar") else _unpacked(shard)
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
            members = [m for m in archive if m.isfile()]
            yield from _samples(file, path, shard, members)
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"{shard}: not a whole tar archive ({error}); get it anew") from None


def _samples(
    file: BinaryIO, path: Path, shard: Path, members: Sequence[tarfile.TarInfo]
) -> Iterator[Sample]:
    images: dict[str, Entry] = {}
    labels: dict[str, int] = {}
    for member in members:
        folder, _, base = member.name.rpartition("/")
        stem, _, kind = base.partition(".")
        key, kind = f"{folder}/{stem}", f".{kind.lower()}"
        where = f"{shard}!{member.name}"
        if kind in EXTENSIONS:
            images[key] = Entry(path, where, member.offset_data, member.size)
        elif kind in (".cls", ".json"):
            file.seek(member.offset_data)
            label = _label(file.read(member.size), kind, where)
            labels |= {} if label is None else {key: label}
    for key, entry in images.items():
        yield Sample(entry, labels.get(key))


def _label(content: bytes, kind: str, where: str) -> int | None:
    try:
        value = json.loads(content)
    except ValueError:
        expected = "a whole number" if kind == ".cls" else "JSON"
        raise DataError(f"{where}: holds {content[:20]!r}; expected {expected}") from None
    if kind == ".json":
        value = value.get("label", value.get("cls")) if isinstance(value, dict) else None
        if value is None:
            return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise DataError(f"{where}: the class is {value!r}; expected a whole number from 0")
    return value


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
        raise DataError(f"{shard}: not a whole gzip file ({error}); get it anew") from None
    except OSError as error:
        raise DataError(
            f"{path}: {shard.name} can't be unpacked there ({error}); free space, "
            "set GENKIT_CACHE to a writable folder, or unpack the shards to .tar yourself"
        ) from None
    return path
