"""What a metric is given, and what it gives back."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from genkit.evaluation.engine import Features
from genkit.evaluation.extractor import Extractor
from genkit.evaluation.moments import Gaussian, Moments
from genkit.evaluation.overlap import Shared
from genkit.random import generator
from genkit.rows.base import Rows
from genkit.rows.combine import picked


@dataclass(frozen=True)
class Found:
    """One number, before its interval.

    Attributes:
        name: Of the metric, with the extractor in it.
        value: Of the samples.
        better: Which way is good.
        influence: (n,) how each image moves the value; None = no interval can be given.
        over: Whose images `influence` is of, all or a random part of them.
        places: (n,) which images, where they are a part.
        count: How many images are behind the value, or what two sets of them are worth together;
            None = all of the set.
        error: A standard error besides that of the influence, as of subsets drawn at random.
        floor: The value of real images, or None.
        note: What a reader must know.
        protocol: What this metric adds to the protocol.
        least: The smallest possible value.
        most: The largest.
    """

    name: str
    value: float
    better: Literal["lower", "higher"]
    influence: Tensor | None = None
    over: Literal["samples", "reference"] = "samples"
    places: Tensor | None = None
    count: float | None = None
    error: float = 0.0
    floor: float | None = None
    note: str = ""
    protocol: dict[str, Any] = field(default_factory=dict)
    least: float = 0.0
    most: float = math.inf


@dataclass(frozen=True)
class View:
    """Samples and real images through the eyes of one extractor.

    Attributes:
        extractor: Which.
        samples: Features of the samples.
        reference: Of the reference images; None where only its Gaussian is known.
        known: Mean and covariance of the reference, where its features are not known.
        floor: Features of as many training images, or None.
        sample_set: The samples.
        reference_set: The reference images, or None.
        reference_count: How many images are behind the reference; None = not known.
        seed: Keys every choice of subsets.
        floor_set: The training images behind `floor`.
        train_set: All training images.
        is_asked: Whether metrics were named, and not only what is usual is measured.
        shared: Which pictures the sets have in common; None = not known.
    """

    extractor: Extractor
    samples: Features
    reference: Features | None
    known: Gaussian | None
    floor: Features | None
    sample_set: Rows
    reference_set: Rows | None
    reference_count: int | None
    seed: int
    floor_set: Rows | None = None
    train_set: Rows | None = None
    is_asked: bool = False
    shared: Shared | None = None

    @cached_property
    def real(self) -> Gaussian:
        """Mean and covariance of the reference."""
        if self.known is not None:
            return self.known
        assert self.reference is not None
        return gaussian_of(self.reference)

    @property
    def sample_gaussian(self) -> Gaussian:
        """Mean and covariance of the samples."""
        return gaussian_of(self.samples)

    def order(self, purpose: str, count: int) -> Tensor:
        """A random order of `count` images, (count,) int64, keyed by seed and purpose."""
        return torch.randperm(count, generator=generator(self.seed, f"evaluation/{purpose}"))

    def few(self, purpose: str, features: Features, most: int) -> Tensor:
        """Positions of at most `most` rows, chosen at random: (n,) rising."""
        return self.order(purpose, len(features.rows))[:most].sort().values


def as_many(pool: Rows, samples: Rows, order: Tensor) -> Tensor:
    """Positions of real images to set beside samples: as many, in a random order, (n,) rising.

    Where both sets are labelled there are as many of each class, as far as the classes reach: what
    a perfect model would show for the same labels. Chance in the class counts would move a distance
    more than all other chance.
    """
    if pool.class_numbers is None or samples.class_numbers is None:
        return order[: len(samples)].sort().values
    labels = pool.class_numbers[order]
    classes, counts = samples.class_numbers.unique(return_counts=True)
    pairs = zip(classes.tolist(), counts.tolist(), strict=True)
    alike = torch.cat([order[labels == c][:n] for c, n in pairs])
    if 2 * len(alike) < min(len(samples), len(pool)):  # the two sets number classes differently
        alike = order[: len(samples)]
    return alike.sort().values


def floor_set_of(train: Rows, samples: Rows, seed: int) -> Rows:
    """Training images to compute floors from."""
    order = torch.randperm(len(train), generator=generator(seed, "floor"))
    return picked(train, as_many(train, samples, order))


def gaussian_of(features: Features) -> Gaussian:
    """Mean and covariance of all images of a set."""
    known: Moments | None = features.known
    return Gaussian.of(features.rows) if known is None else known.gaussian
