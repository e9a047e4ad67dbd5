"""The residual networks of spectrally normalised GANs: generator and critic for 32 and 64 px.

Miyato et al. 2018 (arXiv:1802.05957), appendix B; where the paper leaves a detail open, the
authors' code decides: nearest-neighbour upsampling, mean pooling, Xavier-uniform weights with a
gain of sqrt(2) for the convolutions of a block and of 1 elsewhere, biases 0. The critic's spectral
norm is put on from outside (`genkit.nn.spectral`). The dense layer at the critic's end has a bias
at both sizes; in the authors' code it has none at 32 px.

Legend: B batch, Z latent size, K classes, C image channels, S size in px, F features.
"""

from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from genkit.nn.critics import Conditioning, Head, Verdict, input_channels, sum_pool, with_label
from genkit.nn.network import Network
from genkit.nn.norms import Labelled, LabelledSequential, batch_norm

WIDTHS = {32: 256, 64: 64}  # the published ones


class ResidualGenerator(Network):
    """The residual generator: z (B, Z) -> (B, C, S, S) in [-1, 1].

    Dense to 4 x 4, then blocks that double the size: 32 px 256 -> 256, 256, 256; 64 px
    1024 -> 512, 256, 128, 64; batch norm, ReLU, a convolution of 3, tanh. With `num_classes` the
    norms in the blocks are conditional and the last one is not, as in the authors' code for Miyato
    & Koyama 2018 (arXiv:1802.05637).

    Args:
        latent_dim: Z.
        channels: C.
        image_size: S, 32 or 64.
        width: Channels next to the image; None = the published 256 at 32 px, 64 at 64 px. At 32 px
            all levels have as many, at 64 px each level away from the image twice as many.
        num_classes: K, or None for an unconditional generator.
    """

    def __init__(
        self,
        latent_dim: int = 128,
        channels: int = 3,
        image_size: int = 32,
        width: int | None = None,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        width = width or WIDTHS[image_size]
        levels = [1, 1, 1, 1] if image_size == 32 else [16, 8, 4, 2, 1]
        features = [width * level for level in levels]
        self.body = LabelledSequential(
            nn.Linear(latent_dim, 4 * 4 * features[0]),
            nn.Unflatten(1, (features[0], 4, 4)),
            *(Up(i, o, num_classes) for i, o in pairwise(features)),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, channels, 3, padding=1),
        )
        self.apply(init_residual)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (B, C, S, S) in [-1, 1] of z (B, Z) and, with classes, label (B,) int64."""
        return torch.tanh(self.body(z, label))


class ResidualCritic(Network):
    """The residual critic: (B, C, S, S) in [-1, 1] -> `Verdict`.

    Blocks, no norms: 32 px two that halve the size and two that keep it, all of 128; 64 px five
    that halve it, 64, 128, 256, 512, 1024. Then ReLU, the sum over positions, a dense layer.

    Args:
        channels: C.
        image_size: S, 32 or 64.
        width: That of the generator it belongs to: at 32 px the critic has half as many channels,
            at 64 px as many next to the image. None = the published 256 and 64.
        num_classes: K, or None for an unconditional critic.
        conditioning: How the label comes in, unused without classes: "channels" of the input
            (`with_label`), or in the `Head`; published is "projection".
    """

    def __init__(
        self,
        channels: int = 3,
        image_size: int = 32,
        width: int | None = None,
        num_classes: int | None = None,
        conditioning: Conditioning = "channels",
    ) -> None:
        super().__init__()
        width = width or WIDTHS[image_size]
        inputs = input_channels(channels, num_classes, conditioning)
        self.planes = num_classes if conditioning == "channels" else None
        if image_size == 32:
            last = (width + 1) // 2
            self.body = nn.Sequential(
                Down(inputs, last, first=True), Down(last, last), Keep(last), Keep(last), nn.ReLU()
            )
        else:
            last = 16 * width
            downs = (Down(width << i, width << (i + 1)) for i in range(4))
            self.body = nn.Sequential(Down(inputs, width, first=True), *downs, nn.ReLU())
        self.head = Head(last, partial(PooledLinear, last), num_classes, conditioning)
        self.apply(init_residual)

    def forward(self, image: Tensor, label: Tensor | None = None) -> Verdict:
        """The verdict on image (B, C, S, S) in [-1, 1] and, with classes, label (B,) int64."""
        verdict: Verdict = self.head(self.body(with_label(image, label, self.planes)), label)
        return verdict


class Up(Labelled):
    """A block of the generator: (B, F, S, S) -> (B, outputs, 2S, 2S)."""

    def __init__(self, inputs: int, outputs: int, num_classes: int | None) -> None:
        super().__init__()
        self.residual = LabelledSequential(
            batch_norm(inputs, num_classes),
            nn.ReLU(inplace=True),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(inputs, outputs, 3, padding=1),
            batch_norm(outputs, num_classes),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1),
        )
        # A kernel of 1 and repeated pixels commute: the convolution runs on a quarter of them.
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.Upsample(scale_factor=2))

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Residual plus shortcut of x and, with classes, label (B,) int64."""
        shortcut: Tensor = self.shortcut(x)
        return shortcut + self.residual(x, label)


class Down(nn.Module):
    """A block of the critic: (B, F, S, S) -> (B, outputs, S/2, S/2).

    Args:
        inputs: F.
        outputs: Features of the result.
        first: The block meets the image: no ReLU before its first convolution.
    """

    def __init__(self, inputs: int, outputs: int, *, first: bool = False) -> None:
        super().__init__()
        hidden = outputs if first else inputs
        self.residual = nn.Sequential(
            nn.Identity() if first else nn.ReLU(),
            nn.Conv2d(inputs, hidden, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, outputs, 3, padding=1),
            nn.AvgPool2d(2),
        )
        # A kernel of 1 and a mean commute: the convolution runs on a quarter of the positions.
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Residual plus shortcut of x."""
        shortcut: Tensor = self.shortcut(x)
        return shortcut + self.residual(x)


class Keep(nn.Module):
    """A block of the critic that keeps the size and the features: (B, F, S, S) -> the same."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(features, features, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(features, features, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Residual plus x."""
        return x + self.residual(x)


class PooledLinear(nn.Linear):
    """A dense layer on the sum over positions: (B, F, S, S) -> (B, outputs)."""

    def forward(self, features: Tensor) -> Tensor:
        """The layer's outputs."""
        return super().forward(sum_pool(features))


def residual_size_problem(size: int) -> str | None:
    """What is wrong with a size in px for these networks, or None."""
    if size in WIDTHS:
        return None
    return f"data.image_size={size}: the residual networks are for 32 and 64 px"


def init_residual(module: nn.Module) -> None:
    """Xavier-uniform weights, gain sqrt(2) in the residual of a block; biases 0.

    Applied to a whole network, innermost modules first: a block's word is the last.
    """
    if isinstance(module, Up | Down | Keep):
        for layer in module.residual:
            if isinstance(layer, nn.Conv2d):
                nn.init.xavier_uniform_(layer.weight, gain=2**0.5)
    elif isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, Head) and module.embed is not None:
        nn.init.xavier_uniform_(module.embed.weight)
