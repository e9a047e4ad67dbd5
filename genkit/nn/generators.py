"""Generators: noise, and a label where there are classes, to images in [-1, 1].

Legend: B batch, Z latent size, E label embedding size, K classes, C image channels, S size in px.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from genkit.nn.network import Network
from genkit.nn.norms import ConditionalBatchNorm1d, LabelledSequential, batch_norm

Norm = Literal["batch", "conditional"]


class DCGANGenerator(Network):
    """The deep convolutional generator: z (B, Z) -> (B, C, S, S) in [-1, 1].

    Radford et al. 2016 (arXiv:1511.06434): strided transposed convolutions, batch norm everywhere
    but at the output, ReLU, tanh, all weights N(0, 0.02). S = 32, 64, 128, ... starts from 4 x 4
    (the popular form, kernels of 4); S = 28 starts from 7 x 7 (kernels of 5, LeakyReLU).

    With `num_classes` the label's embedding is joined to z: Mirza & Osindero 2014
    (arXiv:1411.1784), figure 1.

    Args:
        latent_dim: Z.
        channels: C.
        image_size: S, 28 or a power of two from 16 on.
        width: Channels before the last layer; each level below has twice as many.
        num_classes: K, or None for an unconditional generator.
        embed_dim: E, unused without classes.
        norm: "conditional" lets the label in through the norms, which become
            `ConditionalBatchNorm2d`, and through nothing else; needs classes.
    """

    def __init__(
        self,
        latent_dim: int = 100,
        channels: int = 3,
        image_size: int = 64,
        width: int = 64,
        num_classes: int | None = None,
        embed_dim: int = 50,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        if norm == "conditional" and num_classes is None:
            raise ValueError("norm='conditional' needs num_classes")
        joined = num_classes is not None and norm == "batch"
        self.embed = nn.Embedding(num_classes or 0, embed_dim) if joined else None
        inputs = latent_dim + (embed_dim if joined else 0)
        layers = _layers_28 if image_size == 28 else _layers_power_of_two
        self.body = layers(inputs, channels, image_size, width, None if joined else num_classes)
        self.apply(init_dcgan)
        if self.embed is not None:
            # An embedding of length 1, as a one-hot label has, against noise of length sqrt(Z):
            # at equal lengths the label explains the image first and the noise is never used.
            nn.init.normal_(self.embed.weight, 0.0, embed_dim**-0.5)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (B, C, S, S) in [-1, 1] of z (B, Z) and, with classes, label (B,) int64."""
        if self.embed is not None:
            z = torch.cat([z, self.embed(label)], dim=1)  # (B, Z + E)
        return torch.tanh(self.body(z, label))


def image_size_problem(size: int) -> str | None:
    """What is wrong with a size in px for these networks, or None."""
    if size == 28 or (size >= 16 and size & (size - 1) == 0):
        return None
    return f"data.image_size={size}: these networks need 28 or a power of two from 16 on"


def _layers_power_of_two(
    inputs: int, channels: int, size: int, width: int, classes: int | None
) -> LabelledSequential:
    levels = int(math.log2(size)) - 3
    top = width * 2**levels
    blocks: list[nn.Module] = [
        nn.Unflatten(1, (inputs, 1, 1)),
        _up(inputs, top, classes, stride=1, padding=0),
    ]
    blocks += [_up(top >> i, top >> (i + 1), classes, stride=2, padding=1) for i in range(levels)]
    to_image = nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1, bias=False)
    return LabelledSequential(*blocks, to_image)


def _up(
    inputs: int, outputs: int, classes: int | None, *, stride: int, padding: int
) -> LabelledSequential:
    conv = nn.ConvTranspose2d(inputs, outputs, 4, stride, padding, bias=False)
    return LabelledSequential(conv, batch_norm(outputs, classes), nn.ReLU(inplace=True))


def _layers_28(
    inputs: int, channels: int, size: int, width: int, classes: int | None
) -> LabelledSequential:
    start = 7 * 7 * 4 * width
    return LabelledSequential(
        nn.Linear(inputs, start, bias=False),
        nn.BatchNorm1d(start) if classes is None else ConditionalBatchNorm1d(start, classes),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Unflatten(1, (4 * width, 7, 7)),
        _up_28(4 * width, 2 * width, classes, stride=1),
        _up_28(2 * width, width, classes, stride=2),
        nn.ConvTranspose2d(width, channels, 5, 2, padding=2, output_padding=1, bias=False),
    )


def _up_28(inputs: int, outputs: int, classes: int | None, *, stride: int) -> LabelledSequential:
    conv = nn.ConvTranspose2d(
        inputs, outputs, 5, stride, padding=2, output_padding=stride - 1, bias=False
    )
    return LabelledSequential(conv, batch_norm(outputs, classes), nn.LeakyReLU(0.2, inplace=True))


def init_dcgan(module: nn.Module) -> None:
    """Weights ~ N(0, 0.02), batch-norm scales ~ N(1, 0.02), biases 0: section 4 of the paper."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.affine:
        nn.init.normal_(module.weight, 1.0, 0.02)
    if isinstance(getattr(module, "bias", None), nn.Parameter):
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]
