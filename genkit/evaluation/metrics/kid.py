"""Kernel Inception Distance: the squared maximum mean discrepancy with a cubic kernel.

Bińkowski et al. 2018 (arXiv:1801.01401), section 4: k(x, y) = (x . y / D + 1)^3 and the unbiased
estimator, averaged over subsets of 1,000. Unlike the Fréchet distance it has no bias, so values of
different sample counts agree, and it may be below 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genkit.evaluation.metric import Metric
from genkit.evaluation.view import Found, View

MEANING = {
    "kid": "kernel distance: how far the distribution of the samples is from that of real images, "
    "without the bias of few samples; may be a little below 0",
}
TITLE = {"kid": "Kernel distance"}
SUBSETS, SIZE = 100, 1000
ROWS = 4096  # for the interval
CHUNK = 1024  # of them at a time


def measure(view: View) -> list[Found]:
    """ "kid" on Inception features, else "kid-<extractor>"."""
    if view.reference is None:
        return []
    fake, real = view.samples.rows, view.reference.rows
    values = kid_subsets(view, fake, real)
    mine = view.few("kid/samples", view.samples, ROWS)
    theirs = view.few("kid/reference", view.reference, ROWS)
    floor = None
    if view.floor is not None and len(view.floor.rows) > 1:
        floor = kid_subsets(view, view.floor.rows, real).mean().item()
    name = view.extractor.name
    return [
        Found(
            "kid" if view.extractor.frechet_name == "fid" else f"kid-{name}",
            values.mean().item(),
            "lower",
            influence(fake[mine], real[theirs]),
            places=mine,
            error=values.std().item() / math.sqrt(len(values)),
            floor=floor,
            protocol={
                "kernel": "(x.y / D + 1)^3",
                "subsets": len(values),
                "subset_size": min(SIZE, len(fake), len(real)),
                "interval": "samples and subsets drawn again, reference held fixed",
            },
            least=-math.inf,
        )
    ]


def kid_subsets(view: View, fake: Tensor, real: Tensor) -> Tensor:
    """The distance of subsets drawn without replacement: (100,) float64."""
    size = min(SIZE, len(fake), len(real))
    found = []
    for turn in range(SUBSETS):
        mine = view.order(f"kid/fake/{turn}", len(fake))[:size]
        theirs = view.order(f"kid/real/{turn}", len(real))[:size]
        found.append(kernel_distance(fake[mine], real[theirs]))
    return torch.tensor(found, dtype=torch.float64)


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """The unbiased squared discrepancy of (N, D) and (M, D); N and M at least 2."""
    a, b = a.double(), b.double()
    within = [(cubic(x, x).sum() - cubic_self(x).sum()) / (len(x) * (len(x) - 1)) for x in (a, b)]
    return (within[0] + within[1] - 2 * cubic(a, b).mean()).item()


def influence(a: Tensor, b: Tensor) -> Tensor:
    """How each row of a moves the distance, up to a constant: (N,) float64."""
    found = torch.empty(len(a), dtype=torch.float64)
    for part, into in zip(a.split(CHUNK), found.split(CHUNK), strict=True):
        rows = part.double()
        own = (kernel_sums(rows, a) - cubic_self(rows)) / (len(a) - 1)
        into[:] = 2 * (own - kernel_sums(rows, b) / len(b))
    return found


def kernel_sums(rows: Tensor, others: Tensor) -> Tensor:
    """The kernel of each of rows (n, D) with all of (M, D), added up: (n,) float64."""
    return torch.stack([cubic(rows, part.double()).sum(1) for part in others.split(CHUNK)]).sum(0)


def cubic(a: Tensor, b: Tensor) -> Tensor:
    """The kernel of every pair: (N, D), (M, D) -> (N, M)."""
    return (a @ b.T).div_(a.shape[1]).add_(1).pow_(3)


def cubic_self(a: Tensor) -> Tensor:
    """The kernel of each row with itself: (N,)."""
    return (a.square().sum(1) / a.shape[1] + 1) ** 3


METRIC = Metric("kid", measure, MEANING, order=40, needs=frozenset({"reference"}))
