"""Clocks with which an arm measures its own steady state.

A lap is a few steps timed together. On a CPU it may be a single one; a GPU works on after Python
has gone ahead, and waiting for it at each step would be unfair to loops that don't.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Generator
from itertools import pairwise

import torch

from genkit.rows.batch import Batch
from genkit.training.loop import Batches

GPU_LAP = 10  # steps


def this_device() -> torch.device:
    """The GPU if there is one, as accelerate finds it."""
    on_cpu = os.environ.get("ACCELERATE_USE_CPU") == "true" or not torch.cuda.is_available()
    return torch.device("cpu" if on_cpu else "cuda")


def now(device: torch.device) -> float:
    """Seconds on the clock, once the device has done all that it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


class Laps:
    """Seconds per step from the times of its marks.

    Args:
        device: Where the steps run.
        warmup: Steps left out at the start.
        count: Laps.
        length: Steps in a lap; on a GPU at least `GPU_LAP`.
    """

    def __init__(
        self, device: torch.device, *, warmup: int, count: int = 20, length: int = 1
    ) -> None:
        self.device, self.warmup, self.count = device, warmup, count
        self.length = length if device.type == "cpu" else max(length, GPU_LAP)
        self._begun = 0
        self._marks: list[float] = []

    @property
    def steps(self) -> int:
        """All steps that are needed, those left out included."""
        return self.warmup + self.count * self.length

    def mark(self) -> None:
        """Called before each step, and once after the last."""
        timed = self._begun - self.warmup
        if timed >= 0 and timed % self.length == 0:
            self._marks.append(now(self.device))
        self._begun += 1

    @property
    def seconds(self) -> float:
        """Of one step: the median over the laps."""
        return statistics.median((b - a) / self.length for a, b in pairwise(self._marks))

    def time(self, work: Callable[[], object]) -> float:
        """Call `work` as often as needed; returns the seconds of one call."""
        for _ in range(self.steps):
            self.mark()
            work()
        self.mark()
        return self.seconds


class Clock:
    """Hands a loader's batches on to a trainer, and marks a step whenever it asks for one.

    The time between two requests is one whole step of `Trainer.fit`: the batch, both updates, the
    averages, the learning rate and what the loop does beside. A run must be one step longer than
    its laps: after the last step nothing is asked for.
    """

    def __init__(self, loader: Batches, laps: Laps) -> None:
        self.loader, self.laps = loader, laps

    def steps(
        self, first_step: int = 0, *, rank: int = 0, processes: int = 1, accumulation: int = 1
    ) -> Generator[list[Batch], None, None]:
        """The loader's own batches."""
        batches = self.loader.steps(
            first_step, rank=rank, processes=processes, accumulation=accumulation
        )
        while True:
            self.laps.mark()
            yield next(batches)
