"""Classifiers: pictures to the classes or the attributes that they show, over hidden units.

The plan is that of the classifier by which AttGAN and STGAN are measured (Liu et al. 2019,
arXiv:1904.09709, section 4.2): pairs of 3 x 3 convolutions with batch norm, the channels doubled
and the sides halved behind each pair, one hidden layer. With width 16, 5 levels and 512 hidden
units at 128 px it is theirs.

Legend: B batch, C image channels, H W size in px, K outputs, D hidden units, L levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from genkit.nn.network import Network

Answers = Literal["label", "attributes"]


class Classifier(Network):
    """Pictures (B, C, H, W) in [-1, 1] -> logits (B, K).

    Args:
        size: (H, W) in px, multiples of 2^L.
        channels: C.
        outputs: K.
        answers: What the logits are of: "label", K classes of which one holds, or "attributes", K
            of which each holds or not.
        names: K words, or None where the classes have no names.
        width: Channels of the first pair of convolutions.
        levels: L, pairs of convolutions.
        units: D.
        dropout: Share of the hidden units that are left out in training.
    """

    def __init__(
        self,
        size: Sequence[int],
        channels: int,
        outputs: int,
        answers: Answers = "label",
        names: Sequence[str] | None = None,
        width: int = 16,
        levels: int = 3,
        units: int = 128,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check(size, levels)
        widths = [channels, *(width << i for i in range(levels))]
        pairs = pairwise(widths)
        self.body = nn.Sequential(
            *(layer for a, b in pairs for layer in (*_block(a, b), *_block(b, b), nn.MaxPool2d(2)))
        )
        places = (size[0] >> levels) * (size[1] >> levels)
        self.hidden = nn.Linear(widths[-1] * places, units)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(units, outputs)

    def features(self, image: Tensor) -> Tensor:
        """The hidden units after ReLU: (B, D), none negative."""
        return F.relu(self.hidden(self.body(image).flatten(1)))

    def forward(self, image: Tensor) -> Tensor:
        """The logits (B, K)."""
        logits: Tensor = self.head(self.drop(self.features(image)))
        return logits


def shares(logits: Tensor, answers: Answers) -> Tensor:
    """How sure a classifier is, (B, K) in [0, 1]: of classes they add up to 1."""
    return logits.sigmoid() if answers == "attributes" else logits.softmax(1)


def check(size: Sequence[int], levels: int) -> None:
    """Raise a `ValueError` where sides can't be halved so often."""
    if any(side % (1 << levels) for side in size):
        raise ValueError(
            f"pictures of {size[0]} x {size[1]} px can't be halved {levels} times; give sides that "
            f"are multiples of {1 << levels}, or fewer levels"
        )


def _block(a: int, b: int) -> tuple[nn.Module, ...]:
    """A convolution that keeps the size, its norm, and what it leaves of negative values: 0."""
    return nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True)
