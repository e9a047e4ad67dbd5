"""Batches of a run, in an order that depends on the seed alone.

Step s has a global batch of G = batch_size * processes * accumulation rows. Row p of step s is
sample n = s * G + p of an endless sequence: epoch n // N, place n % N in that epoch's order, which
has N places. Rows of several shapes give an order in which all rows of a step are of one.
Flips and shifts are drawn for the global batch of a step. So neither the order nor the augmentation
depends on the number of processes, on loader workers or on where a run was resumed.
"""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from genkit import random
from genkit.config import DataSection
from genkit.errors import DataError
from genkit.launch import signals
from genkit.rows.base import MemoryRows, Rows, onto
from genkit.rows.batch import Batch
from genkit.rows.buckets import BucketRows
from genkit.rows.columns import Column, Draws, File, Flags, Raw, Text
from genkit.rows.content import unreadable

T = TypeVar("T")
log = logging.getLogger("genkit")

NOTHING_DRAWN = Draws()
Micro = tuple[Tensor, dict[str, Raw]]  # indices (B,) and the raw values of these rows


@dataclass(frozen=True)
class _Share:
    """Which rows of every global batch this process reads."""

    batch_size: int
    rank: int
    processes: int
    accumulation: int

    @property
    def total(self) -> int:
        return self.batch_size * self.processes * self.accumulation

    def rows(self, micro_batch: int) -> slice:
        start = (micro_batch * self.processes + self.rank) * self.batch_size
        return slice(start, start + self.batch_size)


class Loader:
    """Endless batches of rows, augmented as configured and put on a device.

    Rows in memory are gathered, mirrored, shifted and normalised per batch on the device; others
    are read by `data.workers` processes. Both give the same batches bit by bit. A batch has every
    column but those of files.
    """

    def __init__(
        self,
        rows: Rows,
        data: DataSection,
        seed: int,
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.rows = rows
        self.data = data
        self.seed = seed
        self.device = torch.device(device)
        self.columns = {n: c for n, c in rows.columns.items() if not isinstance(c, File)}
        moving = data.flip or data.shift
        is_moved = {n for n, c in self.columns.items() if c.spatial or isinstance(c, Flags)}
        self._moving = is_moved if moving else set()
        self._moving |= {n for n, c in self.columns.items() if getattr(c, "crop", None)}
        self._order = lru_cache(maxsize=2)(rows.order)
        self._epoch_size = lru_cache(lambda total: len(rows.order(seed, 0, total)))

    def steps(
        self,
        first_step: int = 0,
        *,
        rank: int = 0,
        processes: int = 1,
        accumulation: int = 1,
    ) -> Generator[list[Batch], None, None]:
        """The micro-batches of each optimizer step from `first_step` on, without end.

        Raises:
            DataError: At once, when the set is smaller than one global batch.
        """
        share = _Share(self.data.batch_size, rank, processes, accumulation)
        check_size(self.rows, share.total)
        _say_small_buckets(self.rows, share.total)
        return self._steps(first_step, share)

    def _steps(self, step: int, share: _Share) -> Generator[list[Batch], None, None]:
        read = self._read(step, share)
        while True:
            yield [self._batch(step, share, a, *next(read)) for a in range(share.accumulation)]
            step += 1

    def _batch(
        self, step: int, share: _Share, micro_batch: int, indices: Tensor, raw: dict[str, Raw]
    ) -> Batch:
        rows = share.rows(micro_batch)
        batch: Batch = {}
        for name, column in self.columns.items():
            drawn = self._draws(name, column, step, share.total, rows)
            batch[name] = column.batch(raw[name], drawn)
        batch["index"] = onto(self.device, indices)
        # It looks up noise, which is drawn on the CPU.
        return batch | {"position": torch.arange(rows.start, rows.stop)}

    def _draws(self, name: str, column: Column, step: int, total: int, rows: slice) -> Draws:
        """What is drawn for one column; columns of one picture share flip, shift and crop."""
        if name not in self._moving and not isinstance(column, Text):
            return NOTHING_DRAWN
        flip = shift = corner = choice = None
        of = getattr(column, "of", None)
        ending = f"/{of}" if of else ""
        if self.data.flip and (column.spatial or isinstance(column, Flags)):
            drawn = torch.rand(total, generator=random.generator(self.seed, f"flip{ending}", step))
            flip = onto(self.device, drawn[rows] < 0.5)
        if self.data.shift and column.spatial:
            reach, generator = self.data.shift, random.generator(self.seed, f"shift{ending}", step)
            drawn = torch.randint(-reach, reach + 1, (total, 2), generator=generator)
            shift = onto(self.device, drawn[rows])
        if getattr(column, "crop", None):
            drawn = torch.rand(
                total, 2, generator=random.generator(self.seed, f"crop{ending}", step)
            )
            corner = onto(self.device, drawn[rows])
        if isinstance(column, Text):
            keyed = random.generator(self.seed, f"text/{column.of or name}", step)
            choice = torch.rand(total, generator=keyed)[rows]
        return Draws(flip, shift, corner, choice)

    # -- order -------------------------------------------------------------------------------------

    def _plan(self, step: int, share: _Share) -> Iterator[Tensor]:
        """The indices of every micro-batch of this process, from `step` on."""
        while True:
            for a in range(share.accumulation):
                yield self._indices(step * share.total + share.rows(a).start, share.total)
            step += 1

    def _indices(self, number: int, global_batch: int) -> Tensor:
        """(batch_size,) indices of the samples from `number` on, perhaps over several epochs."""
        end = number + self.data.batch_size
        parts = []
        while number < end:
            epoch, place = divmod(number, self._epoch_size(global_batch))
            order = self._order(self.seed, epoch, global_batch)
            parts.append(order[place : place + end - number])
            number += len(parts[-1])
        return torch.cat(parts)

    # -- raw values --------------------------------------------------------------------------------

    def _read(self, step: int, share: _Share) -> Iterator[Micro]:
        """Indices and raw values of every micro-batch, tensors on the device."""
        plan = self._plan(step, share)
        if isinstance(self.rows, MemoryRows) and self.data.memory != "never":
            rows = self.rows.on(self.device)
            return ((i, rows.read(i, self.columns)) for i in plan)
        return self._stream(plan)

    def _stream(self, plan: Iterator[Tensor]) -> Iterator[Micro]:
        loader: DataLoader[tuple[Tensor, dict[str, Raw] | str]] = DataLoader(
            _Decoder(self.rows, list(self.columns)),
            sampler=_Plan(plan),
            batch_size=None,
            num_workers=self.data.workers,
            collate_fn=_as_they_are,
            pin_memory=self.device.type == "cuda",
            # Without one of its own, DataLoader draws from the process-wide generator.
            generator=torch.Generator(),
            worker_init_fn=_be_a_worker,
        )
        read, workers = _started(loader)
        try:
            for indices, raw in read:
                if isinstance(raw, str):
                    error = DataError(raw)
                    root = str(getattr(self.data, "root", ""))
                    error.files = unreadable(self.rows, indices.tolist(), root)
                    raise error
                yield indices, {name: self._moved(value) for name, value in raw.items()}
        finally:
            # Asks the workers to end, waits for some seconds and forgets them. What torch does so
            # at the iterator's end comes too late where an error's traceback still holds it.
            getattr(read, "_shutdown_workers", lambda: None)()
            for worker in workers:
                worker.kill()  # nothing else ends one that hangs: see `_be_a_worker`
                worker.join()

    def _moved(self, raw: Raw) -> Raw:
        if isinstance(raw, Tensor):
            return onto(self.device, raw)
        return [onto(self.device, one) if isinstance(one, Tensor) else one for one in raw]


class _Decoder(Dataset[tuple[Tensor, "dict[str, Raw] | str"]]):
    """Micro-batches of raw values by their indices; runs in the loader's worker processes."""

    def __init__(self, rows: Rows, columns: list[str]) -> None:
        self.rows, self.columns = rows, columns

    def __getitem__(self, indices: Tensor) -> tuple[Tensor, dict[str, Raw] | str]:
        try:
            return indices, self.rows.read(indices, self.columns)
        except DataError as error:
            return indices, str(error)  # raised by the reader, without a worker's traceback


def _be_a_worker(number: int) -> None:
    """A stop that reaches the workers too is for the process that they work for."""
    signals.ignore()


def _started(loader: DataLoader[T]) -> tuple[Iterator[T], set[BaseProcess]]:
    """What a loader reads, and its workers."""
    others = set(multiprocessing.active_children())
    with signals.held():  # until they have said that they ignore them
        read = iter(loader)
    return read, set(multiprocessing.active_children()) - others


def _as_they_are(values: Any) -> Any:
    return values


class _Plan(torch.utils.data.Sampler[Tensor]):
    def __init__(self, plan: Iterator[Tensor]) -> None:
        self.plan = plan

    def __iter__(self) -> Iterator[Tensor]:
        return self.plan


def _say_small_buckets(rows: Rows, global_batch: int) -> None:
    """Say it where a step holds a picture several times, since its bucket has no more."""
    buckets = rows.buckets if isinstance(rows, BucketRows) else ()
    small = [len(bucket) for bucket in buckets if len(bucket) < global_batch]
    if small:
        log.warning(
            "%s: %d of %d buckets have fewer pictures than the %d of a step (%d in all): such a "
            "step holds them several times, and comes the more rarely; a smaller "
            "data.buckets.ratio makes fewer buckets, a smaller data.batch_size smaller steps",
            *(rows.name, len(small), len(buckets), global_batch, sum(small)),
        )


def check_size(
    rows: Rows, global_batch: int, product: str = "data.batch_size x micro-batches x processes"
) -> None:
    """Raise a `DataError` when an epoch is smaller than the batch of one optimizer step.

    Args:
        rows: What is trained on.
        global_batch: Rows of one optimizer step over all processes.
        product: What that is the product of, for the message.
    """
    if rows.epoch_size < global_batch:
        raise DataError(
            f"{rows.name}: {rows.epoch_size} images, but one optimizer step takes {global_batch} "
            f"({product}); lower data.batch_size or add images"
        )
