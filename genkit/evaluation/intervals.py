"""95 % intervals: how far a value would move with other images of the same kind.

Whose images is part of each protocol: the samples for most metrics, the real images for recall and
coverage, which are shares of these. What is held fixed meanwhile is not in the interval.

A metric is a function of a set of images, and the influence of an image is the derivative of the
metric towards a set that holds more of it. To first order the metric of another set of N images
differs by the mean of their influences, so its standard error is their standard deviation over
sqrt(N): the infinitesimal jackknife (Jaeckel 1972, Bell Labs MM 72-1215-11; Efron 1982, chapter 6).
It costs one pass over the images, where a bootstrap of a 2,048-dimensional Fréchet distance would
take hundreds of eigenvalue problems, and is the same every time.

A share of images has an interval of its own (Wilson 1927, JASA 22:209): near 0 and 1 the normal
approximation is too narrow, and at 0 and 1 it has no width at all.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

NORMAL = 1.959964  # half the width of the central 95 % of a normal distribution, in deviations
SMALLEST_CLASS = 10


def standard_error(
    influence: Tensor, count: float | None = None, labels: Tensor | None = None
) -> float:
    """Of a metric from the influence (n,) of its images.

    Args:
        influence: Of all images or of some of them, chosen at random.
        count: How many images are behind the metric; None = n.
        labels: (n,) classes. A conditional model is asked for its labels, they are not chance: the
            spread is then that within the classes. Classes of fewer than 10 images say too little
            about themselves; then the labels are left aside.
    """
    values = influence.double()
    count = len(values) if count is None else count
    if len(values) < 2:
        return math.nan
    if labels is None or labels.unique(return_counts=True)[1].min() < SMALLEST_CLASS:
        return (values.var() / count).sqrt().item()
    _, group, sizes = labels.unique(return_inverse=True, return_counts=True)
    mean = torch.zeros(len(sizes), dtype=values.dtype).index_add_(0, group, values) / sizes
    squares = torch.zeros_like(mean).index_add_(0, group, (values - mean[group]).square())
    variance = (squares / (sizes - 1) * (sizes / len(values))).sum()
    return (variance / count).sqrt().item()


def is_share(value: float, influence: Tensor) -> bool:
    """Whether a value is the share of images that are 1 and not 0."""
    values = influence.double()
    flags = bool(((values == 0) | (values == 1)).all())
    return flags and math.isclose(values.mean().item(), value, abs_tol=1e-12)


def share_interval(share: float, count: float) -> tuple[float, float]:
    """The 95 % interval of Wilson around a share of `count` images; it never is a point.

    Classes are left aside: within one where all images or none are 1, the spread that a sample
    shows is 0 and says nothing.
    """
    square = NORMAL**2 / count
    middle = (share + square / 2) / (1 + square)
    half = math.sqrt(share * (1 - share) * square + square**2 / 4) / (1 + square)
    low = 0.0 if share == 0 else max(0.0, middle - half)  # exactly, whatever rounding makes of it
    return low, 1.0 if share == 1 else min(1.0, middle + half)


def interval(
    value: float, error: float, *, least: float = 0.0, most: float = math.inf
) -> tuple[float, float]:
    """The 95 % interval around a value with that standard error, within what is possible."""
    half = NORMAL * error
    return max(least, value - half), min(most, value + half)
