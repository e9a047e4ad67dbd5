"""How often the right one is found among many, in closed form.

Legend: Q queries, N candidates, P embedding.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_CHUNK = 1024  # queries compared at a time


def nearer(queries: Tensor, candidates: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """How many wrong candidates are at least as near to a query as its own, and how many there are.

    Candidate i is query i's own; those of its group are right too and count for nothing.

    Args:
        queries: (N, P) of length 1.
        candidates: (N, P) of length 1.
        groups: (N,) int64.

    Returns:
        (N,) int64 each.
    """
    found, wrong_ones = [], []
    for start in range(0, len(queries), _CHUNK):
        rows = slice(start, start + _CHUNK)
        cosines = queries[rows] @ candidates.T
        own = cosines.gather(1, torch.arange(start, start + len(cosines))[:, None])
        wrong = groups[rows, None] != groups
        found.append(((cosines >= own) & wrong).sum(1))
        wrong_ones.append(wrong.sum(1))
    return torch.cat(found), torch.cat(wrong_ones)


def found_among(better: Tensor, wrong: Tensor, most: int, among: int | None = None) -> Tensor:
    """How likely a query's own is among its `most` nearest: (N,) float64.

    Args:
        better: (N,) wrong candidates that are nearer than its own.
        wrong: (N,) wrong candidates there are.
        most: How many are looked at.
        among: Candidates, its own and others that are drawn from the wrong ones without putting
            back: the mean over all such draws (hypergeometric); None = all there are.
    """
    if among is None:
        return (better < most).double()
    from scipy.stats import hypergeom

    drawn = np.minimum(among - 1, wrong.numpy())
    shares = hypergeom.cdf(most - 1, wrong.numpy(), better.numpy(), drawn)
    return torch.from_numpy(np.asarray(shares, np.float64))
