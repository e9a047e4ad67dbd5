"""How far a picture is from those that a network was trained on, by what can be seen of it.

The distance of Mahalanobis to the features of known pictures, as Lee et al. 2018
(arXiv:1807.03888), section 2.1, use it, with one normal law instead of one for each class, and
correlations shrunk towards none (Ledoit & Wolf 2004, J. Multivariate Anal. 88); but with the fourth
power along the principal axes, so that a few that are far out count for more than many that are a
little. Features are
colours and spreads in the cells of a grid, not those of the network: what names attributes leaves
out how a picture is framed and drawn (docs/attgan.md has the comparison).

Legend: B batch, C channels, H W size in px, N M known and held-out pictures, F features.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from genkit.nn.network import Network

USUAL = 0.99  # share of pictures of the same kind that stay below the limit
FOLDS = 5
GRID = 8  # cells along each side
_OF_NORMAL = 3.0  # the mean of the fourth power
_FLAT = 0.02  # a spread, in [-1, 1], below which a cell is as flat as any


def appearance(images: Tensor) -> Tensor:
    """Features of pictures: in each of 8 x 8 cells the mean and the logarithm of the spread of each
    channel, (B, 128 C).

    Args:
        images: (B, C, H, W) in [-1, 1], of any size.
    """
    images = images.float()
    mean, square = (F.adaptive_avg_pool2d(x, GRID) for x in (images, images.square()))
    spread = (square - mean.square()).clamp_min(0).sqrt()
    return torch.cat([mean, (spread + _FLAT).log()], dim=1).flatten(1)


class Familiarity(Network):
    """Features (B, F) -> how unlike the known ones they are, (B,) from 0 on; about 1 of the known.

    It has no weights but buffers: `mean` and `whitening` of the known features, and `below`, what
    99 % of pictures stay below that it was not taken from; infinite before it is learnt.

    Args:
        features: F.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("whitening", torch.zeros(features, features))
        self.register_buffer("below", torch.tensor(math.inf))

    mean: Tensor
    whitening: Tensor
    below: Tensor

    def forward(self, features: Tensor) -> Tensor:
        """The distances: the fourth root of the mean of whitened features to the power of 4, as a
        share of what it is of a normal law."""
        white = (features.float() - self.mean) @ self.whitening
        return (white.pow(4).mean(1) / _OF_NORMAL).pow(0.25)

    @torch.no_grad()
    def learn(self, known: Tensor, held_out: Tensor) -> None:
        """Take in what features known pictures have, and how far held-out ones are from them.

        Args:
            known: (N, F), N 2 or more.
            held_out: (M, F), of pictures that the network was not trained on.
        """
        self._fit(known)
        self._limit(self(held_out.to(self.mean)))

    @torch.no_grad()
    def learn_across(self, known: Tensor) -> None:
        """The same without held-out pictures: the limit is that of known ones, each measured by
        what was taken in of others, a fifth at a time.

        Args:
            known: (N, F) in a random order, N 3 or more.
        """
        parts = known.tensor_split(min(FOLDS, len(known)))
        distances = []
        for i, part in enumerate(parts):
            self._fit(torch.cat([*parts[:i], *parts[i + 1 :]]))
            distances.append(self(part.to(self.mean)))
        self._limit(torch.cat(distances))
        self._fit(known)

    def _fit(self, known: Tensor) -> None:
        known = known.double()
        mean, spread = known.mean(0), known.std(0).clamp_min(1e-6)
        values, vectors = torch.linalg.eigh(shrunk_covariance((known - mean) / spread))
        whitening = vectors / spread[:, None] * values.clamp_min(1e-12).rsqrt()
        self.mean.copy_(mean)
        self.whitening.copy_(whitening)

    def _limit(self, distances: Tensor) -> None:
        self.below.copy_(torch.quantile(distances.double(), USUAL))


def shrunk_covariance(rows: Tensor) -> Tensor:
    """The covariance of rows (N, F), (F, F), shrunk as much as its own error asks for.

    Ledoit & Wolf 2004, lemmas 3.2 to 3.5: (1 - s) S + s m I with m the mean variance and s the
    estimated share of S's distance from m I that is error.
    """
    n, f = rows.shape
    centred = rows - rows.mean(0)
    covariance = centred.T @ centred / n
    level = covariance.diagonal().mean()
    spread = covariance.square().sum() - f * level.square()  # |S - m I|^2
    fourth = centred.square().sum(1).square().sum() / n
    error = ((fourth - covariance.square().sum()) / n).clamp(min=0)
    share = (error / spread.clamp_min(1e-300)).clamp(max=1)
    identity = torch.eye(f, dtype=rows.dtype, device=rows.device)
    return (1 - share) * covariance + share * level * identity
