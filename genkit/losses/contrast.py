"""Contrast between patches: a patch must be told from the others of its own picture.

Legend: B pictures, P patches of each, F features, C channels, H W size of a map, tau temperature.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def patch_contrast(query: Tensor, key: Tensor, temperature: float = 0.07) -> Tensor:
    """-log of the share that patch s of the key has in softmax over t of <query_s, key_t> / tau.

    Park et al. 2020 (arXiv:2007.15651), eqs. 2 and 3 for one layer: the negatives of a patch are
    the other patches of the same picture. The mean over patches, where the paper has a sum; so is
    its authors' code.

    Args:
        query: (B, P, F), each of length 1.
        key: As `query`; its graph is not followed.
        temperature: tau.

    Returns:
        (B,). Features that tell nothing apart have ln P.
    """
    logits = (query @ key.detach().mT / temperature).float()  # (B, P, P)
    same = torch.arange(logits.shape[1], device=logits.device).expand(logits.shape[:2])
    return F.cross_entropy(logits.mT, same, reduction="none").mean(1)


def drawn_places(share: Tensor, count: int) -> Tensor:
    """Distinct places of each map: (B, min(count, H*W)) int64 in [0, H*W).

    Args:
        share: (B, H*W), drawn from U[0, 1): the places of the largest are taken.
        count: How many are wanted; of a smaller map all are taken.
    """
    return share.topk(min(count, share.shape[1]), dim=1).indices


def patches_at(features: Tensor, places: Tensor) -> Tensor:
    """The features of maps (B, C, H, W) at places (B, P) of each: (B, P, C)."""
    rows = features.flatten(2).mT  # (B, H*W, C)
    return rows.gather(1, places[..., None].expand(-1, -1, rows.shape[2]))
