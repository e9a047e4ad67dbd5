"""CMMD: maximum mean discrepancy of CLIP embeddings, with a Gaussian kernel.

Jayasumana et al. 2024 (arXiv:2401.09603), eq. 4-5: embeddings of length 1, kernel width 10, the
biased estimator, times 1,000. It needs no Gaussian assumption and fewer images than FID.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genkit.evaluation.extractors.clip_vitb32 import is_published
from genkit.evaluation.metric import Metric
from genkit.evaluation.view import Found, View

MEANING = {
    "cmmd": "kernel distance of CLIP embeddings between samples and real images, times 1,000",
}
TITLE = {"cmmd": "CLIP distance"}
SIGMA, SCALE = 10.0, 1000.0
CHUNK = 512  # rows of the kernel held at a time
ROWS = 4096  # for the interval


def measure(view: View) -> list[Found]:
    """ "cmmd" on the paper's network, else "cmmd-<extractor>"."""
    if view.reference is None:
        return []
    fake, real = view.samples.rows, view.reference.rows
    mine = view.few("cmmd/samples", view.samples, ROWS)
    theirs = view.few("cmmd/reference", view.reference, ROWS)
    name = view.extractor.name
    return [
        Found(
            "cmmd" if is_published(view.extractor, "clip-vitl14-336") else f"cmmd-{name}",
            cmmd(fake, real),
            "lower",
            influence(fake[mine], real[theirs]),
            places=mine,
            floor=None if view.floor is None else cmmd(view.floor.rows, real),
            protocol={
                "kernel": f"Gaussian, width {SIGMA:g}, biased estimate, times {SCALE:g}",
                "interval": "samples drawn again, reference held fixed",
            },
        )
    ]


def cmmd(a: Tensor, b: Tensor) -> float:
    """1,000 times the biased squared discrepancy of (N, D) and (M, D), never below 0."""
    a, b = a.double(), b.double()
    found = mean_kernel(a, a).mean() + mean_kernel(b, b).mean() - 2 * mean_kernel(a, b).mean()
    return SCALE * found.clamp_min(0).item()


def influence(a: Tensor, b: Tensor) -> Tensor:
    """How each row of a moves it, up to a constant: (N,) float64."""
    a, b = a.double(), b.double()
    return 2 * SCALE * (mean_kernel(a, a) - mean_kernel(a, b))


def mean_kernel(a: Tensor, b: Tensor) -> Tensor:
    """The mean kernel of each row of (N, D) with all of (M, D): (N,)."""
    squares = b.square().sum(1)
    parts = []
    for rows in torch.split(a, CHUNK):
        distance = rows.square().sum(1)[:, None] + squares - 2 * rows @ b.T
        parts.append((-distance / (2 * SIGMA**2)).exp().mean(1))
    return torch.cat(parts)


METRIC = Metric("cmmd", measure, MEANING, order=50, needs=frozenset({"reference"}))
