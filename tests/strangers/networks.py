"""Networks of a few hundred weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genkit.nn.critics import Verdict
from genkit.nn.network import Network


class Painter(Network):
    """Pictures (B, C, H, W) in [-1, 1] to others of their size."""

    def __init__(self, channels: int = 1, width: int = 4) -> None:
        super().__init__()
        self.inner = nn.Conv2d(channels, width, 3, padding=1)
        self.outer = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """As many pictures."""
        return torch.tanh(images + self.outer(torch.relu(self.inner(images))))


class Patches(nn.Module):
    """Pictures (B, C, H, W) to a logit for each patch (B, 1, h, w)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(width, 1, 4, 2, 1)
        )

    def forward(self, images: Tensor) -> Verdict:
        """The verdict on each patch."""
        return Verdict(self.body(images))


class Adapted(Network):
    """A painter that stays as it is, and a few weights behind it that learn."""

    def __init__(self, channels: int = 1, width: int = 4) -> None:
        super().__init__()
        self.base = Painter(channels, width).requires_grad_(False)
        self.adapter = nn.Conv2d(channels, channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        """As many pictures."""
        return self.adapter(self.base(images)).tanh()


class Flip(nn.Module):
    """Pictures upside down: a network without a weight."""

    def forward(self, images: Tensor) -> Tensor:
        """As many pictures."""
        return images.flip(-2)
