"""Layers of image translation: padded by reflection, halved, doubled, with a norm or without.

Legend: B batch, F features, h w height and width of a map in px.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

Norm = Literal["instance", "batch", "none"]
Upsampling = Literal["transposed", "resize"]


def norm_of(features: int, norm: Norm) -> list[nn.Module]:
    """The layer of a norm over maps (B, F, h, w), in a list; none is an empty one."""
    if norm == "instance":
        return [nn.InstanceNorm2d(features)]
    return [nn.BatchNorm2d(features)] if norm == "batch" else []


def reflected(inputs: int, outputs: int, kernel: int, norm: Norm) -> nn.Sequential:
    """A convolution that keeps the size, its maps mirrored at their edges; norm and ReLU."""
    pad, bias = kernel // 2, norm != "batch"
    conv = nn.Conv2d(inputs, outputs, kernel, padding=pad, padding_mode="reflect", bias=bias)
    return nn.Sequential(conv, *norm_of(outputs, norm), nn.ReLU(inplace=True))


def strided(inputs: int, outputs: int, norm: Norm) -> nn.Sequential:
    """A convolution to half the side, padded with zeros as in the papers; norm and ReLU."""
    conv = nn.Conv2d(inputs, outputs, 3, 2, padding=1, bias=norm != "batch")
    return nn.Sequential(conv, *norm_of(outputs, norm), nn.ReLU(inplace=True))


def upsampled(
    inputs: int, outputs: int, kernel: int, norm: Norm | None, upsampling: Upsampling
) -> list[nn.Module]:
    """Layers to twice the side and a norm; the kernel is 3 or 4, and is that of a transposed
    convolution. A `norm` of None is an output: it has a bias whatever the rest has."""
    bias = norm != "batch"
    if upsampling == "transposed":
        up: list[nn.Module] = [
            nn.ConvTranspose2d(
                inputs, outputs, kernel, 2, padding=1, output_padding=kernel % 2, bias=bias
            )
        ]
    else:
        smooth = nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect", bias=bias)
        up = [nn.Upsample(scale_factor=2, mode="nearest"), smooth]
    return up if norm is None else [*up, *norm_of(outputs, norm)]


class Residual(nn.Module):
    """x + f(x) on maps (B, F, h, w): two convolutions with norms, an activation between them."""

    def __init__(self, features: int, norm: Norm, dropout: float = 0.0) -> None:
        super().__init__()
        first = reflected(features, features, 3, norm)
        second = reflected(features, features, 3, norm)[:-1]  # no activation before the sum
        drop = [nn.Dropout(dropout)] if dropout else []
        self.inner = nn.Sequential(*first, *drop, *second)

    def forward(self, x: Tensor) -> Tensor:
        """The sum, (B, F, h, w)."""
        return x + self.inner(x)


def init_translator(module: nn.Module) -> None:
    """First weights of one layer: N(0, 0.02), norms N(1, 0.02), biases 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
