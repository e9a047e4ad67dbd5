"""Critics: images, and a label where there are classes, to one logit each.

Legend: B batch, K classes, C image channels, S size in px.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from genkit.nn.generators import init_dcgan

Norm = Literal["batch", "none"]


class DCGANCritic(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """The deep convolutional critic: (B, C, S, S) in [-1, 1] -> logits (B,).

    Radford et al. 2016 (arXiv:1511.06434): strided convolutions, LeakyReLU 0.2, batch norm but at
    the input. It mirrors `DCGANGenerator`; the sigmoid lies in the loss. S = 28 has two layers of
    kernel 5 with dropout, and no norm.

    With `num_classes` the label is joined to the image as K channels, one of them all 1 and the
    others 0: the convolutional form of Mirza & Osindero 2014 (arXiv:1411.1784).

    Args:
        channels: C.
        image_size: S, 28 or a power of two from 16 on.
        width: Channels of the first layer; each one after has twice as many.
        num_classes: K, or None for an unconditional critic.
        norm: "none" where a gradient penalty is used, which batch norm would couple over images;
            None is "batch", but "none" at 28 px, which has no other form.
        dropout: Share of activations dropped after each layer.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        channels: int = 3,
        image_size: int = 64,
        width: int = 64,
        num_classes: int | None = None,
        norm: Norm | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.num_classes = num_classes
        inputs = channels + (num_classes or 0)
        if image_size == 28:
            self.body = _layers_28(inputs, width, dropout)
        else:
            self.body = _layers_power_of_two(inputs, image_size, width, norm or "batch", dropout)
        self.apply(init_dcgan)

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Logits (B,) of image (B, C, S, S) in [-1, 1] and, with classes, label (B,) int64."""
        if label is not None and self.num_classes is not None:
            planes = F.one_hot(label, self.num_classes).to(image.dtype)[:, :, None, None]
            image = torch.cat([image, planes.expand(-1, -1, *image.shape[2:])], dim=1)
        logits: Tensor = self.body(image)
        return logits.flatten()


def critic_norm_problem(image_size: int, norm: Norm | None, *, penalty: bool) -> str | None:
    """What is wrong with a norm for a critic of that size, or None."""
    if image_size == 28 and norm == "batch":
        return "critic_norm=batch: the critic for 28 px has no norm; use 32 px, or leave it out"
    if penalty and image_size != 28 and norm != "none":
        return (
            "r1_weight > 0 needs critic_norm=none: under batch norm the gradient at one image "
            "depends on the others, and the penalty means something else"
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
    return nn.Sequential(*blocks, nn.Conv2d(width << levels, 1, 4, bias=False))


def _down(inputs: int, outputs: int, kernel: int, *, norm: Norm, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, kernel, 2, padding=1, bias=False)]
    if norm == "batch":
        layers.append(nn.BatchNorm2d(outputs))
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
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(7 * 7 * 2 * width, 1))
