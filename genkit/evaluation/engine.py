"""One pass over a set of images for all extractors, on all processes, with a cache.

Batches are cut from the set by position and dealt to the processes in turn, so that every batch
goes through the network as it would with one process: the number of processes moves no feature.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from genkit.errors import EvaluationError
from genkit.evaluation import processes
from genkit.evaluation.extractor import Extractor
from genkit.evaluation.moments import Moments
from genkit.evaluation.sets import ImageSet
from genkit.files import cache_folder, write_whole
from genkit.random import generator

BATCH = 256  # images read at a time
KEPT_ROWS = 4096  # of a set of which only the moments are wanted


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


def features_of(images: ImageSet, extractor: Extractor, *, keep: bool = False) -> Tensor:
    """Features of every image in order: (N, D) float32; `extract` of one extractor."""
    return extract(images, [extractor], keep=keep)[0].rows


def extract(
    images: ImageSet,
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
        keep: Keep them in the user's cache, by content of the set and weights of the extractor.
        only_moments: For each extractor whether moments and a few rows are enough; memory then
            doesn't grow with the number of images.
        workers: Threads that read images ahead of the network; 0 = none.

    Raises:
        EvaluationError: There are no images, or an extractor gives NaN for some.
    """
    if not len(images):
        raise EvaluationError(f"{images.name}: no images to evaluate")
    small = list(only_moments or [False] * len(extractors))
    found = processes.from_first(lambda: _kept(images, extractors) if keep else [])
    found = found or [None] * len(extractors)
    missing = [i for i, rows in enumerate(found) if rows is None]
    made = _pass(images, [extractors[i] for i in missing], [small[i] for i in missing], workers)
    result: list[Features] = []
    for i, rows in enumerate(found):
        result.append(made.pop(0) if rows is None else Features(len(images), rows))
        _refuse_nan(images, extractors[i], result[i].rows)
        if keep and rows is None and result[i].places is None and processes.rank() == 0:
            _write(_cached_path(images, extractors[i]), result[i].rows)
    return result


def _pass(
    images: ImageSet, extractors: Sequence[Extractor], small: Sequence[bool], workers: int
) -> list[Features]:
    if not extractors:
        return []
    count, rank, world = len(images), processes.rank(), processes.world()
    ranges = [range(i, min(i + BATCH, count)) for i in range(0, count, BATCH)][rank::world]
    sums = [_Sum(chosen_rows(count) if few and count > KEPT_ROWS else None) for few in small]
    with processes.failing_together():
        for places, batch in _ahead(images, ranges, workers):
            for extractor, total in zip(extractors, sums, strict=True):
                parts = [
                    extractor.of(batch[i : i + extractor.batch_size])
                    for i in range(0, len(batch), extractor.batch_size)
                ]
                total.add(places, torch.cat(parts))
    return [total.gathered(count) for total in sums]


class _Sum:
    """What one process has found so far by one extractor."""

    def __init__(self, chosen: Tensor | None) -> None:
        self.chosen = chosen
        self.moments: Moments | None = None
        self.rows: list[Tensor] = []
        self.places: list[Tensor] = []

    def add(self, places: range, features: Tensor) -> None:
        where = torch.arange(places.start, places.stop)
        if self.chosen is not None:
            part = Moments.of(features)
            self.moments = part if self.moments is None else self.moments.merge(part)
            mine = torch.isin(where, self.chosen)
            where, features = where[mine], features[mine]
        self.rows.append(features)
        self.places.append(where)

    def gathered(self, count: int) -> Features:
        """All processes' parts in the order of the images."""
        mine = (self.moments, torch.cat(self.rows), torch.cat(self.places)) if self.rows else None
        parts = [part for part in processes.gathered(mine) if part is not None]
        places = torch.cat([part[2] for part in parts])
        order = places.argsort()
        rows = torch.cat([part[1] for part in parts])[order]
        if self.chosen is None:
            return Features(count, rows)
        moments = [part[0] for part in parts if part[0] is not None]
        return Features(count, rows, places[order], reduce(Moments.merge, moments))


def chosen_rows(count: int) -> Tensor:
    """Which rows are kept of a set of which only the moments are wanted: (n,) rising."""
    order = torch.randperm(count, generator=generator(0, "evaluation/rows"))
    return order[:KEPT_ROWS].sort().values


def _ahead(
    images: ImageSet, ranges: Sequence[range], workers: int
) -> Iterator[tuple[range, list[Tensor]]]:
    """The images of each range, the next range read while the last one is in use."""
    if not workers or images.is_drawn:
        for places in ranges:
            yield places, images.read(places)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting = [pool.map(images.__getitem__, places) for places in ranges[:1]]
        for places, following in zip(ranges, [*ranges[1:], range(0)], strict=True):
            waiting.append(pool.map(images.__getitem__, following))
            yield places, list(waiting.pop(0))


def _refuse_nan(images: ImageSet, extractor: Extractor, rows: Tensor) -> None:
    bad = int((~rows.isfinite().all(1)).sum())
    if bad:
        raise EvaluationError(
            f"{images.name}: {extractor.name} gave NaN or infinite features for {bad} of "
            f"{len(rows)} images; look at these images and at the weights file"
        )


# -- cache -----------------------------------------------------------------------------------------


def _cached_path(images: ImageSet, extractor: Extractor) -> Path:
    identity = (
        images.fingerprint, extractor.sha256, extractor.layer, extractor.resize, extractor.precision
    )  # fmt: skip
    digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()
    return cache_folder() / "features" / f"{digest}.safetensors"


def _kept(images: ImageSet, extractors: Sequence[Extractor]) -> list[Tensor | None]:
    """The features that the cache has, in the order of the extractors."""
    return [_read(_cached_path(images, extractor)) for extractor in extractors]


def _read(path: Path) -> Tensor | None:
    try:
        return load(path.read_bytes())["features"]
    except (OSError, SafetensorError, KeyError):
        return None


def _write(path: Path, rows: Tensor) -> None:
    """Without a writable cache the work is repeated next time and nothing else changes."""
    with contextlib.suppress(OSError):
        write_whole(path, save({"features": rows.contiguous()}))
