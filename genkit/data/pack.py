"""A set of pictures as WebDataset shards: the same set gives the same bytes."""

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

from genkit.errors import DataError
from genkit.files import write_whole
from genkit.rows.archives import CLASS_NAMES
from genkit.rows.entries import Entry
from genkit.rows.files import list_path
from genkit.rows.folders import LABEL
from genkit.rows.listing import Caption, Listed, take_turns


class _Member(NamedTuple):
    key: str
    entry: Entry
    label: int | None
    caption: Caption


def pack(source: Path, out: Path, per_shard: int, *, label: str | None = LABEL) -> list[Path]:
    """The shards written, each with at most `per_shard` images, files copied unchanged.

    Args:
        source: A folder or archive as `data.kind=folder` reads it; its parts stay apart.
        out: Where train-00000.tar, test-00000.tar and class_names.json go.
        per_shard: Images per archive.
        label: The column of metadata.jsonl that holds the class.

    Raises:
        DataError: The source has no images or mixed classes, or `out` has shards already.
    """
    if per_shard < 1:
        raise DataError(f"--per-shard {per_shard}: expected at least 1 image per shard")
    if any(out.glob("*.tar")):
        raise DataError(f"{out}: has .tar files already; delete them or choose another folder")
    listing = list_path(source, label=label)
    listing.say(source.name)
    names = None
    written: list[Path] = []
    try:
        for part in listing.parts:
            listed = take_turns(listing.part(part, str(source)))
            labels, column = listing.classes(listed, str(source))
            names = names or (None if column is None else column.names)
            numbers = [None] * len(listed) if labels is None else labels.tolist()
            written += _write_part(out, part or "train", listed, numbers, per_shard)
        if names is not None:
            write_whole(out / CLASS_NAMES, json.dumps(names, ensure_ascii=False))
    except OSError as error:
        raise DataError(
            f"{out}: can't be written ({error}); {len(written)} shards are whole"
        ) from None
    return written


def _write_part(
    out: Path,
    part: str,
    listed: Sequence[Listed],
    classes: Sequence[int | None],
    per_shard: int,
) -> Iterator[Path]:
    members = (
        _Member(f"{i:08d}-{_plain(Path(one.entry.name).stem)}", one.entry, number, one.caption)
        for i, (one, number) in enumerate(zip(listed, classes, strict=True))
    )
    for number in range(-(-len(listed) // per_shard)):
        shard = out / f"{part}-{number:05d}.tar"
        write_whole(shard, partial(_write_shard, members=list(islice(members, per_shard))))
        yield shard


def _plain(stem: str) -> str:
    # A key ends at its first dot, and the simple tar header holds 100 bytes of ASCII.
    return re.sub(r"[^A-Za-z0-9_-]", "_", stem)[:60]


def _write_shard(file: BinaryIO, members: Sequence[_Member]) -> None:
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for key, entry, label, caption in members:
            _add(archive, f"{key}{Path(entry.name).suffix.lower()}", entry.read())
            if label is not None:
                _add(archive, f"{key}.cls", str(label).encode())
            if caption is not None:
                text = json.dumps({"caption": caption}, ensure_ascii=False)
                _add(archive, f"{key}.json", text.encode())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # its time and owner are 0: the same content, the same bytes
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
