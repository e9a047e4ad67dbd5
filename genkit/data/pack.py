"""A folder of images as WebDataset shards: the same folder gives the same bytes."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from genkit.data.folder import class_names, file_entry, label_numbers, list_images, part
from genkit.data.shards import CLASS_NAMES
from genkit.errors import DataError
from genkit.files import write_whole


class _Member(NamedTuple):
    key: str
    path: Path
    label: int | None


def pack(source: Path, out: Path, per_shard: int, *, label: str | None = None) -> list[Path]:
    """The shards written, each with at most `per_shard` images, files copied unchanged.

    Args:
        source: A folder as `data.kind=folder` reads it; train/ and test/ in it stay apart.
        out: Where train-00000.tar, test-00000.tar and class_names.json go.
        per_shard: Images per archive.
        label: The column of metadata.jsonl that holds the class; None = class sub-folders.

    Raises:
        DataError: The source has no images or mixed classes, or `out` has shards already.
    """
    if per_shard < 1:
        raise DataError(f"--per-shard {per_shard}: expected at least 1 image per shard")
    if any(out.glob("*.tar")):
        raise DataError(f"{out}: has .tar files already; delete them or choose another folder")
    train = list_images(part(source, "train"), label)
    names = class_names(train)
    splits = {"train": train}
    if (source / "test").is_dir() and (source / "train").is_dir():
        splits["test"] = list_images(source / "test", label)
    written: list[Path] = []
    try:
        for split, listed in splits.items():
            numbers = label_numbers(listed, names, str(source))
            classes = [None] * len(listed) if numbers is None else numbers.tolist()
            paths = [path for path, _ in listed]
            written += _write_split(out, split, paths, classes, per_shard)
        if names is not None:
            write_whole(out / CLASS_NAMES, json.dumps(names, ensure_ascii=False))
    except OSError as error:
        raise DataError(
            f"{out}: can't be written ({error}); {len(written)} shards are whole"
        ) from None
    return written


def _write_split(
    out: Path,
    split: str,
    paths: Sequence[Path],
    classes: Sequence[int | None],
    per_shard: int,
) -> Iterator[Path]:
    members = (
        _Member(f"{i:08d}-{_plain(path.stem)}", path, c)
        for i, (path, c) in enumerate(zip(paths, classes, strict=True))
    )
    for number in range(-(-len(paths) // per_shard)):
        shard = out / f"{split}-{number:05d}.tar"
        write_whole(shard, partial(_write_shard, members=list(islice(members, per_shard))))
        yield shard


def _plain(stem: str) -> str:
    # A key ends at its first dot, and the simple tar header holds 100 bytes of ASCII.
    return re.sub(r"[^A-Za-z0-9_-]", "_", stem)[:60]


def _write_shard(file: BinaryIO, members: Sequence[_Member]) -> None:
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for key, path, label in members:
            _add(archive, f"{key}{path.suffix.lower()}", file_entry(path).read())
            if label is not None:
                _add(archive, f"{key}.cls", str(label).encode())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # its time and owner are 0: the same content, the same bytes
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
