"""Parzen window log-likelihood, the number of the first papers on adversarial networks.

A Gaussian of width sigma sits on each of n samples mu_j with values in [0, 1], and real images x of
d values are scored by the mixture:

    LL(x) = ln 1/n sum_j exp(-|x - mu_j|^2 / 2 sigma^2) - d ln(sigma sqrt(2 pi))

(Breuleux et al. 2011; used by Goodfellow et al. 2014, arXiv:1406.2661, section 5, and Mirza &
Osindero 2014, arXiv:1411.1784, section 4.1, with n = 10,000 and d = 784). Sigma is the one of ten
between 0.1 and 1 that fits validation images best.

It reproduces those tables and is good for nothing else: it is biased and of high variance. In
hundreds of dimensions the estimate is far from the model's true likelihood for any number of
samples that can be drawn, it doesn't rank models as the likelihood does, and k-means centres score
above real images (Theis et al. 2016, arXiv:1511.01844).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from genkit.errors import EvaluationError
from genkit.evaluation.metric import Metric
from genkit.evaluation.metrics.prdc import squared_distances
from genkit.evaluation.sets import batches, shape_of
from genkit.evaluation.view import Found, View, floor_set_of
from genkit.rows.base import Rows
from genkit.rows.combine import picked

MEANING = {
    "parzen-ll": "mean log-likelihood of real images under Gaussian windows on the samples, in "
    "nats: biased and of high variance, only to compare with the tables of early papers",
}
TITLE = {"parzen-ll": "Parzen log-likelihood"}
SIGMAS = tuple(torch.logspace(-1, 0, 10, dtype=torch.float64).tolist())
HELD_OUT = 10_000  # the last images of the training set are the validation set, as MNIST's 50k/10k
VALIDATION_COUNT = 1_000  # of which the first so many choose sigma
USUAL_COUNT = 10_000  # samples
CHUNK = 1024  # rows of distances held at a time
BATCH = 1024


class Parzen(NamedTuple):
    """What a window on samples makes of real images."""

    values: Tensor  # (N,) float64 log-likelihood of each image, nats
    sigma: float


def measure(view: View) -> list[Found]:
    """The mean over the reference images, with windows on the samples.

    Part of the training set chooses sigma; of the rest as many as there are samples are the centres
    for the floor.
    """
    samples, reference, train = view.sample_set, view.reference_set, view.train_set
    if reference is None or train is None:
        return []
    validation, rest = split_train(train)
    others = floor_set_of(rest, samples, view.seed)
    shape = shape_of(samples)
    real, chosen, rows = (rows_of(x, shape) for x in (reference, validation, samples))
    found = parzen(real, rows, chosen)
    error = found.values.std() / math.sqrt(len(real))
    lines = [f"sigma {found.sigma:.3f}; standard error over the reference {error:.2f}"]
    if len(samples) != USUAL_COUNT:
        lines.append(f"{len(samples):,} samples, {USUAL_COUNT:,} are usual")
    return [
        Found(
            "parzen-ll",
            found.values.mean().item(),
            "higher",
            found.values,
            over="reference",
            floor=parzen(real, rows_of(others, shape), chosen).values.mean().item(),
            note="; ".join(lines),
            protocol={
                "dimensions": real.shape[1],
                "sigma": f"of {len(SIGMAS)} from 0.1 to 1 the best for {len(validation):,} "
                f"training images, the first of the last {HELD_OUT:,}",
                "train": train.name,
                "train_count": len(train),
                "floor_count": len(others),
                "interval": "reference drawn again, samples held fixed",
            },
            least=-math.inf,
        )
    ]


def parzen(real: Tensor, samples: Tensor, validation: Tensor) -> Parzen:
    """Log-likelihood of real images (N, d) under samples (M, d), sigma from validation (V, d)."""
    means = log_likelihoods(validation, samples, SIGMAS).mean(1)
    sigma = SIGMAS[int(means.argmax())]
    return Parzen(log_likelihoods(real, samples, (sigma,))[0], sigma)


def log_likelihoods(points: Tensor, samples: Tensor, sigmas: tuple[float, ...]) -> Tensor:
    """LL of each point for each sigma: (S, N) float64, nats.

    Args:
        points: (N, d).
        samples: (M, d), centres of the windows.
        sigmas: S widths, in the unit of the values.
    """
    points, samples = points.double(), samples.double()
    count, dimensions = samples.shape
    parts = []
    for rows in torch.split(points, CHUNK):
        distance = squared_distances(rows, samples)  # (n, M)
        parts.append(torch.stack([(distance / (-2 * s * s)).logsumexp(1) for s in sigmas]))
    normal = [dimensions * math.log(s * math.sqrt(2 * math.pi)) for s in sigmas]
    return torch.cat(parts, 1) - math.log(count) - points.new_tensor(normal)[:, None]


def rows_of(images: Rows, shape: torch.Size) -> Tensor:
    """The images of a set as rows of values: (N, d) float64 in [0, 1].

    Raises:
        EvaluationError: When an image isn't of `shape` (C, H, W): distances need equal shapes.
    """
    parts = []
    for batch in batches(images, BATCH):
        if batch.shape[1:] != shape:
            raise EvaluationError(
                f"{images.name}: images of (C, H, W) = {tuple(batch.shape[1:])} can't be compared "
                f"with samples of {tuple(shape)} pixel by pixel, as --parzen does; give a set of "
                "the samples' size and channels"
            )
        parts.append(batch.flatten(1).double() / 255)
    return torch.cat(parts)


def split_train(train: Rows) -> tuple[Rows, Rows]:
    """The validation images of a training set, and all others.

    Validation are the first 1,000 of its last 10,000 images. A model that was trained on them too,
    as a run of genkit is, makes sigma a little too small; no better images are at hand that are
    neither trained on nor tested on.
    """
    start = max(0, len(train) - HELD_OUT)
    indices = torch.arange(len(train))
    chosen = (indices >= start) & (indices < start + VALIDATION_COUNT)
    if chosen.all():
        raise EvaluationError(
            f"{train.name}: {len(train)} training images, but --parzen takes {VALIDATION_COUNT:,} "
            "of them as validation images and needs others too; give a larger --train"
        )
    return picked(train, indices[chosen]), picked(train, indices[~chosen])


METRIC = Metric(
    "parzen", measure, MEANING, order=140, on="images", needs=frozenset({"reference", "train"})
)
