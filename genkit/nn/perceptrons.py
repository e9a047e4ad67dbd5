"""The conditional networks of 2014: dense layers, the label hidden apart before it is joined.

Mirza & Osindero 2014 (arXiv:1411.1784), section 4.1. What the paper leaves open is taken from the
configuration of its sibling, Goodfellow et al. 2014 (arXiv:1406.2661), for the same digits: uniform
weights of +-0.05 and +-0.005, and a dropout of 0.2 on the critic's pixels. Biases start at 0.

Legend: B batch, Z latent size, K classes, C image channels, S size in px.
"""

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from genkit.nn.critics import Verdict


class PerceptronGenerator(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """z (B, Z), label (B,) -> (B, C, S, S) in [-1, 1].

    z to 200 and the one-hot label to 1000 units, joined to 1200, all ReLU; a sigmoid per pixel,
    which is the pixel in [0, 1].

    Args:
        latent_dim: Z.
        channels: C.
        image_size: S.
        num_classes: K.
        dropout: Share of hidden units dropped in training.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        latent_dim: int = 100,
        channels: int = 1,
        image_size: int = 28,
        num_classes: int = 10,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.num_classes = num_classes
        self.shape = (channels, image_size, image_size)
        self.of_z = _relu(latent_dim, 200, dropout)
        self.of_label = _relu(num_classes, 1000, dropout)
        self.joined = _relu(1200, 1200, dropout)
        self.to_pixels = nn.Linear(1200, channels * image_size**2)
        _init_uniform(self, 0.05)

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """Images (B, C, S, S) in [-1, 1] of z (B, Z) and label (B,) int64.

        z is uniform in [-1, 1] as genkit's uniform latents are; the paper's is in the unit
        hypercube, where it is moved first.
        """
        y = F.one_hot(label, self.num_classes).to(z.dtype)
        hidden = self.joined(torch.cat([self.of_z((z + 1) / 2), self.of_label(y)], dim=1))
        pixels = torch.sigmoid(self.to_pixels(hidden))
        return (2 * pixels - 1).unflatten(1, self.shape)


class MaxoutCritic(ModelMixin, ConfigMixin):  # type: ignore[misc]
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

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        channels: int = 1,
        image_size: int = 28,
        num_classes: int = 10,
        dropout: float = 0.5,
        input_dropout: float = 0.2,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
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


def _relu(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU(inplace=True), nn.Dropout(dropout))


def _init_uniform(network: nn.Module, bound: float) -> None:
    """Weights ~ U(-bound, bound), biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.uniform_(module.weight, -bound, bound)
            nn.init.zeros_(module.bias)
