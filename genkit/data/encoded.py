"""Images that are decoded from files: at once into memory, or as a run needs them."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from genkit.config import DataSection
from genkit.data.sources import MemorySource, Source
from genkit.errors import DataError
from genkit.images import decode, to_array

MEMORY_LIMIT = 2_000_000_000  # bytes of uint8 pixels that data.memory=auto still holds
_HEAD = 1 << 16  # bytes of each file that enter the fingerprint, beside its name and size
_BLOCK = 64
_SAY_EVERY_S = 5.0

log = logging.getLogger("genkit")


class Entry(NamedTuple):
    """Where the bytes of one image are: a whole file, or a part of a tar archive."""

    path: Path
    name: str  # as messages call it
    offset: int
    size: int

    def read(self, limit: int | None = None) -> bytes:
        """Its bytes, or only the first `limit` of them."""
        size = self.size if limit is None else min(limit, self.size)
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                return file.read(size)
        except OSError as error:
            raise DataError(f"{self.name}: can't be read ({error})") from None


class EncodedSource(Source):
    """Images that are decoded each time they are asked for.

    Args:
        name: Kind, set and split.
        entries: Where the files are, in order.
        data: Size, channels and fit of the decoded images.
        labels: (N,) int64, or None.
        class_names: K words, or None.
        skipped: Broken files that were left out.
    """

    def __init__(
        self,
        name: str,
        entries: Sequence[Entry],
        data: DataSection,
        labels: Tensor | None = None,
        *,
        class_names: Sequence[str] | None = None,
        skipped: Sequence[str] = (),
    ) -> None:
        super().__init__(
            name,
            channels=data.channels,
            image_size=data.image_size,
            labels=labels,
            class_names=class_names,
            skipped=skipped,
        )
        self.entries = entries
        self.data = data

    @property
    def fingerprint(self) -> str:
        """SHA-256 of names, sizes and first 64 KiB of the files, labels and what alters pixels."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256(f"{self.image_size} {self.channels} {self.data.fit}".encode())
        for entry in self.entries:
            digest.update(f"{entry.path.name}/{entry.size};".encode())
            digest.update(entry.read(_HEAD))
        if self.labels is not None:
            digest.update(self.labels.numpy().data)
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.entries)

    def image(self, index: int) -> Tensor:
        """(C, S, S) uint8, decoded now."""
        entry = self.entries[index]
        picture = decode(entry.read(), entry.name)
        try:
            return to_array(picture, self.image_size, self.channels, self.data.fit)
        except ValueError as error:  # a colour space that Pillow knows but can't convert
            raise DataError(f"{entry.name}: {error}; save it as RGB") from None

    def only(self, kept: Tensor, broken: Sequence[str]) -> EncodedSource:
        """The same set with the (M,) kept indices alone."""
        return EncodedSource(
            self.name,
            [self.entries[i] for i in kept.tolist()],
            self.data,
            None if self.labels is None else self.labels[kept],
            class_names=self.class_names,
            skipped=broken,
        )


def fits_memory(data: DataSection, count: int) -> bool:
    """Whether so many images are to be held as uint8 pixels, as `data.memory` asks."""
    size = count * data.channels * data.image_size**2
    return data.memory == "always" or (data.memory == "auto" and size < MEMORY_LIMIT)


def opened(source: EncodedSource) -> Source:
    """The set as `data.memory` and `data.on_error` ask: held in memory or streamed, whole or not.

    Raises:
        DataError: A file is broken and the set is to be held in memory, or all of them are.
    """
    data = source.data
    in_memory = fits_memory(data, len(source))
    if not in_memory and data.on_error == "raise":
        log.info(
            "%s: %s images, streamed: decoded as they are needed", source.name, f"{len(source):,}"
        )
        return source
    return _decoded(source, in_memory=in_memory)


def _decoded(source: EncodedSource, *, in_memory: bool) -> Source:
    """Decode every image once; keep the pixels, or only the knowledge of which files are whole."""
    shape = (len(source), source.channels, source.image_size, source.image_size)
    pixels = torch.empty(shape, dtype=torch.uint8) if in_memory else None
    purpose = "looking for broken ones first" if pixels is None else _megabytes(pixels)
    log.info("%s: decoding %s images, %s", source.name, f"{len(source):,}", purpose)
    broken: dict[int, str] = {}
    for index, image in _decode_all(source):
        if isinstance(image, DataError):
            if source.data.on_error == "raise":
                raise image
            broken[index] = str(image)
        elif pixels is not None:
            pixels[index] = image
    if broken:
        source, pixels = _without(source, pixels, broken)
    if pixels is None:
        return source
    return MemorySource(
        source.name,
        pixels,
        source.labels,
        class_names=source.class_names,
        fingerprint=source.fingerprint,
        skipped=source.skipped,
    )


def _megabytes(pixels: Tensor) -> str:
    return f"held in memory ({pixels.numel() / 1e6:,.1f} MB)"


def _decode_all(source: EncodedSource) -> Iterator[tuple[int, Tensor | DataError]]:
    last_said = time.monotonic()
    # A few images per task: handing over each tiny one costs as much as decoding it.
    blocks = [range(i, min(i + _BLOCK, len(source))) for i in range(0, len(source), _BLOCK)]
    workers = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        for first in range(0, len(blocks), 4 * workers):
            some = blocks[first : first + 4 * workers]
            for block, images in zip(some, pool.map(partial(_attempt, source), some), strict=True):
                yield from zip(block, images, strict=True)
            if time.monotonic() - last_said > _SAY_EVERY_S:
                last_said = time.monotonic()
                log.info("%s: %d %% decoded", source.name, 100 * some[-1].stop // len(source))


def _attempt(source: EncodedSource, block: range) -> list[Tensor | DataError]:
    results: list[Tensor | DataError] = []
    for index in block:
        try:
            results.append(source.image(index))
        except DataError as error:
            results.append(error)
    return results


def _without(
    source: EncodedSource, pixels: Tensor | None, broken: dict[int, str]
) -> tuple[EncodedSource, Tensor | None]:
    reasons = list(broken.values())
    if len(broken) == len(source):
        raise DataError(f"{source.name}: none of {len(source)} files can be read; {reasons[0]}")
    names = [source.entries[i].name for i in broken]
    log.warning(
        "%s: %d of %d files left out as broken (data.on_error=skip): %s%s",
        source.name,
        len(names),
        len(source),
        ", ".join(names[:5]),
        ", ..." if len(names) > 5 else "",
    )
    kept = torch.tensor([i for i in range(len(source)) if i not in broken])
    return source.only(kept, names), None if pixels is None else pixels[kept]
