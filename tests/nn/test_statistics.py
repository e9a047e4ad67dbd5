"""Moments of norms: what is recorded, and that a network with given ones knows no whole."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from genkit.nn.statistics import held, recorded


def network(norm: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), norm, nn.ReLU(inplace=True))
    return nn.Sequential(body, nn.Conv2d(8, 3, 1)).eval()


NORMS = {
    "instance": lambda: nn.InstanceNorm2d(8),
    "instance, affine": lambda: nn.InstanceNorm2d(8, affine=True),
    "group": lambda: nn.GroupNorm(4, 8),
    "layer": lambda: nn.GroupNorm(1, 8),
    "batch without memory": lambda: nn.BatchNorm2d(8, track_running_stats=False),
}


@pytest.fixture(params=NORMS)
def any_norm(request: pytest.FixtureRequest) -> nn.Module:
    norm = NORMS[request.param]()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in norm.parameters():
            weight.normal_(0, 1, generator=generator)
    return norm


@torch.no_grad()
def test_a_picture_with_its_own_moments_held_comes_out_as_it_is(any_norm):
    net, image = network(any_norm), torch.rand(1, 3, 12, 20)
    free = net(image)
    statistics = recorded(net, image)
    with held(net, statistics):
        torch.testing.assert_close(net(image), free, atol=1e-5, rtol=0)
    assert torch.equal(net(image), free)  # and nothing is left behind


@torch.no_grad()
def test_with_moments_held_a_part_equals_the_part_of_the_whole(any_norm):
    net, image = network(any_norm), torch.rand(1, 3, 24, 24)
    statistics = recorded(net, image)
    with held(net, statistics):
        whole, part = net(image), net(image[..., :12, 8:])
    # One pixel at the cut looks at what isn't there.
    torch.testing.assert_close(part[..., :11, 1:], whole[..., :11, 9:], atol=1e-6, rtol=0)
    assert (net(image[..., :12, 8:]) - whole[..., :12, 8:]).abs().max() > 1e-3


def test_recorded_are_mean_and_variance_of_each_group():
    norm, x = nn.GroupNorm(2, 4), torch.randn(3, 4, 5, 6) * 3 + 1
    ((mean, variance),) = recorded(nn.Sequential(norm), x).moments["0"]
    assert mean.shape == (3, 4)
    torch.testing.assert_close(mean[1, 2], x[1, 2:].mean())
    torch.testing.assert_close(variance[2, 1], x[2, :2].var(correction=0))


@torch.no_grad()
def test_a_norm_that_is_called_twice_has_moments_of_each_call():
    norm = nn.InstanceNorm2d(1)
    twice, image = nn.Sequential(norm, nn.Conv2d(1, 1, 1), norm), torch.rand(1, 1, 8, 8) * 3
    statistics = recorded(twice, image)
    assert len(statistics.moments["0"]) == 2
    with held(twice, statistics):
        for _ in range(2):
            torch.testing.assert_close(twice(image), norm(twice[1](norm(image))))


@torch.no_grad()
def test_batch_norm_that_has_learnt_measures_nothing():
    net, image = network(nn.BatchNorm2d(8)), torch.rand(2, 3, 8, 8)
    statistics = recorded(net, image)
    assert not statistics
    with held(net, statistics):
        pass
    net.train()
    assert recorded(net, image)


def test_statistics_of_another_network_are_refused():
    one, other = network(nn.InstanceNorm2d(8)), nn.Sequential(nn.InstanceNorm2d(3))
    with (
        pytest.raises(ValueError, match="another network"),
        held(other, recorded(one, torch.rand(1, 3, 8, 8))),
    ):
        pass
