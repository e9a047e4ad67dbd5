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
    images = generator(torch.rand(4, generator.noise_dim), label)
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
        noise = torch.rand(2, generator.noise_dim)
        assert (generator(noise, torch.tensor([0, 1])) == value).all()


def test_the_critic_sees_black_as_0():
    critic = MaxoutCritic(1, 4, 3).eval()
    label = torch.tensor([1])
    black = critic(torch.full((1, 1, 4, 4), -1.0), label).logits
    nn.init.normal_(critic.of_image[2].linear.weight)  # multiplies zeros
    assert torch.equal(critic(torch.full((1, 1, 4, 4), -1.0), label).logits, black)
    assert not torch.equal(critic(torch.full((1, 1, 4, 4), 0.0), label).logits, black)


def test_the_label_changes_what_both_networks_say():
    generator, critic = PerceptronGenerator(5, 1, 4, 3), MaxoutCritic(1, 4, 3).eval()
    label = torch.tensor([0, 2])
    images = generator(torch.rand(1, generator.noise_dim).expand(2, -1), label)
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


def test_the_critic_drops_half_of_its_hidden_units_and_a_fifth_of_the_pixels():
    shares = [m.p for m in MaxoutCritic().modules() if isinstance(m, nn.Dropout)]
    assert shares == [0.2, 0.5, 0.5, 0.5]


def test_what_the_generator_drops_is_drawn_with_its_noise_and_keeps_the_mean():
    generator = PerceptronGenerator(5, 1, 4, 3)
    assert generator.noise_dim == 5 + 200 + 1000 + 1200
    draws = torch.tensor([[0.1, 0.49, 0.5, 0.9]])
    assert generator._keep(torch.ones(1, 4), draws).tolist() == [[0, 0, 2, 2]]
    noise, label = torch.rand(1, generator.noise_dim) * 2 - 1, torch.tensor([1])
    for mode in (True, False):  # the same in training and in evaluation, and for each call
        assert torch.equal(generator.train(mode)(noise, label), generator(noise, label))
    other = noise.clone()
    other[:, 5:] *= -1  # what was kept is dropped
    assert not torch.equal(generator(other, label), generator(noise, label))
    assert PerceptronGenerator(5, 1, 4, 3, dropout=0).noise_dim == 5
