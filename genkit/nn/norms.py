"""Norms that know the class, and how the label reaches them.

Legend: B batch, F features, K classes, H W size in px.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn


class Labelled(nn.Module):
    """A layer that is called with the label too: layer(x, label)."""


class LabelledSequential(nn.Sequential, Labelled):
    """Layers in a row; those that are `Labelled` get the label, which may be None."""

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """The last layer's output on x and label (B,) int64."""
        for layer in self:
            x = layer(x, label) if isinstance(layer, Labelled) else layer(x)
        return x


class ConditionalBatchNorm2d(Labelled):
    """Batch norm with a scale and a shift per class: (B, F, H, W), label (B,) -> (B, F, H, W).

    De Vries et al. 2017 (arXiv:1707.00683) and Dumoulin et al. 2017 (arXiv:1610.07629), as Miyato &
    Koyama 2018 (arXiv:1802.05637) use it: the moments are those of the whole batch; scale (1 at
    first) and shift (0) are looked up by label.

    Args:
        features: F.
        num_classes: K.
    """

    plain: ClassVar[type[nn.BatchNorm1d | nn.BatchNorm2d]] = nn.BatchNorm2d

    def __init__(self, features: int, num_classes: int) -> None:
        super().__init__()
        self.norm = self.plain(features, affine=False)
        self.scale = nn.Embedding(num_classes, features)
        self.shift = nn.Embedding(num_classes, features)
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.shift.weight)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """The normalised x, scaled and shifted as its class says, in the dtype of x."""
        x = self.norm(x)
        shape = (*x.shape[:2], *[1] * (x.ndim - 2))
        scale, shift = self.scale(label).view(shape), self.shift(label).view(shape)
        return torch.addcmul(shift.to(x.dtype), x, scale.to(x.dtype))


class ConditionalBatchNorm1d(ConditionalBatchNorm2d):
    """The same for vectors: (B, F), label (B,) -> (B, F)."""

    plain = nn.BatchNorm1d


def batch_norm(features: int, num_classes: int | None) -> nn.BatchNorm2d | ConditionalBatchNorm2d:
    """Batch norm over (B, F, H, W), conditional where there are classes."""
    if num_classes is None:
        return nn.BatchNorm2d(features)
    return ConditionalBatchNorm2d(features, num_classes)
