"""Pictures and texts that belong together: the losses of CLIP and SigLIP.

Both are given the cosines of all pictures with all texts of a step and which of them belong
together: a picture and its own text, and whatever equals either.

Legend: N pairs of a step, s scale (the inverse temperature), b bias, x_i of a picture and y_j of a
text, both of length 1.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def contrastive(cosines: Tensor, same: Tensor, scale: Tensor) -> Tensor:
    """The mean of both cross entropies: which text belongs to a picture, which picture to a text.

    Radford et al. 2021 (arXiv:2103.00020), figure 3. Where several belong, the target is shared
    evenly among them (Yang et al. 2022, arXiv:2204.03610, eqs. 2 and 3): a text that equals
    another's is no wrong answer.

    Args:
        cosines: (N, N), <x_i, y_j>.
        same: (N, N) bool, symmetric, true on the diagonal.
        scale: (), s.

    Returns:
        (). Embeddings that tell nothing apart have ln N.
    """
    logits = scale * cosines
    target = same.to(logits) / same.sum(1, keepdim=True)
    by_picture = F.cross_entropy(logits, target)
    return (by_picture + F.cross_entropy(logits.T, target)) / 2


def sigmoid(cosines: Tensor, same: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """-1/N sum_ij log sigmoid(z_ij (s <x_i, y_j> + b)), where z_ij is 1 or -1: belongs or not.

    Zhai et al. 2023 (arXiv:2303.15343), eq. 1 and algorithm 1.

    Args:
        cosines: (N, N), <x_i, y_j>.
        same: (N, N) bool.
        scale: (), s.
        bias: (), b.
    """
    signs = torch.where(same, 1.0, -1.0).to(cosines)
    return -F.logsigmoid(signs * (scale * cosines + bias)).sum(1).mean()


def belonging(texts: Tensor, pictures: Tensor) -> Tensor:
    """(N, N) bool: which rows have the same text or the same picture.

    Args:
        texts: (N,) int64, equal for equal texts.
        pictures: (N,) int64, equal for equal pictures.
    """
    return (texts[:, None] == texts) | (pictures[:, None] == pictures)
