"""Translations beside their true counterparts: how near, and is the true one the nearest of all?

Retrieval ranks the counterparts of all pictures by their distance to a translation, in pixels or in
the features of an extractor. The share of translations whose own counterpart is the nearest (among
the five nearest) depends on how many there are, so where there are more than 200 the expected share
among the own and 199 others drawn at random is given too: with r of N - 1 others nearer than the
own, the number of those drawn that are nearer is hypergeometric.

Legend: N pictures, D features.
"""

from __future__ import annotations

import torch
from torch import Tensor

MEANING = {
    "truth-l1": "how far a translation is from its true counterpart, in [0, 1]",
    "retrieval-1": "how often the true counterpart is the one nearest to a translation, of all",
    "retrieval-5": "how often the true counterpart is among the five nearest to a translation",
}
TITLE = {
    "truth-l1": "Distance to the truth",
    "retrieval-1": "Truth found at first",
    "retrieval-5": "Truth among five",
}
FEW = 200  # candidates among which retrieval can be compared between sets
CHUNK = 256


def l1(one: Tensor, other: Tensor) -> Tensor:
    """Mean absolute difference in [0, 1]: (B, C, H, W) uint8 twice -> (B,) float64.

    A grey picture beside a colour one counts as one whose channels are equal.
    """
    channels = max(one.shape[1], other.shape[1])
    a, b = (x.expand(-1, channels, -1, -1).double() for x in (one, other))
    return (a - b).abs().mean((1, 2, 3)) / 255


def nearer(queries: Tensor, truths: Tensor) -> Tensor:
    """How many other counterparts are at least as near to each query as its own: (N,) int64.

    Args:
        queries: (N, D) features of translations; (N, H, W) and the like are flattened.
        truths: (N, D) of the counterparts, row i that of query i.
    """
    mine, theirs = queries.flatten(1).double(), truths.flatten(1).double()
    squares, found = theirs.square().sum(1), list[Tensor]()
    for start in range(0, len(mine), CHUNK):
        part = mine[start : start + CHUNK]
        # Without the query's own square, which is the same for all candidates.
        apart = squares[None] - 2 * part @ theirs.T
        own = apart[torch.arange(len(part)), torch.arange(start, start + len(part))]
        found.append((apart <= own[:, None]).sum(1) - 1)
    return torch.cat(found)


def found_among(ranks: Tensor, most: int, candidates: int) -> Tensor:
    """The chance that the own counterpart is among the nearest of so many: (N,) float64 in [0, 1].

    Args:
        ranks: (N,) how many of all N - 1 others are nearer.
        most: 1 or 5: how near it has to be.
        candidates: How many are looked at, the own among them; N = all, where it is 0 or 1.
    """
    others, drawn = len(ranks) - 1, candidates - 1
    if drawn >= others:
        return (ranks < most).double()
    rank = ranks.double()
    chance = torch.zeros_like(rank)
    for hits in range(min(most, drawn + 1)):
        possible = (rank >= hits) & (others - rank >= drawn - hits)
        log = (
            _choose(rank, hits) + _choose(others - rank, drawn - hits)
            - _choose(torch.full_like(rank, others), drawn)
        )  # fmt: skip
        chance += torch.where(possible, log.exp(), torch.zeros_like(log))
    return chance


def _choose(n: Tensor, k: int) -> Tensor:
    """The logarithm of n over k, for n >= k; anything below."""
    rest = (n - k).clamp_min(0)
    return torch.lgamma(n + 1) - torch.lgamma(rest + 1) - torch.lgamma(n.new_tensor(k + 1.0))
