"""Whether rows are held in memory or read as a run needs them, and what happens to broken files."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from genkit.config import DataSection
from genkit.config.data import buckets_of
from genkit.data.buckets import in_buckets
from genkit.data.classes import check_numbers
from genkit.errors import DataError, shown
from genkit.rows.base import MemoryRows, Rows
from genkit.rows.columns import Column, File, Image, Raw
from genkit.rows.combine import picked
from genkit.rows.files import NOTHING, rows_of
from genkit.rows.left_out import BROKEN, NONE, LeftOut
from genkit.rows.listing import Listed, Listing
from genkit.rows.pictures import FileRows, Shape

MEMORY_LIMIT = 2_000_000_000  # bytes of uint8 pixels that data.memory=auto still holds
_BLOCK = 64
_SAY_EVERY_S = 5.0

log = logging.getLogger("genkit")

Pictures = dict[str, Tensor]  # of one row, (C, H, W) each

_waiting: ContextVar[list[Rows] | None] = ContextVar("waiting", default=None)


@contextmanager
def only_listed() -> Iterator[list[Rows]]:
    """In here readers list their files and decode no picture, for checks that need none.

    Yields:
        The rows that were left so; outside `arranged` makes them what is configured.
    """
    left: list[Rows] = []
    token = _waiting.set(left)
    try:
        yield left
    finally:
        _waiting.reset(token)


def of_listing(
    name: str,
    listing: Listing,
    listed: list[Listed],
    data: DataSection,
    split: str,
    left_out: LeftOut = NONE,
    beside: Mapping[str, tuple[Column, Raw]] = NOTHING,
    *,
    scaled: bool = False,
) -> Rows:
    """The pictures of a listing as configured: their size, how many, held in memory or not.

    Args:
        name: What messages and reports call them.
        listing: Says what the classes are.
        listed: Those of its pictures that are wanted.
        data: The configuration.
        split: `data.limit` shortens "train" only.
        left_out: What lies beside them and is not read.
        beside: Further columns, each with its values of all pictures.
        scaled: Whether `data.image_size` says the width alone; see `Shape`.

    Raises:
        DataError: A file is broken, or a class is wrong.
    """
    where = shown(getattr(data, "root", name))
    rows: FileRows = rows_of(name, listing, listed, where, left_out, beside)
    if split == "train":
        check_numbers(rows)
    if split == "train" and data.limit is not None:
        rows = rows.only(torch.arange(min(data.limit, len(rows))))
    shape = Shape(data.size, data.channels, data.fit, scaled=scaled)
    found = arranged(rows.fitted(shape), data)
    listing.say(name, split)
    return found


def fits_memory(data: DataSection, count: int) -> bool:
    """Whether so many images are to be held as uint8 pixels, as `data.memory` asks."""
    size = count * data.channels * data.size[0] * data.size[1]
    return data.memory == "always" or (data.memory == "auto" and size < MEMORY_LIMIT)


def arranged(rows: Rows, data: DataSection) -> Rows:
    """The rows as `data.memory`, `data.on_error` and `data.buckets` ask: held in memory or not,
    whole or not, of one shape or of several.

    Args:
        rows: All their pictures have the configured size.
        data: The configuration.

    Raises:
        DataError: A file is broken and the set is to be held in memory, or all of them are.
    """
    count = len(rows) * len(_pictures(rows))
    alike = all(column.size for column in _pictures(rows).values())
    sorts = buckets_of(data) is not None
    in_memory = alike and fits_memory(data, count) and not sorts
    if not in_memory and not sorts and data.on_error == "raise":
        log.info("%s: %s images, streamed: decoded as they are needed", rows.name, f"{count:,}")
        return rows
    if (waiting := _waiting.get()) is not None:
        waiting.append(rows)
        return rows
    if in_memory or data.on_error == "skip":
        rows = _decoded(rows, data, in_memory=in_memory)
    if not sorts:
        return rows
    assert isinstance(rows, FileRows)  # as all readers with buckets have them
    return in_buckets(rows, data)


def _pictures(rows: Rows) -> dict[str, Image]:
    return {name: column for name, column in rows.columns.items() if isinstance(column, Image)}


def _shape(column: Image, data: DataSection) -> tuple[int, int, int]:
    """(C, H, W) of the pictures of a column, which may be loaded larger than `data.image_size`."""
    return column.channels or data.channels, *(column.size or data.size)


def _decoded(rows: Rows, data: DataSection, *, in_memory: bool) -> Rows:
    """Decode every image once; keep the pixels, or only the knowledge of which files are whole."""
    held = _pictures(rows) if in_memory else {}
    pixels = {
        name: torch.empty(len(rows), *_shape(column, data), dtype=torch.uint8)
        for name, column in held.items()
    }
    purpose = _megabytes(pixels) if pixels else "looking for broken ones first"
    log.info("%s: decoding %s images, %s", rows.name, f"{len(rows):,}", purpose)
    broken: dict[int, str] = {}
    for index, found in _decode_all(rows):
        if isinstance(found, DataError):
            if data.on_error == "raise":
                raise found
            broken[index] = str(found)
        else:
            for name, kept in pixels.items():
                kept[index] = found[name]
    if broken:
        rows, pixels = _without(rows, pixels, broken, getattr(data, "root", None))
    return _held(rows, pixels) if pixels else rows


def _held(rows: Rows, pixels: Mapping[str, Tensor]) -> MemoryRows:
    """The rows with their pictures in memory; where they come from is no longer known."""
    columns = {name: kind for name, kind in rows.columns.items() if not isinstance(kind, File)}
    others = rows.read(range(len(rows)), [name for name in columns if name not in pixels])
    known = {**pixels, **others}
    values: dict[str, Raw] = {name: known[name] for name in columns}
    held = MemoryRows(
        rows.name, columns, values, fingerprint=rows.fingerprint, left_out=rows.left_out
    )
    held.whole, held.broken, held.origin = rows.whole or rows, rows.broken, rows
    return held


def _megabytes(pixels: Mapping[str, Tensor]) -> str:
    size = sum(kept.numel() for kept in pixels.values())
    return f"held in memory ({size / 1e6:,.1f} MB)"


def _decode_all(rows: Rows) -> Iterator[tuple[int, Pictures | DataError]]:
    last_said = time.monotonic()
    # A few images per task: handing over each tiny one costs as much as decoding it.
    blocks = [range(i, min(i + _BLOCK, len(rows))) for i in range(0, len(rows), _BLOCK)]
    workers = min(8, os.cpu_count() or 1)
    read = partial(_attempt, rows, [*_pictures(rows)])
    with ThreadPoolExecutor(workers) as pool:
        for first in range(0, len(blocks), 4 * workers):
            some = blocks[first : first + 4 * workers]
            for block, found in zip(some, pool.map(read, some), strict=True):
                yield from zip(block, found, strict=True)
            if time.monotonic() - last_said > _SAY_EVERY_S:
                last_said = time.monotonic()
                log.info("%s: %d %% decoded", rows.name, 100 * some[-1].stop // len(rows))


def _attempt(rows: Rows, columns: list[str], block: range) -> list[Pictures | DataError]:
    """The pictures of each row of a block, or why it has none."""
    try:
        found = rows.read(block, columns)
    except DataError as error:
        if len(block) == 1:
            return [error]
        return [one for index in block for one in _attempt(rows, columns, range(index, index + 1))]
    return [{name: values[i] for name, values in found.items()} for i in range(len(block))]


def _without(
    rows: Rows, pixels: Mapping[str, Tensor], broken: Mapping[int, str], root: Path | None
) -> tuple[Rows, dict[str, Tensor]]:
    reasons = list(broken.values())
    if len(broken) == len(rows):
        raise DataError(f"{rows.name}: none of {len(rows)} files can be read; {reasons[0]}")
    kept = torch.tensor([i for i in range(len(rows)) if i not in broken])
    names = [name.removeprefix(f"{root}/") for name in _names(rows, list(broken))]
    left = rows.only(kept) if isinstance(rows, FileRows) else picked(rows, kept, rows.name)
    left.left_out = rows.left_out + LeftOut.of(BROKEN, names)
    left.whole, left.broken = rows, tuple(names)
    return left, {name: values[kept] for name, values in pixels.items()}


def _names(rows: Rows, places: list[int]) -> list[str]:
    """What to call these rows: their file, the first one where they have several."""
    files = [name for name, column in rows.columns.items() if isinstance(column, File)]
    if not files:
        return [f"row {place}" for place in places]
    return list(rows.read(places, files[:1])[files[0]])
