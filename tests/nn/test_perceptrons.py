"""The conditional networks of 2014: parameter counts, layers, initialisation."""

import pytest
import torch
from torch import nn

from genkit.nn.perceptrons import Maxout, MaxoutCritic, PerceptronGenerator


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_the_networks_have_the_sum_of_the_papers_layers():
    generator = 101 * 200 + 11 * 1000 + 1201 * 1200 + 1201 * 784
    critic = 785 * 240 * 5 + 11 * 50 * 5 + 291 * 240 * 4 + 241
    assert count(PerceptronGenerator()) == generator == 2_413_984
    assert count(MaxoutCritic()) == critic == 1_224_351


def test_noise_becomes_an_image_and_an_image_a_logit():
    generator, critic = PerceptronGenerator(5, 3, 8, 4), MaxoutCritic(3, 8, 4)
    label = torch.arange(4)
    images = generator(torch.rand(4, 5), label)
    assert images.shape == (4, 3, 8, 8)
    assert images.abs().max() < 1
    verdict = critic(images, label)
    assert verdict.logits.shape == (4,)
    assert verdict.classes is None


def test_the_pixels_are_a_sigmoid_between_black_and_white():
    generator = PerceptronGenerator(5, 1, 4, 3)
    nn.init.zeros_(generator.to_pixels.weight)
    for bias, value in ((0.0, 0.0), (50.0, 1.0), (-50.0, -1.0)):
        nn.init.constant_(generator.to_pixels.bias, bias)
        assert (generator(torch.rand(2, 5), torch.tensor([0, 1])) == value).all()


def test_the_critic_sees_black_as_0():
    critic = MaxoutCritic(1, 4, 3).eval()
    label = torch.tensor([1])
    black = critic(torch.full((1, 1, 4, 4), -1.0), label).logits
    nn.init.normal_(critic.of_image[2].linear.weight)  # multiplies zeros
    assert torch.equal(critic(torch.full((1, 1, 4, 4), -1.0), label).logits, black)
    assert not torch.equal(critic(torch.full((1, 1, 4, 4), 0.0), label).logits, black)


def test_the_label_changes_what_both_networks_say():
    generator, critic = PerceptronGenerator(5, 1, 4, 3).eval(), MaxoutCritic(1, 4, 3).eval()
    label = torch.tensor([0, 2])
    images = generator(torch.rand(1, 5).expand(2, 5), label)
    assert not torch.equal(images[0], images[1])
    logits = critic(images[:1].expand(2, -1, -1, -1), label).logits
    assert logits[0] != logits[1]


def test_a_maxout_unit_is_the_greatest_of_its_pieces():
    layer = Maxout(1, 2, 3)
    with torch.no_grad():
        layer.linear.weight.copy_(torch.tensor([[1.0], [-1.0], [0.0], [2.0], [3.0], [4.0]]))
        layer.linear.bias.copy_(torch.tensor([0.0, 0.0, 0.5, 0.0, 0.0, 0.0]))
    got = layer(torch.tensor([[2.0], [-3.0], [0.0]]))
    assert got.tolist() == [[2.0, 8.0], [3.0, -6.0], [0.5, 0.0]]


@pytest.mark.parametrize(("network", "bound"), [(PerceptronGenerator, 0.05), (MaxoutCritic, 0.005)])
def test_weights_start_uniform_and_biases_at_0(network, bound):
    linears = [m for m in network().modules() if isinstance(m, nn.Linear)]
    assert len(linears) == 4
    for linear in linears:
        assert 0.95 * bound < linear.weight.abs().max() <= bound
        assert (linear.bias == 0).all()


def test_half_of_the_hidden_units_and_a_fifth_of_the_pixels_are_dropped():
    def shares(network: nn.Module) -> list[float]:
        return [m.p for m in network.modules() if isinstance(m, nn.Dropout)]

    assert shares(PerceptronGenerator()) == [0.5] * 3
    assert shares(MaxoutCritic()) == [0.2, 0.5, 0.5, 0.5]
