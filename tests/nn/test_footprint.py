"""How far networks look: bounds against what a changed pixel really changes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from genkit.nn.footprint import footprint
from genkit.nn.statistics import held, recorded


def conv(kernel: int, stride: int = 1, dilation: int = 1) -> nn.Module:
    pad = dilation * (kernel - 1) // 2
    return nn.Conv2d(2, 2, kernel, stride, padding=pad, dilation=dilation)


NETWORKS = {
    "one by one": (nn.Sequential(conv(1)), 0),
    "three by three": (nn.Sequential(conv(3), nn.ReLU(), conv(3)), 2),
    "dilated": (nn.Sequential(conv(3, dilation=4)), 4),
    "padded by reflection": (nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(2, 2, 7)), 3),
    "down and up": (
        nn.Sequential(
            conv(3, 2),
            nn.InstanceNorm2d(2),
            conv(3),
            nn.ConvTranspose2d(2, 2, 3, 2, padding=1, output_padding=1),
            conv(3),
        ),
        8,
    ),
    "even kernels": (nn.Sequential(conv(4, 2), nn.ConvTranspose2d(2, 2, 4, 2, padding=1)), 4),
    "resized": (nn.Sequential(nn.AvgPool2d(2), nn.Upsample(scale_factor=2), conv(3)), 4),
}


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_the_reach_is_a_bound_and_no_wide_one(name):
    torch.manual_seed(0)
    network, most = NETWORKS[name]
    for layer in network.modules():  # weights of an import may be such that nothing shows
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    image = torch.rand(1, 2, 32, 32)
    found = footprint(network, network, image)
    assert found.reach is not None
    with held(network, recorded(network, image)):
        before = network(image)
        seen = 0
        for at in (15, 16):  # a stride sees even and odd places otherwise
            changed = image.clone()
            changed[..., at, at] += 1
            moved = (network(changed) != before).any(1)[0].nonzero()
            seen = max(seen, int((moved - at).abs().max()))
    assert seen <= found.reach <= most


def test_what_looks_over_the_whole_has_no_reach():
    for layer in (nn.AdaptiveAvgPool2d(4), nn.Flatten()):
        network = nn.Sequential(conv(3), layer)
        assert footprint(network, network, torch.rand(1, 2, 8, 8)).reach is None


def test_memory_is_that_of_maps_held_at_once():
    # The picture of 2 channels and both maps around the second layer: 8 + 4 channels of 4 bytes.
    layers = [nn.Conv2d(2, 4, 1), nn.Conv2d(4, 8, 1), nn.Conv2d(8, 2, 1)]
    network = nn.Sequential(*layers)
    found = footprint(network, network, torch.rand(1, 2, 16, 16))
    assert found.bytes_per_pixel == 4 * (4 + 8)
