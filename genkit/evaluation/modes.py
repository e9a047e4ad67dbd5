"""How many of the 1,000 modes of stacked digits do samples show, and how evenly?

Three digits lie in the red, green and blue channel; a classifier names each, and the triple is the
mode. A model that has collapsed leaves modes out (Metz et al. 2017, arXiv:1611.02163, section 3.3).
Both numbers depend on how many samples are drawn, 26,000 as a rule: n images of a perfect model
show about K (1 - exp(-n / K)) of K modes, and the divergence of their shares from uniform is about
(K - 1) / 2n for n well above K, never 0. Digits of MNIST aren't quite equally frequent either.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genkit.evaluation.digits import DigitsExtractor
from genkit.evaluation.sets import ImageSet
from genkit.evaluation.statistics import features_of

NAMES = tuple(f"{number:03d}" for number in range(1000))  # red, green and blue digit
USUAL_COUNT = 26_000  # samples


def covered(counts: Tensor) -> int:
    """How many modes occur: (K,) images per mode -> 0 to K."""
    return int((counts > 0).sum())


def kl_to_uniform(counts: Tensor) -> Tensor:
    """KL(p || uniform) in nats: (..., K) images per mode -> (...,) float64 in [0, ln K].

    p is the share of each mode, so ln K - H(p): 0 when all are equally frequent, ln K when one
    is all there is.
    """
    share = counts.double() / counts.sum(-1, keepdim=True)
    return torch.xlogy(share, share * counts.shape[-1]).sum(-1)


def resampled_counts(shown: Tensor, weights: Tensor, modes: int) -> Tensor:
    """Images per mode in each resample.

    Args:
        shown: (N,) int64 in [0, modes), the mode of each image.
        weights: (R, N), how often each image is drawn.
        modes: K.

    Returns:
        (R, K), of the type of `weights`.
    """
    return weights.new_zeros(len(weights), modes).index_add_(1, shown, weights)


def modes_shown(images: ImageSet, extractor: DigitsExtractor, *, keep: bool = False) -> Tensor:
    """The mode of each RGB image: (N,) int64, 100 red + 10 green + blue digit.

    Args:
        images: Stacked digits.
        extractor: Names the digit in each channel.
        keep: Keep the features in the user's cache, as `features_of` does.
    """
    features = features_of(images.channels(), extractor, keep=keep)  # (3N, 128)
    return extractor.classify(features).view(-1, 3) @ torch.tensor([100, 10, 1])
