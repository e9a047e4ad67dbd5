"""One pass over a set of images for all extractors, on all processes, with a cache.

Batches are cut from the set by position and dealt to the processes in turn, so that every batch
goes through the network as it would with one process: the number of processes moves no feature.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import logging
import os
import stat
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial, reduce
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from genkit.errors import EvaluationError, shown
from genkit.evaluation import processes
from genkit.evaluation.extractor import Extractor
from genkit.evaluation.moments import Moments
from genkit.evaluation.pace import Pace
from genkit.evaluation.sets import picture, pictures
from genkit.files import cache_folder, write_whole
from genkit.random import generator
from genkit.rows.base import Rows
from genkit.rows.columns import Raw
from genkit.rows.drawn import DrawnRows

BATCH = 256  # images read at a time
CHECKSUM = "crc32"  # in the metadata of a file of features
KEPT_ROWS = 4096  # of a set of which only the moments are wanted


log = logging.getLogger("genkit")


@dataclass(frozen=True)
class Features:
    """What is known of a set by one extractor.

    Attributes:
        count: Images.
        rows: (n, D) float32, the features of all images in order, or of `places`.
        places: (n,) which images, rising, where only the moments of the others were kept.
        known: Their moments, where rows are missing.
    """

    count: int
    rows: Tensor
    places: Tensor | None = None
    known: Moments | None = None


def features_of(images: Rows, extractor: Extractor, *, keep: bool = False) -> Tensor:
    """Features of every image in order: (N, D) float32; `extract` of one extractor."""
    return extract(images, [extractor], keep=keep)[0].rows


def extract(
    images: Rows,
    extractors: Sequence[Extractor],
    *,
    keep: bool = False,
    only_moments: Sequence[bool] | None = None,
    workers: int = 0,
) -> list[Features]:
    """The features of a set by each extractor; every process calls it and gets all of them.

    Args:
        images: The set; an empty one is an error.
        extractors: What gives the features; each image is read once for all of them.
        keep: Keep them in the user's cache, by content of the set and identity of the extractor.
        only_moments: For each extractor whether moments and a few rows are enough; memory then
            doesn't grow with the number of images.
        workers: Threads that read images ahead of the network; 0 = none.

    Raises:
        EvaluationError: There are no images, or an extractor gives NaN for some.
    """
    count = len(images)
    if not count:
        raise EvaluationError(f"{images.name}: no images to evaluate")
    asked = only_moments or [False] * len(extractors)
    small = [few and count > KEPT_ROWS for few in asked]
    found: list[Features | None] = [None] * len(extractors)
    if keep:
        found = processes.from_first(lambda: _kept(images, extractors, small))
    missing = [i for i, features in enumerate(found) if features is None]
    made = _pass(images, [extractors[i] for i in missing], [small[i] for i in missing], workers)
    for i, features in zip(missing, made, strict=True):
        found[i] = features
        if keep and processes.rank() == 0:
            _write(_cached_path(images, extractors[i], small[i]), features)
    return [features for features in found if features is not None]


def _pass(
    images: Rows, extractors: Sequence[Extractor], small: Sequence[bool], workers: int
) -> list[Features]:
    if not extractors:
        return []
    count, rank, world = len(images), processes.rank(), processes.world()
    ranges = [range(i, min(i + BATCH, count)) for i in range(0, count, BATCH)][rank::world]
    mine = sum(len(places) for places in ranges)
    pace = Pace(images.name, count, world)
    sums = [_Sum(mine, chosen_rows(count) if few else None) for few in small]
    with processes.failing_together():
        for places, batch in _ahead(images, ranges, workers):
            for extractor, total in zip(extractors, sums, strict=True):
                parts = [
                    extractor.of(batch[i : i + extractor.batch_size])
                    for i in range(0, len(batch), extractor.batch_size)
                ]
                total.add(places, torch.cat(parts))
            pace.advance(len(places))
    found = []
    for extractor, total in zip(extractors, sums, strict=True):
        bad = sum(processes.gathered(total.bad))
        if bad:
            raise EvaluationError(
                f"{images.name}: {extractor.name} gave NaN or infinite features for {bad} of "
                f"{count} images; look at these images and at the weights file"
            )
        found.append(total.gathered(count))
    return found


class _Sum:
    """What one process has found so far by one extractor.

    Args:
        count: Images that it will see.
        chosen: Which rows to keep, of the whole set, with the moments of all; None = every row.
    """

    def __init__(self, count: int, chosen: Tensor | None) -> None:
        self.count, self.chosen = count, chosen
        self.moments: Moments | None = None
        self.rows: Tensor | None = None  # of the chosen images first, the rest of it is not used
        self.places: list[Tensor] = []
        self.filled = self.bad = 0

    def add(self, places: range, features: Tensor) -> None:
        """The features (B, D) of these images."""
        self.bad += int((~features.isfinite().all(1)).sum())
        where = torch.arange(places.start, places.stop)
        if self.chosen is not None:
            part = Moments.of(features)
            self.moments = part if self.moments is None else self.moments.merge(part)
            kept = torch.isin(where, self.chosen)
            where, features = where[kept], features[kept]
        if self.rows is None:  # one buffer: lists of parts would take twice the memory at the end
            most = self.count if self.chosen is None else min(self.count, len(self.chosen))
            self.rows = features.new_empty(most, features.shape[1])
        self.rows[self.filled : self.filled + len(where)] = features
        self.filled += len(where)
        self.places.append(where)

    def gathered(self, count: int) -> Features:
        """All processes' parts in the order of the images."""
        if processes.world() == 1 and self.rows is not None:
            return self._whole(count, [self.moments], self.rows[: self.filled], self.places)
        mine = None
        if self.rows is not None:
            mine = (self.moments, self.rows[: self.filled].clone(), torch.cat(self.places))
        parts = [part for part in processes.gathered(mine) if part is not None]
        places = torch.cat([part[2] for part in parts])
        order = places.argsort()
        rows = torch.cat([part[1] for part in parts])[order]
        return self._whole(count, [part[0] for part in parts], rows, [places[order]])

    def _whole(
        self, count: int, moments: Sequence[Moments | None], rows: Tensor, places: Sequence[Tensor]
    ) -> Features:
        if self.chosen is None:
            return Features(count, rows)
        known = reduce(Moments.merge, [part for part in moments if part is not None])
        return Features(count, rows, torch.cat(list(places)), known)


def chosen_rows(count: int) -> Tensor:
    """Which rows are kept of a set of which only the moments are wanted: (n,) rising."""
    order = torch.randperm(count, generator=generator(0, "evaluation/rows"))
    return order[:KEPT_ROWS].sort().values


def _ahead(images: Rows, ranges: Sequence[range], workers: int) -> Iterator[tuple[range, Raw]]:
    """The images of each range, the next range read while the last one is in use."""
    if not workers or _is_drawn(images) or not ranges:
        for places in ranges:
            yield places, pictures(images, places)
        return
    read = partial(picture, images)
    with ThreadPoolExecutor(workers) as pool:
        waiting = [pool.map(read, places) for places in ranges[:1]]
        for places, following in zip(ranges, [*ranges[1:], range(0)], strict=True):
            waiting.append(pool.map(read, following))
            yield places, list(waiting.pop(0))


def _is_drawn(images: Rows) -> bool:
    """Whether a model makes the images, several of them at a time; other rows may stand on it."""
    while isinstance(beneath := getattr(images, "rows", None), Rows):
        images = beneath
    return isinstance(images, DrawnRows)


# -- cache -----------------------------------------------------------------------------------------


def _cached_path(images: Rows, extractor: Extractor, small: bool) -> Path | None:
    """Named by all that the features depend on; None where the extractor's code can't be read."""
    kind = type(extractor)
    try:
        code = Path(inspect.getfile(kind)).read_bytes()
    except (OSError, TypeError):
        return None
    identity = (
        version("genkit"), hashlib.sha256(code).hexdigest(), images.fingerprint, kind.__qualname__,
        extractor.name, extractor.sha256, extractor.layer, extractor.resize, extractor.precision,
    )  # fmt: skip
    digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()
    return cache_folder() / "features" / f"{digest}{'-moments' if small else ''}.safetensors"


def _kept(
    images: Rows, extractors: Sequence[Extractor], small: Sequence[bool]
) -> list[Features | None]:
    """What the cache has of each extractor."""
    return [
        _read(_cached_path(images, extractor, few), len(images))
        for extractor, few in zip(extractors, small, strict=True)
    ]


def _read(path: Path | None, count: int) -> Features | None:
    if path is None:
        return None
    try:
        with safe_open(path, "pt") as file:
            known_sum = (file.metadata() or {}).get(CHECKSUM)
        held = load_file(path)  # mapped, not copied
        if known_sum != _checksum(held):
            log.warning("%s: damaged or of an older genkit; made anew", shown(path))
            return None
        if "scatter" not in held:
            return Features(count, held["features"])
        known = Moments(count, held["mean"], held["scatter"])
        return Features(count, held["features"], held["places"], known)
    except (OSError, SafetensorError, KeyError):
        return None


def _write(path: Path | None, features: Features) -> None:
    """Without a writable cache the work is repeated next time and nothing else changes."""
    if path is None:
        return
    held = {"features": features.rows.contiguous()}
    if features.known is not None and features.places is not None:
        known = features.known
        held |= {"places": features.places, "mean": known.mean, "scatter": known.scatter}
    marks = {CHECKSUM: _checksum(held)}

    def save(file: BinaryIO) -> None:
        # By name and not as bytes, which would be a second copy of all features in memory.
        rights = os.fstat(file.fileno()).st_mode
        save_file(held, file.name, metadata=marks)
        os.chmod(file.name, stat.S_IMODE(rights))  # safetensors lets nobody else read

    with contextlib.suppress(OSError, SafetensorError):
        write_whole(path, save)


def _checksum(held: Mapping[str, Tensor]) -> str:
    """Of all values and what they are: a disk may hand out others than were written."""
    found = 0
    for name in sorted(held):
        kind = f"{name} {held[name].dtype} {tuple(held[name].shape)}"
        found = zlib.crc32(kind.encode(), found)
        found = zlib.crc32(held[name].contiguous().numpy().data, found)
    return f"{found:08x}"
