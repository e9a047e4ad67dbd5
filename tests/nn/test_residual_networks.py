"""The residual networks: parameter counts, layers, initialisation."""

import math

import pytest
import torch
from torch import nn

from genkit.nn.norms import ConditionalBatchNorm2d
from genkit.nn.residual import (
    Down,
    Keep,
    ResidualCritic,
    ResidualGenerator,
    Up,
    residual_size_problem,
)


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def conv(inputs: int, outputs: int, kernel: int = 3) -> int:
    return inputs * outputs * kernel**2 + outputs


def up(inputs: int, outputs: int) -> int:
    norms = 2 * inputs + 2 * outputs
    return norms + conv(inputs, outputs) + conv(outputs, outputs) + conv(inputs, outputs, 1)


def down(inputs: int, outputs: int) -> int:
    return conv(inputs, inputs) + conv(inputs, outputs) + conv(inputs, outputs, 1)


def first(inputs: int, outputs: int) -> int:
    return conv(inputs, outputs) + conv(outputs, outputs) + conv(inputs, outputs, 1)


def test_the_32_px_networks_have_the_sum_of_the_tables_layers():
    generator = 129 * 4 * 4 * 256 + 3 * up(256, 256) + 2 * 256 + conv(256, 3)
    critic = first(3, 128) + down(128, 128) + 2 * 2 * conv(128, 128) + 129
    assert count(ResidualGenerator()) == generator == 4_276_739
    assert count(ResidualCritic()) == critic == 1_053_825


def test_the_64_px_networks_have_the_sum_of_the_tables_layers():
    levels = [64, 128, 256, 512, 1024]
    ups = sum(up(2 * i, i) for i in levels[:-1])
    generator = 129 * 4 * 4 * 1024 + ups + 2 * 64 + conv(64, 3)
    critic = first(3, 64) + sum(down(i, 2 * i) for i in levels[:-1]) + 1025
    assert count(ResidualGenerator(image_size=64)) == generator
    assert count(ResidualCritic(image_size=64)) == critic


def test_classes_add_a_scale_and_shift_each_to_the_norms_of_the_blocks():
    # Ten rows in place of one, in 6 norms of 256; and one vector of 128 per class for the critic.
    assert count(ResidualGenerator(num_classes=10)) == 4_276_739 + 9 * 2 * 6 * 256
    critic = ResidualCritic(num_classes=10, conditioning="projection")
    assert count(critic) == 1_053_825 + 10 * 128
    assert count(ResidualCritic(num_classes=10)) == 1_053_825 + 10 * 128 * (3 * 3 + 1)


@pytest.mark.parametrize("size", [32, 64])
def test_every_norm_but_the_last_is_conditional(size):
    generator = ResidualGenerator(4, 3, size, 2, num_classes=3)
    conditional = [m for m in generator.modules() if isinstance(m, ConditionalBatchNorm2d)]
    every = [m for m in generator.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(conditional) == len(every) - 1 == {32: 6, 64: 8}[size]


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("classes", [None, 3])
def test_noise_becomes_an_image_and_an_image_a_logit(size, classes):
    generator = ResidualGenerator(6, 1, size, 4, classes)
    critic = ResidualCritic(1, size, 4, classes)
    label = None if classes is None else torch.tensor([0, 1, 2])
    images = generator(torch.randn(3, 6), label)
    assert images.shape == (3, 1, size, size)
    assert images.abs().max() <= 1
    assert critic(images, label).logits.shape == (3,)


def test_the_width_is_that_of_both_networks():
    assert ResidualGenerator(width=8).body[-1].in_channels == 8
    assert ResidualCritic(width=8).head.to_logit.in_features == 4
    assert ResidualGenerator(image_size=64, width=8).body[-1].in_channels == 8
    assert ResidualCritic(image_size=64, width=8).head.to_logit.in_features == 16 * 8
    assert count(ResidualCritic(width=256)) == count(ResidualCritic())
    assert count(ResidualGenerator(image_size=64, width=64)) == 12_220_675


def test_the_generator_depends_on_the_label():
    generator = ResidualGenerator(6, 1, 32, 4, num_classes=3).eval()
    nn.init.normal_(generator.body[2].residual[0].shift.weight)
    first, second = generator(torch.randn(1, 6).expand(2, 6), torch.tensor([0, 2]))
    assert not torch.equal(first, second)


def test_the_shortcut_of_a_block_of_the_generator_is_a_convolution_of_the_larger_image():
    block, x = Up(3, 5, None), torch.randn(2, 3, 4, 4)
    nn.init.zeros_(block.residual[-1].weight)
    nn.init.zeros_(block.residual[-1].bias)
    larger = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.allclose(block(x), block.shortcut[0](larger), atol=1e-6)


def test_the_shortcut_of_a_block_of_the_critic_is_the_mean_of_a_convolution():
    block, x = Down(3, 5), torch.randn(2, 3, 4, 4)
    nn.init.zeros_(block.residual[-2].weight)
    nn.init.zeros_(block.residual[-2].bias)
    mean = nn.functional.avg_pool2d(block.shortcut[1](x), 2)
    assert torch.allclose(block(x), mean, atol=1e-6)


def test_only_the_first_block_of_the_critic_reads_negative_values():
    x = -torch.rand(2, 3, 4, 4)
    for block in (Down(3, 3), Keep(3)):
        assert torch.equal(block.residual(x), block.residual(2 * x))
    meets_the_image = Down(3, 3, first=True)
    assert not torch.equal(meets_the_image.residual(x), meets_the_image.residual(2 * x))


def test_blocks_leave_their_input_as_it_was():
    x = torch.randn(2, 4, 4, 4)
    for block in (Up(4, 4, None), Down(4, 4), Down(4, 4, first=True), Keep(4)):
        given = x.clone()
        block(given)
        assert torch.equal(given, x)


def bound_of(weight: torch.Tensor) -> float:
    """Xavier: sqrt(6 / (fan in + fan out))."""
    area = weight[0, 0].numel() if weight.ndim == 4 else 1
    return math.sqrt(6 / (area * (weight.shape[0] + weight.shape[1])))


def test_weights_start_xavier_uniform_with_a_larger_gain_within_blocks():
    generator, critic = ResidualGenerator(width=32), ResidualCritic(width=64)
    blocks = [*generator.body[2:5], *critic.body[:4]]
    inside = [m.weight for b in blocks for m in b.residual if isinstance(m, nn.Conv2d)]
    shortcuts = [b.shortcut[i].weight for b, i in zip(blocks, (0, 0, 0, 1, 1), strict=False)]
    others = [generator.body[0].weight, generator.body[-1].weight, critic.head.to_logit.weight]
    assert (len(inside), len(shortcuts)) == (14, 5)
    for weights, gain in ((inside, math.sqrt(2)), (shortcuts + others, 1)):
        for weight in weights:
            assert 0.8 < weight.abs().max() / bound_of(weight) / gain <= 1 + 1e-6
    for network in (generator, critic):
        for m in network.modules():
            assert not isinstance(m, nn.Conv2d | nn.Linear) or (m.bias == 0).all()


def test_other_sizes_are_refused_with_the_two_that_are():
    assert residual_size_problem(32) is residual_size_problem(64) is None
    problem = "data.image_size=48: the residual networks are for 32 and 64 px"
    assert residual_size_problem(48) == problem
