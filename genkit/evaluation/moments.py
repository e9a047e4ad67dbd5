"""Means and covariances of features, in float64 whatever the extractor gives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from genkit.errors import EvaluationError


@dataclass(frozen=True)
class Gaussian:
    """What a Fréchet distance knows of a set of features.

    Attributes:
        mean: (D,) float64.
        covariance: (D, D) float64, divided by N - 1.
        rows: (N, D) centred features over sqrt(N - 1), where N <= D: the covariance is then
            singular, and its root is taken of these instead, which loses no digits.
    """

    mean: Tensor
    covariance: Tensor
    rows: Tensor | None = None

    @classmethod
    def of(cls, features: Tensor) -> Gaussian:
        """Of (N, D) features of any float type."""
        found = moments_of(features).gaussian
        count, dimensions = features.shape
        if count > dimensions:
            return found
        rows = (features.to(torch.float64) - found.mean) / (count - 1) ** 0.5
        return cls(found.mean, found.covariance, rows)


@dataclass(frozen=True)
class Moments:
    """Count, mean (D,) and centred scatter (D, D) of features, float64; parts can be merged.

    Merging is the pairwise update of Chan, Golub & LeVeque 1979 (STAN-CS-79-773), which loses no
    digits to a large mean as sums of squares do. So streams and processes add up to one pass.
    """

    count: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Moments:
        """The moments of (N, D) features of any float type."""
        x = features.to(torch.float64)
        mean = x.mean(0) if len(x) else x.new_zeros(x.shape[1])
        centred = x - mean
        return cls(len(x), mean, centred.T @ centred)

    def merge(self, other: Moments) -> Moments:
        """The moments of both sets together."""
        count = self.count + other.count
        if not count:
            return self
        shift = other.mean - self.mean
        mean = self.mean + shift * (other.count / count)
        scatter = self.scatter + other.scatter
        scatter.addr_(shift, shift, alpha=self.count * other.count / count)  # between the two
        return Moments(count, mean, scatter)

    @property
    def gaussian(self) -> Gaussian:
        """Mean and unbiased covariance (divided by N - 1)."""
        if self.count < 2:
            raise EvaluationError(f"a covariance needs at least 2 images, got {self.count}")
        return Gaussian(self.mean, self.scatter / (self.count - 1))


def moments_of(features: Tensor, chunk: int = 1024) -> Moments:
    """The moments of (N, D) features, part by part so that float64 copies stay small."""
    parts = (Moments.of(part) for part in torch.split(features, chunk))
    return reduce(Moments.merge, parts)  # one at a time: each has a matrix of (D, D)
