"""The networks of AttGAN: sizes, joints, and what their docstrings say of layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from genkit.nn.editors import AttributeCritic, EditDecoder, EditEncoder, level_widths, with_code


def count(*networks: nn.Module) -> int:
    return sum(p.numel() for network in networks for p in network.parameters())


# side, attributes, width, width of heads, injections: encoder, decoder, critic with its heads
PUBLISHED = {
    (128, 13, 64, 1024, 1): (11_148_160, 32_311_043, 44_718_990),
    (128, 13, 64, 1024, 0): (11_148_160, 43_352_707 - 11_148_160, 44_718_990),
    (256, 13, 64, 1024, 1): (11_148_160, 32_311_043, 145_382_286),
    (384, 13, 48, 512, 1): (6_272_160, 18_236_739, 119_526_574),
    (128, 40, 64, 1024, 1): (11_148_160, 44_122_755 - 11_148_160, None),
}


@pytest.mark.parametrize("sizes", PUBLISHED, ids=str)
def test_numbers_of_weights_are_the_published_ones(sizes):
    side, attributes, width, head_width, injections = sizes
    with torch.device("meta"):
        encoder = EditEncoder(3, width, 5)
        decoder = EditDecoder(attributes, 3, width, 5, 1, injections)
        critic = AttributeCritic((side, side), attributes, 3, width, 5, head_width)
    found = count(encoder), count(decoder), count(critic)
    assert [a for a, b in zip(found, PUBLISHED[sizes], strict=True) if b not in (None, a)] == []


def test_channels_double_up_to_1024():
    assert level_widths(64, 6) == [64, 128, 256, 512, 1024, 1024]
    assert level_widths(48, 5) == [48, 96, 192, 384, 768]


@pytest.mark.parametrize(("shortcuts", "injections"), [(0, 0), (1, 1), (2, 0), (0, 2), (2, 2)])
@pytest.mark.parametrize("size", [(16, 16), (24, 40)])
def test_a_picture_comes_back_at_its_size_whatever_joins_the_levels(shortcuts, injections, size):
    encoder, decoder = EditEncoder(1, 4, 3), EditDecoder(5, 1, 4, 3, shortcuts, injections)
    maps = encoder(torch.randn(2, 1, *size))
    assert [m.shape[1:] for m in maps] == [
        (4 << i, size[0] >> (i + 1), size[1] >> (i + 1)) for i in range(3)
    ]
    made = decoder(maps, torch.zeros(2, 5))
    assert made.shape == (2, 1, *size)
    assert made.abs().max() <= 1


def test_a_level_is_joined_by_the_map_of_its_size_first_and_by_the_code_behind_it():
    encoder, decoder = EditEncoder(3, 4, 3).eval(), EditDecoder(2, 3, 4, 3).eval()
    seen = []
    decoder.ups[1].register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    maps, code = encoder(torch.randn(1, 3, 16, 16)), torch.tensor([[0.5, -0.5]])
    decoder(maps, code)
    own, joined, told = seen[0].split([16, 8, 2], dim=1)
    assert torch.equal(joined, maps[-2])
    assert told[0, :, 1, 3].tolist() == [0.5, -0.5]
    assert own.shape[1:] == (16, 4, 4)


def test_a_code_is_the_same_at_each_position():
    joined = with_code(torch.zeros(2, 3, 4, 5), torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert joined.shape == (2, 5, 4, 5)
    assert torch.equal(joined[1, 3], torch.full((4, 5), 3.0))
    assert not joined[:, :3].any()


def test_norms_slopes_and_first_weights_are_those_of_the_authors():
    encoder, decoder = EditEncoder(3, 4, 2), EditDecoder(2, 3, 4, 2)
    critic = AttributeCritic((8, 8), 2, 3, 4, 2, 40)
    parts = [module for net in (encoder, decoder, critic) for module in net.modules()]
    batch = [m for m in parts if isinstance(m, nn.BatchNorm2d)]
    assert {(m.eps, round(m.momentum, 9)) for m in batch} == {(1e-3, 1e-3)}
    assert {m.negative_slope for m in parts if isinstance(m, nn.LeakyReLU)} == {0.2}
    instance = [m for m in critic.modules() if isinstance(m, nn.InstanceNorm2d)]
    assert [m.affine for m in instance] == [True, True]
    linear = [m for m in critic.modules() if isinstance(m, nn.Linear)]
    for layer in linear:
        bound = (6 / (layer.in_features + layer.out_features)) ** 0.5
        assert layer.weight.abs().max() <= bound
        assert layer.weight.abs().max() > 0.7 * bound
        assert not layer.bias.any()


def test_the_verdict_on_a_picture_does_not_depend_on_its_batch():
    critic = AttributeCritic((16, 16), 3, 1, 4, 2, 8)
    images = torch.randn(4, 1, 16, 16)
    whole, alone = critic(images), critic(images[2:3])
    torch.testing.assert_close(whole.logits[2:3], alone.logits)
    torch.testing.assert_close(whole.classes[2:3], alone.classes)
    unnamed = critic(images, named=False)
    assert unnamed.classes is None
    assert torch.equal(unnamed.logits, whole.logits)
