"""DCGAN's networks: published parameter counts, shapes, initialisation."""

import pytest
import torch
from torch import nn

from genkit.nn.critics import DCGANCritic
from genkit.nn.generators import DCGANGenerator

# channels, size, width -> generator, critic: counted by hand from the layer lists.
COUNTS = {
    (3, 64, 64): (3_576_704, 2_765_568),
    (1, 64, 64): (3_574_656, 2_763_520),
    (3, 64, 128): (12_658_432, 11_036_160),
    (3, 32, 64): (1_068_928, 663_296),
    (1, 32, 64): (1_066_880, 661_248),
    (1, 28, 64): (2_305_472, 212_865),
}


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("channels", "size", "width"), COUNTS)
def test_the_networks_have_the_published_number_of_weights(channels, size, width):
    generator = DCGANGenerator(100, channels, size, width)
    critic = DCGANCritic(channels, size, width)
    assert (count(generator), count(critic)) == COUNTS[channels, size, width]


def test_the_64_px_generator_has_the_layers_of_the_table():
    layers = [
        m for m in DCGANGenerator(100, 3, 64, 64).modules() if isinstance(m, nn.ConvTranspose2d)
    ]
    shapes = [
        (m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0], m.padding[0]) for m in layers
    ]
    assert shapes == [
        (100, 512, 4, 1, 0),
        (512, 256, 4, 2, 1),
        (256, 128, 4, 2, 1),
        (128, 64, 4, 2, 1),
        (64, 3, 4, 2, 1),
    ]
    assert all(m.bias is None for m in layers)


@pytest.mark.parametrize("size", [16, 28, 32, 64])
@pytest.mark.parametrize("classes", [None, 5])
def test_noise_becomes_an_image_and_an_image_a_logit(size, classes):
    generator = DCGANGenerator(6, 1, size, 4, classes, 3)
    critic = DCGANCritic(1, size, 4, classes)
    label = None if classes is None else torch.arange(4)
    images = generator(torch.randn(4, 6), label)
    assert images.shape == (4, 1, size, size)
    assert images.abs().max() <= 1
    assert critic(images, label).shape == (4,)


def test_the_label_changes_what_both_networks_say():
    generator, critic = DCGANGenerator(6, 1, 32, 4, 5, 3).eval(), DCGANCritic(1, 32, 4, 5).eval()
    z = torch.randn(1, 6).expand(2, 6)
    images = generator(z, torch.tensor([0, 1]))
    assert not torch.equal(images[0], images[1])
    logits = critic(images[:1].expand(2, -1, -1, -1), torch.tensor([0, 1]))
    assert logits[0] != logits[1]


def test_weights_start_from_a_narrow_normal():
    # N(0, 0.02) and N(1, 0.02): the sample deviation of 2 million weights is within 1 %.
    convs = [
        m for m in DCGANGenerator(100, 3, 64, 64).modules() if isinstance(m, nn.ConvTranspose2d)
    ]
    assert abs(convs[1].weight.std().item() / 0.02 - 1) < 0.01
    norms = [m for m in DCGANGenerator(100, 3, 64, 64).modules() if isinstance(m, nn.BatchNorm2d)]
    scales = torch.cat([m.weight for m in norms])
    assert abs(scales.mean().item() - 1) < 0.005
    assert abs(scales.std().item() / 0.02 - 1) < 0.1
    assert all((m.bias == 0).all() for m in norms)
