"""Random numbers and a few functions with the same bits on every processor."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from genkit import random

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def uniform(seed: int, purpose: str, indices: Sequence[int], count: int) -> Floats:
    """(B, count) numbers in [0, 1), a row for each index, whatever the others are."""
    drawn = np.empty((len(indices), count))
    for row, index in enumerate(indices):
        keyed = random.generator(seed, purpose, index)
        drawn[row] = torch.rand(count, generator=keyed, dtype=torch.float64).numpy()
    return drawn


def between(share: Floats, low: float, high: float) -> Floats:
    """A share in [0, 1) as a number in [low, high)."""
    return low + share * (high - low)


def choice(share: Floats, weights: Sequence[float]) -> Ints:
    """A share in [0, 1) as one of the places of weights that sum to 1."""
    edges = np.cumsum(np.asarray(weights[:-1], dtype=np.float64))
    return (share[:, None] >= edges).sum(1)


def sin_cos(degrees: Floats) -> tuple[Floats, Floats]:
    """Sine and cosine of angles within ±200 degrees, right to 1e-9, by products and sums alone."""
    x = np.asarray(degrees, dtype=np.float64) * (math.pi / 180 / 8)
    xx = x * x
    sin = x * (1 + xx * (-1 / 6 + xx * (1 / 120 + xx * (-1 / 5040 + xx * (1 / 362880)))))
    cos = 1 + xx * (-1 / 2 + xx * (1 / 24 + xx * (-1 / 720 + xx * (1 / 40320 - xx / 3628800))))
    for _ in range(3):  # double the angle three times
        sin, cos = 2 * sin * cos, cos * cos - sin * sin
    return sin, cos
