"""Bootstrap intervals: how far a value would move with other samples of the same model."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from genkit.errors import EvaluationError
from genkit.random import generator

LEVEL = 0.95
SMALLEST_CLASS = 10


@dataclass(frozen=True)
class Bootstrap:
    """Resampling with replacement (Efron 1979, Ann. Statist. 7:1), keyed by seed and purpose."""

    resamples: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resamples < 0 or self.resamples == 1:
            raise EvaluationError(
                f"resamples={self.resamples}: expected 0 (no intervals) or at least 2, such as 200"
            )

    def weights(self, purpose: str, count: int, labels: Tensor | None = None) -> Tensor:
        """How often each of `count` rows is drawn, per resample: (R, count) float64.

        With labels (count,) rows are drawn within their class, so that every resample has the same
        class counts: a conditional model is asked for its labels, they are not chance. Classes of
        fewer than 10 rows say too little about themselves; then the labels are left aside.
        """
        groups = torch.zeros(count, dtype=torch.int64)
        if labels is not None and labels.unique(return_counts=True)[1].min() >= SMALLEST_CLASS:
            groups = labels
        order = groups.argsort(stable=True)
        _, group, sizes = groups[order].unique_consecutive(return_inverse=True, return_counts=True)
        size, start = sizes[group], (sizes.cumsum(0) - sizes)[group]
        drawn = torch.zeros(self.resamples, count, dtype=torch.float64)
        for i, row in enumerate(drawn):
            draw = generator(self.seed, f"bootstrap/{purpose}", i)
            uniform = torch.rand(count, generator=draw, dtype=torch.float64)
            chosen = order[start + (uniform * size).long()]
            row += torch.bincount(chosen, minlength=count)
        return drawn


def of_mean(values: Tensor, weights: Tensor) -> Tensor:
    """The mean of (N,) float64 values in each resample, weights (R, N): (R,)."""
    return weights @ values / len(values)


def interval(
    value: float, replicates: Tensor, *, least: float = 0.0, most: float = math.inf
) -> tuple[float, float] | tuple[None, None]:
    """The 95 % interval around a value from (R,) replicates of it; (None, None) if R = 0.

    The spread of the replicates about their own mean is laid around the value. A Fréchet distance
    grows when images repeat, so its replicates lie above the value as a whole; that offset is the
    bias of a finite sample, which value and floor share, and no part of the uncertainty.
    """
    if not len(replicates):
        return None, None
    tail = (1 - LEVEL) / 2
    ends = replicates.quantile(torch.tensor([tail, 1 - tail], dtype=replicates.dtype))
    low, high = (ends - replicates.mean() + value).tolist()
    return max(least, min(low, value)), min(most, max(high, value))
