"""Networks of image translation: pictures to pictures of their size, and critics of patches.

Zhu et al. 2017 (arXiv:1703.10593), section 4 and appendix 7.2; Isola et al. 2017
(arXiv:1611.07004), section 3.2 and appendix 6.1. All weights begin as N(0, 0.02), biases as 0.

Legend: B batch, C channels, H W height and width in px, h w size of a map, L levels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal, overload

import torch
from torch import Tensor, nn

from genkit.nn.critics import Verdict
from genkit.nn.network import Network
from genkit.nn.translation_layers import (
    Norm,
    Residual,
    Upsampling,
    init_translator,
    norm_of,
    reflected,
    strided,
    upsampled,
)

Output = Literal["picture", "change"]
OUTPUT, INPUT = "output", "image"  # names of the ends among the layers of a translator
_DEEPEST = 8  # times the width, which no map has more channels than


class Translator(Network):
    """Pictures (B, C, H, W) in [-1, 1] to pictures of the same size, in stages with names.

    The sides of a picture must be multiples of `stride` and at least `smallest`;
    `genkit.pipelines.translation` brings a picture of any size there and back.

    Attributes:
        stages: By name, in order.
        stride: What the sides of a picture are multiples of, in px.
        smallest: The smallest side, in px.
    """

    stages: nn.ModuleDict
    stride: int
    smallest: int

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers whose features can be asked for, in order: the first is the picture
        itself, the last the output."""
        return (INPUT, *[*self.stages][:-1], OUTPUT)

    @overload
    def forward(self, image: Tensor) -> Tensor: ...

    @overload
    def forward(self, image: Tensor, layers: Sequence[str]) -> dict[str, Tensor]: ...

    def forward(
        self, image: Tensor, layers: Sequence[str] | None = None
    ) -> Tensor | dict[str, Tensor]:
        """The translated pictures; or the features of some layers, and none behind the last of
        those is computed.

        Args:
            image: (B, C, H, W) in [-1, 1].
            layers: Names of layers; "output" is the translated picture. None = that alone.

        Raises:
            ValueError: The sides don't fit, or there is no such layer.
        """
        self._check(image, layers or ())
        found = self._run(image, [OUTPUT] if layers is None else layers)
        return found[OUTPUT] if layers is None else {name: found[name] for name in layers}

    def _run(self, image: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """The features of these layers, and perhaps of others."""
        found, x = {INPUT: image}, image
        for name, stage in zip(self.layers[1:], self.stages.values(), strict=True):
            if found.keys() >= {*layers}:
                break
            x = stage(x)
            if name in layers:
                found[name] = x
        return found

    def _check(self, image: Tensor, layers: Iterable[str]) -> None:
        sides = tuple(image.shape[2:])
        if any(side % self.stride or side < self.smallest for side in sides):
            raise ValueError(
                f"pictures of {sides[1]} x {sides[0]} px: this network takes sides that are "
                f"multiples of {self.stride} and at least {self.smallest}; a pipeline pads others"
            )
        for name in layers:
            if name not in self.layers:
                raise ValueError(f"no layer {name!r}; there are: {', '.join(self.layers)}")


class ResnetTranslator(Translator):
    """c7s1-64, d128, d256, R256 (6 or 9 times), u128, u64, c7s1-3: residual blocks at low
    resolution. Johnson et al. 2016 (arXiv:1603.08155), as Zhu et al. 2017, appendix 7.2, have it.

    The paper's form for 3 channels, width 64 and instance norm has 7,837,699 weights with 6 blocks
    (for 128 px) and 11,378,179 with 9 (from 256 px). Pictures and maps are padded by reflection
    but before strided convolutions. Nothing follows the sum of a residual block.

    Layers: image, first, down1 ... downL, block1 ..., upL ... up1, output. Those of patch-wise
    contrast (Park et al. 2020, arXiv:2007.15651) are image, down1, down2, block1 and block5.

    Args:
        in_channels: Of the pictures that come in.
        out_channels: Of those that come out.
        width: Channels at full size; twice as many at each level below.
        blocks: Residual blocks.
        norm: "instance" has no weights of its own and knows no difference of training and use;
            "batch" takes the place of biases.
        upsampling: "transposed" convolutions, which may leave a checkerboard, or "resize": the
            nearest pixel, then a convolution (Odena et al. 2016, doi:10.23915/distill.00003).
        dropout: Share of activations dropped within each residual block.
        levels: L, how often a side is halved; 2 in the paper.
        output: "picture", as in the paper, or "change": what is made is added to the picture that
            came in, x + 2 tanh(f(x)) cut to [-1, 1], so that at first it stays as it is.

    Raises:
        ValueError: A change is to be made between pictures of other channels.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        width: int = 64,
        blocks: int = 9,
        norm: Norm = "instance",
        upsampling: Upsampling = "transposed",
        dropout: float = 0.0,
        levels: int = 2,
        output: Output = "picture",
    ) -> None:
        super().__init__()
        if output == "change" and in_channels != out_channels:
            raise ValueError(
                "a change is added to the picture, so as many channels come in as out, got "
                f"{in_channels} and {out_channels}"
            )
        sizes = [width << i for i in range(levels + 1)]
        stages: dict[str, nn.Module] = {"first": reflected(in_channels, width, 7, norm)}
        for i in range(levels):
            stages[f"down{i + 1}"] = strided(sizes[i], sizes[i + 1], norm)
        for i in range(blocks):
            stages[f"block{i + 1}"] = Residual(sizes[-1], norm, dropout)
        for i in reversed(range(levels)):
            up = upsampled(sizes[i + 1], sizes[i], 3, norm, upsampling)
            stages[f"up{i + 1}"] = nn.Sequential(*up, nn.ReLU(inplace=True))
        last = nn.Conv2d(width, out_channels, 7, padding=3, padding_mode="reflect")
        stages["last"] = nn.Sequential(last, nn.Tanh())
        self.stages = nn.ModuleDict(stages)
        self.stride, self.smallest = 2**levels, max(4, 2 * 2**levels)
        self.adds = output == "change"
        self.apply(init_translator)
        if self.adds:
            nn.init.zeros_(last.weight)

    def _run(self, image: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        found = super()._run(image, layers)
        if self.adds and OUTPUT in found:
            found[OUTPUT] = (image + 2 * found[OUTPUT]).clamp(-1, 1)
        return found


class UNetTranslator(Translator):
    """Halved down to a few pixels and doubled again, each level joined to its mirror image: Isola
    et al. 2017, appendix 6.1.1.

    With 3 channels, width 64 and batch norm it has 54,413,955 weights at 8 levels (256 px) and
    41,828,995 at 7 (128 px), as the authors' code has; whose first and innermost convolutions on
    the way down have no norm.

    Layers: image, down1 ... downL, upL ... up2, output; the features of an up-level are those
    before they are joined.

    Args:
        in_channels: Of the pictures that come in.
        out_channels: Of those that come out.
        width: Channels of the first level; twice as many at each below, at most 8 times as many.
        levels: L; a side must be a multiple of 2^L.
        norm: As in `ResnetTranslator`.
        upsampling: As in `ResnetTranslator`.
        dropout: Share dropped behind the three innermost layers on the way up; 0.5 in the paper.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        width: int = 64,
        levels: int = 8,
        norm: Norm = "instance",
        upsampling: Upsampling = "transposed",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if levels < 2:
            raise ValueError(f"levels={levels}: a U-Net has at least 2")
        sizes = [min(width << i, _DEEPEST * width) for i in range(levels)]
        stages: dict[str, nn.Module] = {}
        for i in range(levels):
            outer = sizes[i - 1] if i else in_channels
            stages[f"down{i + 1}"] = _down(
                outer, sizes[i], norm, first=i == 0, last=i == levels - 1
            )
        for i in reversed(range(1, levels)):
            inputs = sizes[i] * (1 if i == levels - 1 else 2)
            up = upsampled(inputs, sizes[i - 1], 4, norm, upsampling)
            drop = [nn.Dropout(dropout)] if dropout and i >= levels - 3 else []
            stages[f"up{i + 1}"] = nn.Sequential(nn.ReLU(), *up, *drop)
        last = upsampled(2 * sizes[0], out_channels, 4, None, upsampling)
        stages["last"] = nn.Sequential(nn.ReLU(), *last, nn.Tanh())
        self.stages = nn.ModuleDict(stages)
        self.stride = self.smallest = 2**levels
        self.apply(init_translator)

    def _run(self, image: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        found, x = {INPUT: image}, image
        for name, stage in zip(self.layers[1:], self.stages.values(), strict=True):
            if found.keys() >= {*layers}:
                break
            mirror = _mirror(name, len(self.stages) // 2)
            x = stage(x if mirror is None else torch.cat([found[mirror], x], dim=1))
            found[name] = x
        return found


class PatchCritic(Network):
    """Pictures (B, C, H, W) in [-1, 1] -> a `Verdict` of logits (B, 1, h, w), each of a patch.

    Isola et al. 2017, appendix 6.1.2: C64-C128-C256-C512 and a convolution to one logit, all with
    kernels of 4, padding 1 and LeakyReLU 0.2, no norm in the first. With 3 channels, width 64 and
    instance norm 136,385, 662,977, 2,764,737, 6,959,553 and 11,154,369 weights at 1 to 5 layers;
    8,705 with none.

    Args:
        channels: C; of input and picture together where a critic sees both.
        width: Channels of the first layer; twice as many in each behind, at most 8 times as many.
        layers: Strided ones: patches of 16, 34, 70, 142 and 286 px with 1 to 5; 0 = pixels.
        norm: As in `ResnetTranslator`.
    """

    def __init__(
        self, channels: int = 3, width: int = 64, layers: int = 3, norm: Norm = "instance"
    ) -> None:
        super().__init__()
        self.body = (
            _patches(channels, width, layers, norm) if layers else _pixels(channels, width, norm)
        )
        self.receptive_field, self.smallest = patch_size(layers), smallest_side(layers)
        self.apply(init_translator)

    def forward(self, image: Tensor) -> Verdict:
        """The verdict on every patch."""
        return Verdict(self.body(image))


def patch_size(layers: int) -> int:
    """Side in px of the patch that one logit of a `PatchCritic` sees."""
    if layers == 0:
        return 1
    side = 7  # of the two convolutions of stride 1
    for _ in range(layers):
        side = 2 * side + 2
    return side


def smallest_side(layers: int) -> int:
    """The smallest side in px of pictures of which a `PatchCritic` has a map with a norm."""
    return 3 * 2**layers if layers else 2


# -- parts -----------------------------------------------------------------------------------------


def _down(inputs: int, outputs: int, norm: Norm, *, first: bool, last: bool) -> nn.Sequential:
    """A level of the U-Net on the way down; the activation comes first, so that its features are
    joined as they are."""
    conv = nn.Conv2d(inputs, outputs, 4, 2, padding=1, bias=norm != "batch")
    before = [] if first else [nn.LeakyReLU(0.2)]
    return nn.Sequential(*before, conv, *([] if first or last else norm_of(outputs, norm)))


def _mirror(name: str, levels: int) -> str | None:
    """The level on the way down that is joined to the input of a stage on the way up."""
    if name == OUTPUT:
        return "down1"
    number = int(name.removeprefix("down").removeprefix("up"))
    return None if name.startswith("down") or number == levels else f"down{number}"


def _patches(channels: int, width: int, layers: int, norm: Norm) -> nn.Sequential:
    sizes = [min(width << i, _DEEPEST * width) for i in range(layers + 1)]
    parts: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, padding=1), nn.LeakyReLU(0.2)]
    for i, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
        stride = 2 if i < layers else 1
        conv = nn.Conv2d(inputs, outputs, 4, stride, padding=1, bias=norm != "batch")
        parts += [conv, *norm_of(outputs, norm), nn.LeakyReLU(0.2)]
    return nn.Sequential(*parts, nn.Conv2d(sizes[-1], 1, 4, padding=1))


def _pixels(channels: int, width: int, norm: Norm) -> nn.Sequential:
    bias = norm != "batch"
    return nn.Sequential(
        nn.Conv2d(channels, width, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 1, bias=bias),
        *norm_of(2 * width, norm),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * width, 1, 1, bias=bias),
    )
