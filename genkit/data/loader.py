"""Batches of a run, in an order that depends on the seed alone.

Step s has a global batch of G = batch_size * processes * accumulation rows. Row p of step s is
sample n = s * G + p of an endless sequence: epoch n // N, place n % N in that epoch's permutation.
Flips and shifts are drawn for the global batch of a step. So neither the order nor the augmentation
depends on the number of processes, on loader workers or on where a run was resumed.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from genkit import random
from genkit.config import DataSection
from genkit.data.sources import MemorySource, Source
from genkit.errors import DataError
from genkit.images import to_float
from genkit.rows.batch import Batch


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
    """Endless batches from a source, augmented as configured and put on a device.

    A `MemorySource` is gathered, mirrored, shifted and normalised per batch on the device; any
    other source is decoded by `data.workers` processes. Both give the same batches bit by bit.
    """

    def __init__(
        self,
        source: Source,
        data: DataSection,
        seed: int,
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.source = source
        self.data = data
        self.seed = seed
        self.device = torch.device(device)
        self._order = lru_cache(maxsize=2)(self._epoch)

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
        check_size(self.source, share.total)
        return self._steps(first_step, share)

    def _steps(self, step: int, share: _Share) -> Generator[list[Batch], None, None]:
        drawn = self._pixels(step, share)
        while True:
            yield [self._batch(step, share, a, *next(drawn)) for a in range(share.accumulation)]
            step += 1

    def _batch(
        self, step: int, share: _Share, micro_batch: int, indices: Tensor, images: Tensor
    ) -> Batch:
        rows = share.rows(micro_batch)
        images = self._augment(images, step, share.total, rows)
        positions = torch.arange(rows.start, rows.stop)
        batch = {"image": to_float(images), "index": indices}
        if self.source.labels is not None:
            batch["label"] = self.source.labels[indices]
        moved = {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}
        return moved | {"position": positions}  # looks up noise, which is drawn on the CPU

    # -- order -------------------------------------------------------------------------------------

    def _plan(self, step: int, share: _Share) -> Iterator[Tensor]:
        """The indices of every micro-batch of this process, from `step` on."""
        while True:
            for a in range(share.accumulation):
                yield self._indices(step * share.total + share.rows(a).start)
            step += 1

    def _indices(self, number: int) -> Tensor:
        """(batch_size,) indices of the samples from `number` on, perhaps over several epochs."""
        end = number + self.data.batch_size
        parts = []
        while number < end:
            epoch, place = divmod(number, len(self.source))
            parts.append(self._order(epoch)[place : place + end - number])
            number += len(parts[-1])
        return torch.cat(parts)

    def _epoch(self, epoch: int) -> Tensor:
        return random.permutation(self.seed, epoch, len(self.source))

    # -- pixels ------------------------------------------------------------------------------------

    def _pixels(self, step: int, share: _Share) -> Iterator[tuple[Tensor, Tensor]]:
        """Indices and pixels of every micro-batch."""
        plan = self._plan(step, share)
        if isinstance(self.source, MemorySource) and self.data.memory != "never":
            pixels = self.source.pixels.to(self.device)
            return ((i, pixels.index_select(0, i.to(self.device))) for i in plan)
        return self._stream(plan)

    def _stream(self, plan: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        decoded: DataLoader[tuple[Tensor, Tensor | str]] = DataLoader(
            _Decoder(self.source),
            sampler=_Plan(plan),
            batch_size=None,
            num_workers=self.data.workers,
            pin_memory=self.device.type == "cuda",
            # Without one of its own, DataLoader draws from the process-wide generator.
            generator=torch.Generator(),
        )
        for indices, images in decoded:
            if isinstance(images, str):
                raise DataError(images)
            yield indices, images.to(self.device, non_blocking=True)

    def _augment(self, images: Tensor, step: int, total: int, rows: slice) -> Tensor:
        if self.data.flip:
            drawn = torch.rand(total, generator=random.generator(self.seed, "flip", step))
            mirrored = (drawn[rows] < 0.5).to(self.device)
            # One gather of images and mirrors: half the time of mirroring some in place.
            both = torch.cat([images, images.flip(3)])
            row = torch.arange(len(images), device=self.device)
            images = both.index_select(0, row + len(images) * mirrored)
        if self.data.shift:
            reach = self.data.shift
            generator = random.generator(self.seed, "shift", step)
            offsets = torch.randint(-reach, reach + 1, (total, 2), generator=generator)
            images = shifted(images, offsets[rows].to(self.device))
        return images


class _Decoder(Dataset[tuple[Tensor, Tensor | str]]):
    """Micro-batches of pixels by their indices; runs in the loader's worker processes."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __getitem__(self, indices: Tensor) -> tuple[Tensor, Tensor | str]:
        try:
            return indices, self.source.images(indices)
        except DataError as error:
            return indices, str(error)  # raised by the reader, without a worker's traceback


class _Plan(torch.utils.data.Sampler[Tensor]):
    def __init__(self, plan: Iterator[Tensor]) -> None:
        self.plan = plan

    def __iter__(self) -> Iterator[Tensor]:
        return self.plan


def shifted(images: Tensor, offsets: Tensor) -> Tensor:
    """Each image moved by its own offset, its border repeated.

    Args:
        images: (B, C, H, W).
        offsets: (B, 2) int64, down and right in px.

    Returns:
        (B, C, H, W), what a random crop after edge padding gives.
    """
    b, c, h, w = images.shape
    down, right = offsets[:, :1], offsets[:, 1:]
    rows = (torch.arange(h, device=images.device) - down).clamp_(0, h - 1)  # (B, H)
    columns = (torch.arange(w, device=images.device) - right).clamp_(0, w - 1)  # (B, W)
    flat = (rows[:, :, None] * w + columns[:, None, :]).view(b, 1, h * w)
    return images.flatten(2).gather(2, flat.expand(b, c, h * w)).view(b, c, h, w)


def check_size(source: Source, global_batch: int) -> None:
    """Raise a `DataError` when a set is smaller than the batch of one optimizer step."""
    if len(source) < global_batch:
        raise DataError(
            f"{source.name}: {len(source)} images, but one optimizer step takes {global_batch} "
            "(data.batch_size x processes x trainer.grad_accumulation); "
            "lower data.batch_size or add images"
        )
