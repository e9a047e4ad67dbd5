"""Critics: images, and a label where there are classes, to one logit each.

Legend: B batch, K classes, C image channels, S size in px, F features, H W their size in px.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genkit.nn.generators import init_dcgan
from genkit.nn.network import Network

Norm = Literal["batch", "layer", "none"]
Conditioning = Literal["channels", "projection", "auxiliary"]


class Verdict(NamedTuple):
    """What a critic says of images.

    Attributes:
        logits: (B,), high for real.
        classes: Logits (B, K) of the classes with conditioning "auxiliary", otherwise None.
    """

    logits: Tensor
    classes: Tensor | None = None


class Head(nn.Module):
    """The end of every critic: features (B, F, H, W) after their activation -> `Verdict`.

    Args:
        features: F.
        layer: Makes a linear layer from (B, F, H, W) to as many outputs as it is told.
        num_classes: K, or None for an unconditional critic.
        conditioning: "projection" adds <embed(y), phi> to the logit, where phi is the sum of the
            features over H and W: Miyato & Koyama 2018 (arXiv:1802.05637), eq. 3. "auxiliary"
            has a second layer for the logits of the classes, and the label goes nowhere: Odena et
            al. 2017 (arXiv:1610.09585). "channels" leaves the head as without classes.
    """

    def __init__(
        self,
        features: int,
        layer: Callable[[int], nn.Module],
        num_classes: int | None,
        conditioning: Conditioning,
    ) -> None:
        super().__init__()
        kind = None if num_classes is None else conditioning
        self.to_logit = layer(1)
        self.embed = nn.Embedding(num_classes or 0, features) if kind == "projection" else None
        self.to_classes = layer(num_classes or 0) if kind == "auxiliary" else None

    def forward(self, features: Tensor, label: Tensor | None) -> Verdict:
        """The verdict on features (B, F, H, W); label (B,) int64 is read by a projection only."""
        logits = self.to_logit(features).flatten()
        if self.embed is not None:
            logits = logits + (self.embed(label) * sum_pool(features)).sum(1)
        classes = None if self.to_classes is None else self.to_classes(features).flatten(1)
        return Verdict(logits, classes)


def sum_pool(features: Tensor) -> Tensor:
    """The sum over the positions: (B, F, H, W) -> (B, F)."""
    return features.sum(dim=(2, 3))


def input_channels(channels: int, num_classes: int | None, conditioning: Conditioning) -> int:
    """Channels that a critic sees: those of the image, and of `with_label` where it is used."""
    return channels + (num_classes or 0 if conditioning == "channels" else 0)


def with_label(image: Tensor, label: Tensor | None, num_classes: int | None) -> Tensor:
    """The image with K more channels, that of the class all 1 and the others 0.

    The convolutional form of Mirza & Osindero 2014 (arXiv:1411.1784).
    """
    if label is None or num_classes is None:
        return image
    planes = F.one_hot(label, num_classes).to(image.dtype)[:, :, None, None]
    return torch.cat([image, planes.expand(-1, -1, *image.shape[2:])], dim=1)


class DCGANCritic(Network):
    """The deep convolutional critic: (B, C, S, S) in [-1, 1] -> `Verdict`.

    Radford et al. 2016 (arXiv:1511.06434): strided convolutions, LeakyReLU 0.2, batch norm but at
    the input. It mirrors `DCGANGenerator`; the sigmoid lies in the loss. S = 28 has two layers of
    kernel 5 with dropout, and no norm.

    Args:
        channels: C.
        image_size: S, 28 or a power of two from 16 on.
        width: Channels of the first layer; each one after has twice as many.
        num_classes: K, or None for an unconditional critic.
        conditioning: How the label comes in, unused without classes: "channels" of the input
            (`with_label`), or in the `Head`.
        norm: "layer" or "none" where a gradient penalty is used, which batch norm would couple
            over images; None is "batch", but "none" at 28 px, which has no other form.
        dropout: Share of activations dropped after each layer.
    """

    def __init__(
        self,
        channels: int = 3,
        image_size: int = 64,
        width: int = 64,
        num_classes: int | None = None,
        conditioning: Conditioning = "channels",
        norm: Norm | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        inputs = input_channels(channels, num_classes, conditioning)
        self.planes = num_classes if conditioning == "channels" else None
        if image_size == 28:
            self.body = _layers_28(inputs, width, dropout)
            features, layer = 2 * width, _dense_28(2 * width)
        else:
            self.body = _layers_power_of_two(inputs, image_size, width, norm or "batch", dropout)
            features = width * image_size // 8
            layer = _whole_kernel(features)
        self.head = Head(features, layer, num_classes, conditioning)
        self.apply(init_dcgan)
        if self.head.embed is not None:
            nn.init.normal_(self.head.embed.weight, 0.0, 0.02)  # as all weights

    def forward(self, image: Tensor, label: Tensor | None = None) -> Verdict:
        """The verdict on image (B, C, S, S) in [-1, 1] and, with classes, label (B,) int64."""
        verdict: Verdict = self.head(self.body(with_label(image, label, self.planes)), label)
        return verdict


def critic_norm_problem(
    image_size: int, norm: Norm | None, *, penalty: bool, spectral_norm: bool = False
) -> str | None:
    """What is wrong with a norm for a critic of that size and so constrained, or None."""
    if image_size == 28 and norm in ("batch", "layer"):
        return f"critic_norm={norm}: the critic for 28 px has no norm; use 32 px, or leave it out"
    if penalty and image_size != 28 and norm not in ("layer", "none"):
        return (
            "a gradient penalty needs critic_norm=layer or none: under batch norm the gradient at "
            "one image depends on the others, and the penalty means something else"
        )
    if spectral_norm and image_size != 28 and norm != "none":
        return (
            "spectral_norm needs critic_norm=none: batch or layer norm divides by the spread of "
            "what the bounded weights give, and so undoes the bound"
        )
    return None


def _layers_power_of_two(
    inputs: int, size: int, width: int, norm: Norm, dropout: float
) -> nn.Sequential:
    levels = int(math.log2(size)) - 3
    blocks = [_down(inputs, width, 4, norm="none", dropout=dropout)]
    blocks += [
        _down(width << i, width << (i + 1), 4, norm=norm, dropout=dropout) for i in range(levels)
    ]
    return nn.Sequential(*blocks)


def _down(inputs: int, outputs: int, kernel: int, *, norm: Norm, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, kernel, 2, padding=1, bias=False)]
    if norm == "batch":
        layers.append(nn.BatchNorm2d(outputs))
    elif norm == "layer":
        layers.append(nn.GroupNorm(1, outputs))  # over features and positions of one image
    layers.append(nn.LeakyReLU(0.2, inplace=True))
    if dropout:
        layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)


def _layers_28(inputs: int, width: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for fan_in, fan_out in ((inputs, width), (width, 2 * width)):
        layers += [
            nn.Conv2d(fan_in, fan_out, 5, 2, padding=2),
            nn.LeakyReLU(0.2),
            nn.Dropout(dropout),
        ]
    return nn.Sequential(*layers)


def _whole_kernel(features: int) -> Callable[[int], nn.Module]:
    """Linear layers on the last 4 x 4 positions, in their convolutional form."""
    return lambda outputs: nn.Conv2d(features, outputs, 4, bias=False)


def _dense_28(features: int) -> Callable[[int], nn.Module]:
    """Linear layers on the last 7 x 7 positions."""
    return lambda outputs: nn.Sequential(nn.Flatten(), nn.Linear(7 * 7 * features, outputs))
