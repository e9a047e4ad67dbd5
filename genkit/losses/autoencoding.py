"""What an autoencoder of pictures is trained by, as Rombach et al. 2022 (arXiv:2112.10752) have it.

Sums over a picture, means over the batch: the weight of the divergence is that of their code, which
counts so.

Legend: B batch, C channels, H W size in px, Z latent channels, h w size of a latent.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LARGEST = 1e4  # of the critic's weight
_SCALES = (1, 2, 4)  # by which pictures are made smaller before their edges are compared


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)) of each picture: (B,), summed over Z, h, w.

    Kingma & Welling 2014 (arXiv:1312.6114), appendix B.

    Args:
        mean: (B, Z, h, w).
        log_variance: As `mean`.
    """
    each = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
    return each.flatten(1).sum(1)


def edges(images: Tensor, targets: Tensor) -> Tensor:
    """How far differences between neighbouring pixels are apart, at three sizes: (B, 1, 1, 1).

    The mean over sizes of the mean absolute difference of horizontal and vertical differences: a
    stand-in for LPIPS where its weights are not at hand, in the same place of the loss.

    Args:
        images: (B, C, H, W) in [-1, 1].
        targets: As `images`.
    """
    apart = images - targets
    total = torch.zeros(len(images), device=images.device)
    for scale in _SCALES:
        small = F.avg_pool2d(apart, scale) if scale > 1 else apart
        total = (
            total
            + small.diff(dim=2).abs().mean((1, 2, 3))
            + small.diff(dim=3).abs().mean((1, 2, 3))
        )
    return (total / len(_SCALES))[:, None, None, None]


def balance(nll: Tensor, verdict: Tensor) -> Tensor:
    """The weight that makes a critic's pull as strong as the reconstruction's: (), at most 1e4.

    |gradient of nll| / (|gradient of the verdict| + 1e-4), both at the decoder's last layer: Esser
    et al. 2021 (arXiv:2012.09841), eq. 7.

    Args:
        nll: The gradient of the reconstruction.
        verdict: That of the critic's objective for the decoder.
    """
    return (nll.norm() / (verdict.norm() + 1e-4)).clamp(0, LARGEST)
