"""Points in the plane as images (N, 2, 1, 1): sets that the eye can judge, and a small denoiser.

Every set has a standard deviation of 0.5 or less and lies within [-1, 1]. An outlier is a
point farther from where the set lies than `reach`; a set's parts are covered if each gets at least
half the points that it should.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn

SPREAD = 0.06  # of the noise around each mode or arc
REACH = 4 * SPREAD  # 0.03 % of a Gaussian in the plane lies farther than that from its mean


@dataclass(frozen=True)
class EightGaussians:
    """Modes on a ring of radius 0.7: the distance to a neighbour is 0.54, or 9 deviations."""

    radius: float = 0.7
    parts: int = 8

    def draw(self, count, generator):
        mode = torch.randint(8, (count,), generator=generator)
        return self._centers()[mode] + SPREAD * torch.randn(count, 2, generator=generator)

    def _centers(self):
        angle = torch.arange(8) * math.pi / 4
        return self.radius * torch.stack([angle.cos(), angle.sin()], 1)

    def judge(self, points):
        """Which part each point belongs to, and which are outliers: (N,), (N,)."""
        distance, part = torch.cdist(points, self._centers()).min(1)
        return part, distance > REACH


@dataclass(frozen=True)
class TwoMoons:
    """Two half circles that reach into each other; a part is a fifth of one's length."""

    radius: float = 0.56
    parts: int = 10

    def draw(self, count, generator):
        share = torch.rand(count, generator=generator)
        arm = torch.randint(2, (count,), generator=generator)
        noise = SPREAD * torch.randn(count, 2, generator=generator)
        return self._arc(share, arm) + noise

    def _arc(self, share, arm):
        angle = share * math.pi
        upper = torch.stack([angle.cos() - 0.5, angle.sin() - 0.25], 1)
        return self.radius * torch.where(arm[:, None] == 0, upper, -upper)

    def judge(self, points):
        share = torch.linspace(0, 1, 500).repeat(2)
        arm = torch.arange(2).repeat_interleave(500)
        distance, nearest = torch.cdist(points, self._arc(share, arm)).min(1)
        part = arm[nearest] * 5 + (share[nearest] * 5).long().clamp(max=4)
        return part, distance > REACH


@dataclass(frozen=True)
class Checkerboard:
    """Every other square of 4 x 4, evenly filled; an outlier is farther than a fifth of a side."""

    half: float = 0.87
    parts: int = 8

    def draw(self, count, generator):
        square = torch.randint(8, (count,), generator=generator)
        inside = torch.rand(count, 2, generator=generator) - 0.5
        return self._centers()[square] + inside * self._side()

    def _side(self):
        return self.half / 2

    def _centers(self):
        rows, columns = torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")
        dark = (rows + columns) % 2 == 0
        return (torch.stack([columns[dark], rows[dark]], 1) - 1.5) * self._side()

    def judge(self, points):
        beyond = (points[:, None] - self._centers()).abs() - self._side() / 2
        distance, part = beyond.clamp(min=0).norm(dim=2).min(1)
        return part, distance > self._side() / 5


SETS = {
    "eight-gaussians": EightGaussians(),
    "two-moons": TwoMoons(),
    "checkerboard": Checkerboard(),
}


class PointDenoiser(ModelMixin, ConfigMixin):
    """An MLP for (B, 2, 1, 1) that sees point and time as sines, as a U-Net sees its time.

    Plain coordinates would do, but take many times the training to draw an edge.
    """

    @register_to_config
    def __init__(
        self, unit, width=128, sample_size=1, in_channels=2, out_channels=2, num_class_embeds=None
    ):
        super().__init__()
        # Of time: one to about 200 radians over the range of a process. Of points: 1 to 8.
        self.register_buffer("fast", 1.6 ** torch.arange(12) / unit)
        self.register_buffer("fine", 2.0 ** torch.arange(4))
        self.time = nn.Linear(24, width)
        self.point = nn.Linear(2 + 16, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, 2)

    def forward(self, x, time, class_labels=None, return_dict=False):
        x = x.flatten(1)  # (B, 2)
        told = _waves(time.float()[:, None] * self.fast)
        seen = _waves((x[:, :, None] * self.fine).flatten(1))
        h = self.point(torch.cat([x, seen], 1)) + self.time(told)
        for layer in self.hidden:
            h = h + layer(nn.functional.silu(h))
        return (self.out(nn.functional.silu(h)).reshape(-1, 2, 1, 1),)


def _waves(angles):
    return torch.cat([angles.sin(), angles.cos()], 1)
