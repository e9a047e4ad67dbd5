"""The networks of AttGAN: pictures edited by attributes, and a critic that judges and names them.

He et al. 2019 (arXiv:1711.10678), the layers as in the authors' code: kernels of 4 that halve or
double the size, batch norm in encoder and decoder (decay .999, epsilon 1e-3), instance norm with
scale and shift in the critic, LeakyReLU .2, Xavier-uniform weights, zero biases, at most 1024
channels. The two heads of the critic share its trunk. Sizes are any numbers of settings: at 384 px
the authors took a width of 48 and heads of 512.

Legend: B batch, C image channels, H W size in px, A attributes, L levels, F channels of a map.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from genkit.nn.critics import Verdict
from genkit.nn.network import Network

MOST = 1024  # channels of a map
MOST_LEVELS = 5  # unless more are asked for
SLOPE = 0.2  # of LeakyReLU
Sizes = Literal["uniform", "truncated-normal"]


def level_widths(width: int, levels: int) -> list[int]:
    """Channels of each level from the picture inwards: doubled each time, at most 1024."""
    return [min(width << i, MOST) for i in range(levels)]


def edited_size_problem(size: Sequence[int], levels: int) -> str | None:
    """What is wrong with (H, W) for so many levels, or None."""
    step = 2**levels
    for side in size:
        if side % step or side < 2 * step:  # instance norm of a single position has no spread
            return (
                f"data.image_size={side}: model.levels={levels} needs a multiple of {step} from "
                f"{2 * step} px on; give such a size, or fewer levels"
            )
    return None


class EditEncoder(Network):
    """Pictures (B, C, H, W) in [-1, 1] -> maps (B, F, H / 2^i, W / 2^i) of levels i = 1 to L.

    Args:
        channels: C.
        width: Channels of the first level.
        levels: L.
        norm_decay: Of the running moments of batch norm.
    """

    def __init__(
        self, channels: int = 3, width: int = 64, levels: int = 5, norm_decay: float = 0.999
    ) -> None:
        super().__init__()
        sizes = [channels, *level_widths(width, levels)]
        norms = [batch_norm(size, norm_decay) for size in sizes[1:]]
        downs = zip(pairwise(sizes), norms, strict=True)
        self.downs = nn.ModuleList(_down(a, b, norm) for (a, b), norm in downs)
        self.apply(init_xavier)

    def forward(self, image: Tensor) -> list[Tensor]:
        """The maps, the largest first."""
        maps = []
        for down in self.downs:
            image = down(image)
            maps.append(image)
        return maps


class EditDecoder(Network):
    """Maps of an encoder and codes (B, A) of attributes -> pictures (B, C, H, W) in [-1, 1].

    The innermost map and the code, repeated at each position, go through L levels that double the
    size. What each level gives is joined by the encoder's map of its size as long as there are
    `shortcut_layers`, then by the code again as long as there are `inject_layers`.

    Args:
        attributes: A.
        channels: C.
        width: Of the encoder.
        levels: L, of the encoder.
        shortcut_layers: Levels whose result is joined by an encoder's map, at most L - 1.
        inject_layers: Levels whose result is joined by the code, at most L - 1.
        norm_decay: Of the running moments of batch norm.
    """

    def __init__(
        self,
        attributes: int,
        channels: int = 3,
        width: int = 64,
        levels: int = 5,
        shortcut_layers: int = 1,
        inject_layers: int = 1,
        norm_decay: float = 0.999,
    ) -> None:
        super().__init__()
        self.joined = shortcut_layers, inject_layers
        inner = level_widths(width, levels)[::-1]  # of the encoder, the innermost first
        self.ups = nn.ModuleList()
        incoming = inner[0] + attributes
        for i, outgoing in enumerate(inner[:-1]):
            self.ups.append(_up(incoming, outgoing, batch_norm(outgoing, norm_decay)))
            incoming = outgoing
            incoming += inner[i + 1] if i < shortcut_layers else 0
            incoming += attributes if i < inject_layers else 0
        self.to_image = nn.ConvTranspose2d(incoming, channels, 4, 2, 1)
        self.apply(init_xavier)

    def forward(self, maps: Sequence[Tensor], code: Tensor) -> Tensor:
        """The pictures."""
        shortcuts, injections = self.joined
        x = with_code(maps[-1], code)
        for i, up in enumerate(self.ups):
            x = up(x)
            if i < shortcuts:
                x = torch.cat([x, maps[-2 - i]], dim=1)
            if i < injections:
                x = with_code(x, code)
        return torch.tanh(self.to_image(x))


class AttributeCritic(Network):
    """Pictures (B, C, H, W) in [-1, 1] -> `Verdict`: a logit each, and logits (B, A) of attributes.

    Args:
        image_size: (H, W), each a multiple of 2^L and more than that.
        attributes: A.
        channels: C.
        width: Channels of the first level.
        levels: L.
        head_width: Features between the last map and what each of the two heads says.
    """

    def __init__(
        self,
        image_size: Sequence[int],
        attributes: int,
        channels: int = 3,
        width: int = 64,
        levels: int = 5,
        head_width: int = 1024,
    ) -> None:
        super().__init__()
        sizes = [channels, *level_widths(width, levels)]
        norms = [nn.InstanceNorm2d(size, affine=True) for size in sizes[1:]]
        downs = zip(pairwise(sizes), norms, strict=True)
        self.trunk = nn.Sequential(*(_down(a, b, norm) for (a, b), norm in downs))
        height, width_px = (side >> levels for side in image_size)
        flat = sizes[-1] * height * width_px
        self.to_logit, self.to_attributes = (_head(flat, head_width, n) for n in (1, attributes))
        self.apply(init_xavier)

    def forward(self, image: Tensor, named: bool = True) -> Verdict:
        """The verdict; `named` = with the logits of attributes, else None stands for them."""
        features = self.trunk(image).flatten(1)
        names = self.to_attributes(features) if named else None
        return Verdict(self.to_logit(features).flatten(), names)


def with_code(x: Tensor, code: Tensor) -> Tensor:
    """A map (B, F, h, w) with a code (B, A) at each of its positions: (B, F + A, h, w)."""
    tiled = code.to(x.dtype)[:, :, None, None].expand(-1, -1, *x.shape[2:])
    return torch.cat([x, tiled], dim=1)


def code_sizes(drawn: Tensor, kind: Sizes) -> Tensor:
    """Sizes of codes in [0, 1] of uniform numbers: these, or (t + 2) / 4 of a normal t in [-2, 2].

    Args:
        drawn: Any shape, in [0, 1).
        kind: Their law; the mean is 1/2 under both.
    """
    if kind == "uniform":
        return drawn
    low, high = (math.erf(end / 2**0.5) for end in (-2, 2))
    t = torch.erfinv(low + (high - low) * drawn) * 2**0.5
    return ((t + 2) / 4).clamp(0, 1)


def batch_norm(features: int, decay: float) -> nn.BatchNorm2d:
    """Batch norm with the authors' epsilon, its running moments averaged with a decay."""
    return nn.BatchNorm2d(features, eps=1e-3, momentum=1 - decay)


def init_xavier(module: nn.Module) -> None:
    """Xavier-uniform weights (Glorot & Bengio 2010, eq. 16) and zero biases of layers with both."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _down(incoming: int, outgoing: int, norm: nn.Module) -> nn.Sequential:
    convolution = nn.Conv2d(incoming, outgoing, 4, 2, 1, bias=False)
    return nn.Sequential(convolution, norm, nn.LeakyReLU(SLOPE, inplace=True))


def _up(incoming: int, outgoing: int, norm: nn.Module) -> nn.Sequential:
    convolution = nn.ConvTranspose2d(incoming, outgoing, 4, 2, 1, bias=False)
    return nn.Sequential(convolution, norm, nn.ReLU(inplace=True))


def _head(incoming: int, width: int, outgoing: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(incoming, width), nn.LeakyReLU(SLOPE, inplace=True), nn.Linear(width, outgoing)
    )
