"""Precision, recall, density and coverage: do samples lie among real images, and on all of them?

Precision and recall: Kynkäänniemi et al. 2019 (arXiv:1904.06991), eq. 1-2, k = 3. Density and
coverage: Naeem et al. 2020 (arXiv:2002.09797), eq. 3-4, k = 5.

The radius of a point is the distance to its k-th nearest *other* point of its own set: the smallest
k + 1 distances of a set to itself start with the point itself, and taking the k-th of them would
be k - 1. For precision and recall a point on the rim of a ball is inside it (Kynkäänniemi et al.,
eq. 1: <=), for density and coverage it is not (Naeem et al., eq. 3-4: <). That matters where
pictures occur several times: radii may then be 0. Distances that rounding alone could have made are
equal, so that no order of the images decides.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from genkit.errors import EvaluationError
from genkit.evaluation.metric import Metric
from genkit.evaluation.view import Found, View

MEANING = {
    "precision": "share of samples that lie among real images",
    "recall": "share of real images that lie among samples: variety",
    "density": "how densely real images surround the samples; real images reach about 1",
    "coverage": "share of real images with a sample in their neighbourhood",
}
TITLE = {
    "precision": "Like real images",
    "recall": "Variety",
    "density": "Density",
    "coverage": "Coverage",
}
LIMIT = 10_000  # images of each set that are compared, as many as Naeem et al. take
K_MANIFOLD = 3  # precision, recall
K_DENSITY = 5  # density, coverage
CHUNK = 256  # rows of distances held at a time
COLUMNS = 1024  # of them, and so rows held as float64
MANIFOLD = ("precision", "recall")
INSIDE = {
    True: "no farther than the k-th other point",
    False: "strictly nearer than the k-th other point",
}
NOT_DRAWN = {
    "samples": "",
    "reference": "the interval is that of other real images; other samples would move it too",
}


class Prdc(NamedTuple):
    """One number per image; each metric is the mean of its tensor, float64."""

    precision: Tensor  # (M,) 1 where the sample is inside a ball of a real image
    recall: Tensor  # (N,) 1 where the real image is inside a ball of a sample
    density: Tensor  # (M,) balls of real images that hold the sample, over k
    coverage: Tensor  # (N,) 1 where the real image's ball holds a sample


class Balls(NamedTuple):
    """Squared radii around points, float64."""

    near: Tensor  # (N,) to the 3rd other point
    wide: Tensor  # (N,) to the 5th


def measure(view: View) -> list[Found]:
    """The four metrics of the samples."""
    if view.reference is None:
        return []
    mine = view.few("prdc/samples", view.samples, LIMIT)
    theirs = view.few("prdc/reference", view.reference, LIMIT)
    real, fake = view.reference.rows[theirs], view.samples.rows[mine]
    around, near = balls(real), radii(fake, K_MANIFOLD)
    found = prdc(real, fake, around, near)
    base = None
    if view.floor is not None:
        base = prdc(real, view.floor.rows[view.few("prdc/floor", view.floor, len(fake))], around)
    notes = [
        _sizes(view, len(fake), len(real)),
        repeated(near, "samples", rounding(fake)),
        repeated(around.near, "real images", rounding(real)),
    ]
    result = []
    for name in Prdc._fields:
        per_image: Tensor = getattr(found, name)
        over: Literal["samples", "reference"] = (
            "samples" if name in ("precision", "density") else "reference"
        )
        result.append(
            Found(
                f"{name}-{view.extractor.name}",
                per_image.mean().item(),
                "higher",
                per_image,
                over=over,
                places=mine if over == "samples" else theirs,
                count=len(per_image),
                floor=None if base is None else getattr(base, name).mean().item(),
                note="; ".join(note for note in (*notes, NOT_DRAWN[over]) if note),
                protocol={
                    "compared": [len(fake), len(real)],
                    "k": K_MANIFOLD if name in MANIFOLD else K_DENSITY,
                    "inside": INSIDE[name in MANIFOLD],
                    "interval": f"{over} drawn again, neighbourhoods held fixed",
                },
                most=math.inf if name == "density" else 1.0,
            )
        )
    return result


def _sizes(view: View, samples: int, real: int) -> str:
    assert view.reference is not None
    if max(view.samples.count, view.reference.count) > LIMIT:
        return f"{samples:,} samples and {real:,} images compared, chosen at random"
    return "" if samples == real else f"{samples} samples against {real} images"


def repeated(near: Tensor, what: str, slack: float) -> str:
    """A note where radii (N,) are 0; empty where none is."""
    empty = int((near <= slack).sum())
    if not empty:
        return ""
    return (
        f"{empty:,} of {len(near):,} {what} look the same as {K_MANIFOLD} others: their "
        "neighbourhood holds nothing but copies"
    )


def prdc(
    real: Tensor, fake: Tensor, around: Balls | None = None, near_fake: Tensor | None = None
) -> Prdc:
    """The four metrics of features real (N, D) and fake (M, D), image by image.

    Args:
        real: Features of real images.
        fake: Features of samples.
        around: `balls(real)`, where they are known.
        near_fake: `radii(fake, K_MANIFOLD)`, where they are known.
    """
    near, wide = balls(real) if around is None else around
    near_fake = radii(fake, K_MANIFOLD) if near_fake is None else near_fake
    slack = rounding(real, fake)
    precision, density = torch.zeros(2, len(fake), dtype=torch.float64)
    recall, coverage = torch.zeros(2, len(real), dtype=torch.bool)
    for start in range(0, len(fake), CHUNK):
        here = slice(start, start + CHUNK)
        distance = squared_distances(fake[here], real)  # (m, N)
        inside = distance < wide - slack
        precision[here] = (distance <= near + slack).any(1)
        density[here] = inside.sum(1).double() / K_DENSITY
        recall |= (distance <= near_fake[here, None] + slack).any(0)
        coverage |= inside.any(0)
    return Prdc(precision, recall.double(), density, coverage.double())


def rounding(*sets: Tensor) -> float:
    """How far float64 may be off in a squared distance between points (N, D) of these sets."""
    # |a - b|^2 is |a|^2 + |b|^2 - 2ab, of numbers as large as the longest vectors.
    parts = (part.double() for points in sets for part in points.split(CHUNK))
    most = max(float(part.square().sum(1).max()) for part in parts)
    return 2 * sets[0].shape[1] * torch.finfo(torch.float64).eps * most


def balls(points: Tensor) -> Balls:
    """The squared radii of both kinds around (N, D) points."""
    nearest = _nearest(points, K_DENSITY)
    return Balls(nearest[:, K_MANIFOLD - 1].clone(), nearest[:, -1].clone())


def radii(points: Tensor, k: int) -> Tensor:
    """(N,) squared distance from each of (N, D) points to its k-th nearest other point."""
    return _nearest(points, k)[:, -1].clone()


def _nearest(points: Tensor, k: int) -> Tensor:
    """(N, k) squared distances from each of (N, D) points to its nearest other points, rising."""
    if len(points) <= k:
        raise EvaluationError(
            f"the {k}-th nearest neighbour needs at least {k + 1} images, got {len(points)}"
        )
    found = torch.empty(len(points), k, dtype=torch.float64)
    for start in range(0, len(points), CHUNK):
        rows = points[start : start + CHUNK]
        distance = squared_distances(rows, points)
        own = torch.arange(len(rows))
        distance[own, start + own] = torch.inf  # itself, whatever rounding made of the zero
        found[start : start + CHUNK] = distance.topk(k, dim=1, largest=False).values
    return found


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """(n, D) and (m, D) of any float type -> (n, m) float64, never negative."""
    a = a.to(torch.float64)
    found = a.new_empty(len(a), len(b))
    for part, into in zip(b.split(COLUMNS), found.split(COLUMNS, 1), strict=True):
        columns = part.to(torch.float64)
        squares = [torch.einsum("nd,nd->n", x, x) for x in (a, columns)]  # without a copy of x
        torch.add(squares[0][:, None], squares[1], out=into)
        into.addmm_(a, columns.T, alpha=-2).clamp_min_(0)
    return found


METRIC = Metric("prdc", measure, MEANING, order=70, needs=frozenset({"reference"}), is_quick=True)
