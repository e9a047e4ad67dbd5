"""Generators as CycleGAN's authors have them, layer by layer: their keys are the public ones."""

from __future__ import annotations

import torch
from torch import nn


class Block(nn.Module):
    """A residual block as published: `conv_block` by place."""

    def __init__(self, features: int, norm: type[nn.Module], dropout: bool) -> None:
        super().__init__()
        bias = norm is nn.InstanceNorm2d
        drop = [nn.Dropout(0.5)] if dropout else []
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(features, features, 3, bias=bias), norm(features),
            nn.ReLU(True), *drop,
            nn.ReflectionPad2d(1), nn.Conv2d(features, features, 3, bias=bias), norm(features),
        )  # fmt: skip

    def forward(self, x):
        return x + self.conv_block(x)


def resnet(width=4, blocks=9, norm=nn.InstanceNorm2d, dropout=False, channels=(3, 3)):
    """The published ResNet, layer by layer; behind 9 blocks its keys are those of its files."""
    bias, w = norm is nn.InstanceNorm2d, width
    network = nn.Module()
    network.model = nn.Sequential(
        nn.ReflectionPad2d(3), nn.Conv2d(channels[0], w, 7, bias=bias), norm(w), nn.ReLU(True),
        nn.Conv2d(w, 2 * w, 3, 2, 1, bias=bias), norm(2 * w), nn.ReLU(True),
        nn.Conv2d(2 * w, 4 * w, 3, 2, 1, bias=bias), norm(4 * w), nn.ReLU(True),
        *[Block(4 * w, norm, dropout) for _ in range(blocks)],
        nn.ConvTranspose2d(4 * w, 2 * w, 3, 2, 1, 1, bias=bias), norm(2 * w), nn.ReLU(True),
        nn.ConvTranspose2d(2 * w, w, 3, 2, 1, 1, bias=bias), norm(w), nn.ReLU(True),
        nn.ReflectionPad2d(3), nn.Conv2d(w, channels[1], 7), nn.Tanh(),
    )  # fmt: skip
    return network


class Level(nn.Module):
    """A level of the published U-Net around the next one."""

    def __init__(self, outer, inner, norm, inside=None, outermost=False, inputs=None) -> None:
        super().__init__()
        self.outermost, bias = outermost, norm is nn.InstanceNorm2d
        down = nn.Conv2d(inputs or outer, inner, 4, 2, 1, bias=bias)
        up = nn.ConvTranspose2d(inner * (1 if inside is None else 2), outer, 4, 2, 1,
                                bias=bias or outermost)  # fmt: skip
        if outermost:
            layers = [down, inside, nn.ReLU(), up, nn.Tanh()]
        elif inside is None:
            layers = [nn.LeakyReLU(0.2), down, nn.ReLU(), up, norm(outer)]
        else:
            layers = [
                nn.LeakyReLU(0.2), down, norm(inner), inside, nn.ReLU(), up, norm(outer),
                nn.Dropout(0.5),
            ]  # fmt: skip
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        made = self.model(x)
        return made if self.outermost else torch.cat([x, made], 1)


def unet(norm=nn.BatchNorm2d):
    """The published U-Net with 5 levels."""
    inside = Level(32, 32, norm)
    for outer, inner in ((16, 32), (8, 16), (4, 8)):
        inside = Level(outer, inner, norm, inside)
    network = nn.Module()
    network.model = Level(1, 4, norm, inside, outermost=True, inputs=3)
    return network


def published(network: nn.Module) -> nn.Module:
    """With weights that leave nothing unseen, and statistics of a batch norm that has trained."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0.1, 0.3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()
