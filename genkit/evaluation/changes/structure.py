"""Structure distance: which parts of a picture are alike, before and after.

As in Tumanyan et al. 2022 (arXiv:2201.00424), the self-similarity of a picture is the matrix of
cosines between the features of its patches; how far two such matrices are apart says how far the
layout changed, whatever the colours. There the patches are tokens of one network; here each is cut
out and goes through any extractor by itself, so that every extractor can measure it. The mean over
a picture's patches is taken off first: what all patches share is style.

Legend: B pictures, P patches of each, D features.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from genkit.evaluation.extractor import Extractor

MEANING = {
    "structure": "how far the layout of a picture changes: which of its parts look alike, by the "
    "features of 16 patches; 0 = not at all",
}
TITLE = {"structure": "Change of structure"}
GRID = 4  # patches of a side
SMALLEST = 2  # px of a patch


def patches(images: Tensor) -> Tensor:
    """(B, C, H, W) -> (B * 16, C, H // 4, W // 4), picture by picture, row by row.

    Pixels beyond a multiple of four, at the right and lower edge, are in no patch.
    """
    b, c, h, w = images.shape
    high, wide = h // GRID, w // GRID
    cut = images[:, :, : high * GRID, : wide * GRID].reshape(b, c, GRID, high, GRID, wide)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(b * GRID**2, c, high, wide)


def similarity(features: Tensor) -> Tensor:
    """Cosines between patches: (B, P, D) -> (B, P, P) in [-1, 1]."""
    centred = features - features.mean(1, keepdim=True)
    unit = F.normalize(centred.double(), dim=2)
    return unit @ unit.transpose(1, 2)


def distance(one: Tensor, other: Tensor) -> Tensor:
    """Root mean square difference of two self-similarities over pairs of patches: (B,) in [0, 2].

    Args:
        one: (B, P, D) features of patches.
        other: (B, P, D) of the other pictures.
    """
    places = torch.triu_indices(one.shape[1], one.shape[1], offset=1)
    apart = (similarity(one) - similarity(other))[:, places[0], places[1]]
    return apart.square().mean(1).sqrt()


def of_patches(images: Tensor, extractor: Extractor) -> Tensor:
    """Features of the 16 patches of each picture: (B, C, H, W) uint8 -> (B, 16, D)."""
    cut = patches(images)
    parts = [extractor.of(some) for some in cut.split(extractor.batch_size)]
    return torch.cat(parts).unflatten(0, (len(images), GRID**2))
