"""Archives of pictures: WebDataset shards (.tar, .tar.gz), zips as StyleGAN and EDM write them.

One scan notes where each member begins, so any picture can be read at once: order and resume are
exact, as with a folder. A .tar.gz can't be read from the middle; it is unpacked once to the cache.
"""

from __future__ import annotations

import glob
import gzip
import hashlib
import json
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from genkit.errors import DataError
from genkit.files import cache_folder, write_whole
from genkit.images import EXTENSIONS
from genkit.rows.entries import Entry, refuse_escape, refuse_large, zip_entry
from genkit.rows.folders import SPLITS
from genkit.rows.listing import Caption, Label, Listed, Listing, read_caption, read_label

SUFFIXES = (".tar", ".tar.gz", ".tgz")
CLASS_NAMES = "class_names.json"
LONGEST_FIRST = sorted(SPLITS, key=len, reverse=True)  # "validation" is not "val"
BROKEN = (
    OSError, ValueError, EOFError, AttributeError, RuntimeError, MemoryError, NotImplementedError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


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
    parts = _parts(shards)
    if split is None:
        return Listing("shards", {name: list_tars(files) for name, files in parts.items()}, names)
    listed = {split: list_tars(choose(shards, split, root))}
    if any(isinstance(one.label, str) for one in listed[split]) and "train" in parts:
        listed |= {"train": list_tars(parts["train"])}  # its words are the classes
    return Listing("shards", listed, names)


def list_tars(shards: Sequence[Path]) -> list[Listed]:
    """The pictures of these archives in their order.

    Raises:
        DataError: There are none, or an archive is wrong.
    """
    listed = [one for shard in shards for one in scan(shard)]
    if not listed:
        raise DataError(f"{shards[0]}: no images in {len(shards)} shards; looked for KEY.png|jpg")
    return listed


def find_shards(root: Path) -> list[Path]:
    """The archives in a folder, or that one file, or those that fit a pattern; sorted."""
    if root.is_dir():
        found = [path for path in root.iterdir() if path.name.endswith(SUFFIXES)]
    else:
        found = [Path(p) for p in glob.glob(str(root.expanduser())) if Path(p).is_file()]
    if not found:
        raise DataError(
            f"{root}: no shards; expected a folder with {', '.join(SUFFIXES)}, "
            "one such file, or a pattern such as data/train-*.tar"
        )
    return sorted(found)


def choose(shards: Sequence[Path], split: str, root: Path) -> list[Path]:
    """Those whose name says the split; all of them for train when no name does."""
    named = [path for path in shards if split in path.name]
    if named or split == "train":
        return named or list(shards)
    raise DataError(
        f"{root}: no shard with {split!r} in its name, so there is no {split} part; "
        "name another reference"
    )


def _parts(shards: Sequence[Path]) -> dict[str, list[Path]]:
    """The shards by split; "" = their names say none."""
    parts: dict[str, list[Path]] = {}
    for shard in shards:
        named = next((split for split in LONGEST_FIRST if split in shard.name), "")
        parts.setdefault(named, []).append(shard)
    return {"": list(shards)} if "" in parts else parts


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


def scan(shard: Path) -> Iterator[Listed]:
    """Every picture of a tar archive in its order, with what lies beside: KEY.cls, .txt, .json."""
    path = shard if shard.name.endswith(".tar") else _unpacked(shard)
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
            members = [m for m in archive if not m.isdir()]
            yield from _samples(file, path, shard, members)
    except (OSError, tarfile.TarError, EOFError) as error:
        raise DataError(f"{shard}: not a whole tar archive ({error}); get it anew") from None


def _samples(
    file: BinaryIO, path: Path, shard: Path, members: Sequence[tarfile.TarInfo]
) -> Iterator[Listed]:
    images: dict[str, Entry] = {}
    said: dict[str, tuple[Label, Caption]] = {}
    for member in members:
        where = f"{shard}!{member.name}"
        refuse_escape(member.name, str(shard))
        if not member.isreg():
            raise DataError(f"{where}: links and devices are not read")
        folder, _, base = member.name.rpartition("/")
        stem, _, kind = base.partition(".")
        key, kind = f"{folder}/{stem}", f".{kind.lower()}"
        if kind in EXTENSIONS:
            images[key] = Entry(path, where, member.offset_data, member.size)
        elif kind in (".cls", ".txt", ".json"):
            refuse_large(member.size, where)
            file.seek(member.offset_data)
            label, caption = _said(file.read(member.size), kind, where)
            before = said.get(key, (None, None))
            said[key] = (before[0] if label is None else label, caption or before[1])
    for key, entry in images.items():
        yield Listed(entry, *said.get(key, (None, None)))


def _said(content: bytes, kind: str, where: str) -> tuple[Label, Caption]:
    """The class and the caption that a .cls, .txt or .json member holds."""
    if kind == ".txt":
        return None, _text(content, where)
    try:
        value = json.loads(content)
    except ValueError:
        expected = "a whole number" if kind == ".cls" else "JSON"
        raise DataError(f"{where}: holds {content[:20]!r}; expected {expected}") from None
    if kind == ".json":
        row = value if isinstance(value, dict) else {}
        return read_label(row.get("label", row.get("cls")), where), read_caption(row, where)
    if isinstance(value, bool) or not isinstance(value, int):
        raise DataError(f"{where}: the class is {value!r}; expected a whole number from 0")
    return value, None


def _text(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: the caption is no UTF-8 text ({error})") from None


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


# -- zip -------------------------------------------------------------------------------------------


def list_zip(path: Path) -> Listing:
    """The pictures of a zip file by name, and the classes in its dataset.json.

    Raises:
        DataError: It is no zip, holds no pictures, or a member is not safe to read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if not m.is_dir()]
            entries = {m.filename: zip_entry(path, m) for m in members}
    except BROKEN as error:
        raise DataError(f"{path}: not a readable .zip ({error})") from None
    pictures = sorted(n for n in entries if Path(n).suffix.lower() in EXTENSIONS)
    if not pictures:
        raise DataError(f"{path}: no images in this file")
    known = entries["dataset.json"].read() if "dataset.json" in entries else b"{}"
    where = f"{path}:dataset.json"
    labels = _labels(known, where)
    listed = [Listed(entries[n], read_label(labels.get(n), where)) for n in pictures]
    return Listing("zip", {"": listed})


def _labels(content: bytes, where: str) -> dict[str, Any]:
    try:
        return dict(json.loads(content).get("labels") or [])
    except (ValueError, TypeError, AttributeError):
        expected = '{"labels": [[name, class], ...]}'
        raise DataError(f"{where}: expected {expected}") from None
