"""The conditional networks of 2014: dense layers, the label hidden apart before it is joined.

Mirza & Osindero 2014 (arXiv:1411.1784), section 4.1. What the paper leaves open is taken from the
configuration of its sibling, Goodfellow et al. 2014 (arXiv:1406.2661), for the same digits: uniform
weights of +-0.05 and +-0.005, and a dropout of 0.2 on the critic's pixels. Biases start at 0.

Legend: B batch, Z latent size, N noise size, K classes, C image channels, S size in px.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genkit.nn.critics import Verdict
from genkit.nn.network import Network

HIDDEN = (200, 1000, 1200)  # units of the generator: of z, of the label, of both joined


class PerceptronGenerator(Network):
    """Noise (B, N), label (B,) -> (B, C, S, S) in [-1, 1].

    z to 200 and the one-hot label to 1000 units, joined to 1200, all ReLU; a sigmoid per pixel,
    which is the pixel in [0, 1].

    Hidden units are dropped when sampling too, as Isola et al. 2017 (arXiv:1611.07004), section
    2.1, do: trained with dropout, this network varies its images by it and hardly by z, so that
    without it each class is one shape. For an image to be a function of its noise, the draws are
    part of that: N = Z, and one for each hidden unit if any are dropped.

    Args:
        latent_dim: Z.
        channels: C.
        image_size: S.
        num_classes: K.
        dropout: Share of hidden units dropped.
    """

    def __init__(
        self,
        latent_dim: int = 100,
        channels: int = 1,
        image_size: int = 28,
        num_classes: int = 10,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.dropout = dropout
        self.parts = (latent_dim, HIDDEN[0] + HIDDEN[1], HIDDEN[2])
        self.noise_dim = sum(self.parts) if dropout else latent_dim
        self.shape = (channels, image_size, image_size)
        self.of_z = _relu(latent_dim, HIDDEN[0])
        self.of_label = _relu(num_classes, HIDDEN[1])
        self.joined = _relu(HIDDEN[0] + HIDDEN[1], HIDDEN[2])
        self.to_pixels = nn.Linear(HIDDEN[2], channels * image_size**2)
        _init_uniform(self, 0.05)

    def forward(self, noise: Tensor, label: Tensor) -> Tensor:
        """Images (B, C, S, S) in [-1, 1] of noise (B, N) and label (B,) int64.

        Noise is uniform in [-1, 1] as genkit's uniform latents are; the paper's z is in the unit
        hypercube, where it is moved first.
        """
        noise = (noise + 1) / 2
        z, first, second = noise.split(self.parts, 1) if self.dropout else (noise, None, None)
        y = F.one_hot(label, self.num_classes).to(z.dtype)
        hidden = self._keep(torch.cat([self.of_z(z), self.of_label(y)], dim=1), first)
        hidden = self._keep(self.joined(hidden), second)
        pixels = torch.sigmoid(self.to_pixels(hidden))
        return (2 * pixels - 1).unflatten(1, self.shape)

    def _keep(self, hidden: Tensor, draws: Tensor | None) -> Tensor:
        """The units whose draw in [0, 1] says so, the others 0; the mean stays."""
        if draws is None:
            return hidden
        return hidden * (draws >= self.dropout) / (1 - self.dropout)


class MaxoutCritic(Network):
    """(B, C, S, S) in [-1, 1], label (B,) -> `Verdict`.

    Pixels in [0, 1] to 240 maxout units of 5 pieces and the one-hot label to 50 of 5, joined to 240
    of 4, and those to one logit; the sigmoid lies in the loss.

    Args:
        channels: C.
        image_size: S.
        num_classes: K.
        dropout: Share of hidden units dropped in training.
        input_dropout: Share of pixels dropped in training.
    """

    def __init__(
        self,
        channels: int = 1,
        image_size: int = 28,
        num_classes: int = 10,
        dropout: float = 0.5,
        input_dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.of_image = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(input_dropout),
            Maxout(channels * image_size**2, 240, 5),
            nn.Dropout(dropout),
        )
        self.of_label = nn.Sequential(Maxout(num_classes, 50, 5), nn.Dropout(dropout))
        self.joined = nn.Sequential(Maxout(290, 240, 4), nn.Dropout(dropout))
        self.to_logit = nn.Linear(240, 1)
        _init_uniform(self, 0.005)

    def forward(self, image: Tensor, label: Tensor) -> Verdict:
        """The verdict on image (B, C, S, S) in [-1, 1] and label (B,) int64."""
        y = F.one_hot(label, self.num_classes).to(image.dtype)
        hidden = torch.cat([self.of_image((image + 1) / 2), self.of_label(y)], dim=1)
        return Verdict(self.to_logit(self.joined(hidden)).flatten())


class Maxout(nn.Module):
    """The greatest of a few linear pieces per unit: (B, inputs) -> (B, units).

    Goodfellow et al. 2013 (arXiv:1302.4389), eq. 1 and 2.

    Args:
        inputs: Numbers per sample.
        units: Outputs.
        pieces: Linear functions per output.
    """

    def __init__(self, inputs: int, units: int, pieces: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, units * pieces)
        self.shape = (units, pieces)

    def forward(self, x: Tensor) -> Tensor:
        """The outputs for x (B, inputs)."""
        pieces: Tensor = self.linear(x).unflatten(1, self.shape)
        return pieces.amax(dim=2)


def _relu(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU(inplace=True))


def _init_uniform(network: nn.Module, bound: float) -> None:
    """Weights ~ U(-bound, bound), biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.uniform_(module.weight, -bound, bound)
            nn.init.zeros_(module.bias)
