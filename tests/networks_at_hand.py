"""Seeded networks in the formats of the published weights, for tests without a download."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import nn

from genkit.evaluation.inception_network import InceptionV3
from genkit.random import generator


def smooth_pictures(count: int, size: int = 32, purpose: str = "smooth") -> torch.Tensor:
    """(count, 3, size, size) uint8: blobs, so that networks see shapes and not only noise."""
    coarse = torch.rand(count, 3, 5, 5, generator=generator(0, purpose))
    fine = nn.functional.interpolate(coarse, size=size, mode="bicubic")
    return (fine.clamp(0, 1) * 255).to(torch.uint8)


def seeded_inception() -> InceptionV3:
    """Random convolutions and batch norms calibrated on a few images, or features are constant."""
    network = InceptionV3()
    draw = generator(0, "inception")
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                fan_in = module.weight[0].numel()
                module.weight.normal_(0, (2 / fan_in) ** 0.5, generator=draw)
            elif isinstance(module, nn.BatchNorm2d):
                module.momentum = None  # a plain average
            elif isinstance(module, nn.Linear):
                module.weight.normal_(0, 0.05, generator=draw)
                module.bias.normal_(0, 0.05, generator=draw)
        images = smooth_pictures(8, 299, "calibration").float()
        network.train()
        network((images - 128) / 128)
    return network.eval()


class Outer(nn.Module):
    """The outer shape of the TorchScript file: `layers`, and a forward pass over them."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, 299, 299) in 0..255 -> features."""
        return self.layers((x - 128) / 128)


def save_torchscript(layers: nn.Module, path: Path) -> None:
    """Write a network as the TorchScript file of clean-fid is written."""
    example = torch.zeros(1, 3, 299, 299)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(Outer(layers).eval(), example).save(str(path))
