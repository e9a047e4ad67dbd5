"""Pictures and texts that belong together: the losses of CLIP and SigLIP.

Both are given the cosines of all pictures with all texts of a step and which of them belong
together: a picture and its own text, and whatever equals either. Behind the N texts there may be
foils, texts of no picture that are nearly those of one: wrong answers that pictures are asked about
and that ask for none (Yuksekgonul et al. 2023, arXiv:2210.01936, section 4).

Legend: N pairs of a step, M >= N texts and foils, s scale (the inverse temperature), b bias, x_i of
a picture and y_j of a text, both of length 1.
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
        cosines: (N, M), <x_i, y_j>.
        same: (N, M) bool, true where i = j, its first N columns symmetric.
        scale: (), s.

    Returns:
        (). Embeddings that tell nothing apart have ln N, or (ln N + ln M) / 2 with foils.
    """
    logits, pairs = scale * cosines, len(cosines)
    by_picture = F.cross_entropy(logits, _shared(same).to(logits))
    by_text = F.cross_entropy(logits[:, :pairs].T, _shared(same[:, :pairs]).to(logits))
    return (by_picture + by_text) / 2


def sigmoid(cosines: Tensor, same: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """-1/N sum_ij log sigmoid(z_ij (s <x_i, y_j> + b)), where z_ij is 1 or -1: belongs or not.

    Zhai et al. 2023 (arXiv:2303.15343), eq. 1 and algorithm 1.

    Args:
        cosines: (N, M), <x_i, y_j>.
        same: (N, M) bool.
        scale: (), s.
        bias: (), b.
    """
    signs = torch.where(same, 1.0, -1.0).to(cosines)
    return -F.logsigmoid(signs * (scale * cosines + bias)).sum(1).mean()


def belonging(texts: Tensor, pictures: Tensor, foils: Tensor | None = None) -> Tensor:
    """(N, M) bool: which rows have the same text or the same picture, and which text a foil is.

    Args:
        texts: (N,) int64, equal for equal texts.
        pictures: (N,) int64, equal for equal pictures.
        foils: (M - N,) int64, equal to a text where that is the same; None = there are none.
    """
    same = (texts[:, None] == texts) | (pictures[:, None] == pictures)
    return same if foils is None else torch.cat([same, texts[:, None] == foils], 1)


def effective_rank(embeddings: Tensor) -> Tensor:
    """In how many directions embeddings (N, P) lie, as a share of min(N, P): exp of the entropy of
    the shares of their singular values (Roy & Vetterli 2007)."""
    rows, columns = embeddings.shape
    products = embeddings @ embeddings.T if rows < columns else embeddings.T @ embeddings
    values = torch.linalg.eigvalsh(products.nan_to_num(0.0, 0.0, 0.0)).clamp(min=0).sqrt()
    found = torch.exp(torch.special.entr(values / values.sum()).sum()) / min(rows, columns)
    return torch.where(products.isfinite().all(), found, torch.nan)  # which the loss says too


def _shared(same: Tensor) -> Tensor:
    """What belongs to a row, as shares of it."""
    return same / same.sum(1, keepdim=True)
