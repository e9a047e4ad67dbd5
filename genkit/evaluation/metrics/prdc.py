"""Precision, recall, density and coverage: do samples lie among real images, and on all of them?

Precision and recall: Kynkäänniemi et al. 2019 (arXiv:1904.06991), eq. 1-2, k = 3. Density and
coverage: Naeem et al. 2020 (arXiv:2002.09797), eq. 3-4, k = 5.

The radius of a point is the distance to its k-th nearest *other* point of its own set: the smallest
k + 1 distances of a set to itself start with the point itself, and taking the k-th of them would
be k - 1. A point is inside a ball when it is strictly nearer than the radius, as in the reference
code of Naeem et al. (Kynkäänniemi et al. use <=, which differs only on ties).
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
LIMIT = 10_000  # images of each set that are compared, as many as Naeem et al. take
K_MANIFOLD = 3  # precision, recall
K_DENSITY = 5  # density, coverage
CHUNK = 256  # rows of distances held at a time
COLUMNS = 1024  # of them, and so rows held as float64


class Prdc(NamedTuple):
    """One number per image; each metric is the mean of its tensor, float64."""

    precision: Tensor  # (M,) 1 where the sample is inside a ball of a real image
    recall: Tensor  # (N,) 1 where the real image is inside a ball of a sample
    density: Tensor  # (M,) balls of real images that hold the sample, over k
    coverage: Tensor  # (N,) 1 where the real image's ball holds a sample


def measure(view: View) -> list[Found]:
    """The four metrics of the samples."""
    if view.reference is None:
        return []
    mine = view.few("prdc/samples", view.samples, LIMIT)
    theirs = view.few("prdc/reference", view.reference, LIMIT)
    real, fake = view.reference.rows[theirs], view.samples.rows[mine]
    found = prdc(real, fake)
    base = None
    if view.floor is not None:
        base = prdc(real, view.floor.rows[view.few("prdc/floor", view.floor, len(fake))])
    note = "" if len(fake) == len(real) else f"{len(fake)} samples against {len(real)} images"
    if max(view.samples.count, view.reference.count) > LIMIT:
        note = f"{len(fake):,} samples and {len(real):,} images compared, chosen at random"
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
                note=note,
                protocol={
                    "compared": [len(fake), len(real)],
                    "k": K_MANIFOLD if name in ("precision", "recall") else K_DENSITY,
                    "inside": "strictly nearer than the k-th other point",
                    "interval": f"{over} drawn again, neighbourhoods held fixed",
                },
                most=math.inf if name == "density" else 1.0,
            )
        )
    return result


def prdc(real: Tensor, fake: Tensor) -> Prdc:
    """The four metrics of features real (N, D) and fake (M, D), image by image."""
    near, wide = radii(real, K_MANIFOLD), radii(real, K_DENSITY)
    near_fake = radii(fake, K_MANIFOLD)
    precision, density = torch.zeros(2, len(fake), dtype=torch.float64)
    recall, coverage = torch.zeros(2, len(real), dtype=torch.bool)
    for start in range(0, len(fake), CHUNK):
        here = slice(start, start + CHUNK)
        distance = squared_distances(fake[here], real)  # (m, N)
        precision[here] = (distance < near).any(1)
        density[here] = (distance < wide).sum(1).double() / K_DENSITY
        recall |= (distance < near_fake[here, None]).any(0)
        coverage |= (distance < wide).any(0)
    return Prdc(precision, recall.double(), density, coverage.double())


def radii(points: Tensor, k: int) -> Tensor:
    """(N,) squared distance from each of (N, D) points to its k-th nearest other point."""
    if len(points) <= k:
        raise EvaluationError(
            f"the {k}-th nearest neighbour needs at least {k + 1} images, got {len(points)}"
        )
    found = torch.empty(len(points), dtype=torch.float64)
    for start in range(0, len(points), CHUNK):
        rows = points[start : start + CHUNK]
        distance = squared_distances(rows, points)
        own = torch.arange(len(rows))
        distance[own, start + own] = torch.inf  # itself, whatever rounding made of the zero
        nearest = distance.topk(k, dim=1, largest=False).values
        found[start : start + CHUNK] = nearest[:, -1]
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
