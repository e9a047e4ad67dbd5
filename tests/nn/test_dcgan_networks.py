"""DCGAN's networks: published parameter counts, shapes, initialisation."""

import pytest
import torch
from torch import nn

from genkit.nn.critics import DCGANCritic, critic_norm_problem
from genkit.nn.generators import DCGANGenerator
from genkit.nn.norms import ConditionalBatchNorm2d

# channels, size, width -> generator, critic: counted by hand from the layer lists.
COUNTS = {
    (3, 64, 64): (3_576_704, 2_765_568),
    (1, 64, 64): (3_574_656, 2_763_520),
    (3, 64, 128): (12_658_432, 11_036_160),
    (3, 32, 64): (1_068_928, 663_296),
    (1, 32, 64): (1_066_880, 661_248),
    (1, 28, 64): (2_305_472, 212_865),
}

NORM_STATE = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]


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
    verdict = critic(images, label)
    assert verdict.logits.shape == (4,)
    assert verdict.classes is None


def test_the_label_changes_what_both_networks_say():
    generator, critic = DCGANGenerator(6, 1, 32, 4, 5, 3).eval(), DCGANCritic(1, 32, 4, 5).eval()
    z = torch.randn(1, 6).expand(2, 6)
    images = generator(z, torch.tensor([0, 1]))
    assert not torch.equal(images[0], images[1])
    logits = critic(images[:1].expand(2, -1, -1, -1), torch.tensor([0, 1])).logits
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


@pytest.mark.parametrize("size", [16, 28, 32, 64])
def test_conditional_norms_are_the_labels_only_way_in(size):
    generator = DCGANGenerator(6, 1, size, 4, num_classes=5, norm="conditional").eval()
    unconditional = DCGANGenerator(6, 1, size, 4).eval()
    weights = {k: v for k, v in generator.state_dict().items() if "scale" in k or "shift" in k}
    kinds = nn.BatchNorm1d | nn.BatchNorm2d
    norms = sum(m.num_features for m in unconditional.modules() if isinstance(m, kinds))
    # A scale and a shift per class in place of one of each; nothing is joined to the noise.
    assert sum(v.numel() for v in weights.values()) == 2 * 5 * norms
    assert count(generator) == count(unconditional) + 2 * (5 - 1) * norms
    z, label = torch.randn(1, 6).expand(2, 6), torch.tensor([0, 3])
    first, second = generator(z, label)  # scales of 1, shifts of 0
    assert torch.allclose(first, second, rtol=1e-3, atol=1e-8)
    with torch.no_grad():
        for m in generator.modules():
            if isinstance(m, ConditionalBatchNorm2d):
                m.shift.weight.normal_()
    first, second = generator(z, label)
    assert not torch.allclose(first, second, rtol=1e-3, atol=1e-8)


def test_conditional_norms_need_classes():
    with pytest.raises(ValueError, match="norm='conditional' needs num_classes"):
        DCGANGenerator(norm="conditional")


def test_the_generators_state_has_the_names_that_exports_have():
    names = list(DCGANGenerator(6, 1, 16, 4, 5, 3).state_dict())
    assert names == [
        "embed.weight",
        "body.1.0.weight",
        *(f"body.1.1.{n}" for n in NORM_STATE),
        "body.2.0.weight",
        *(f"body.2.1.{n}" for n in NORM_STATE),
        "body.3.weight",
    ]


def test_layer_norm_sees_one_image_at_a_time():
    critic = DCGANCritic(1, 32, 4, norm="layer")
    images = torch.randn(4, 1, 32, 32)
    together = critic(images).logits
    apart = torch.cat([critic(image[None]).logits for image in images])
    assert torch.allclose(together, apart, atol=1e-6)
    layers = [m for m in critic.modules() if isinstance(m, nn.GroupNorm)]
    assert [(m.num_groups, m.num_channels) for m in layers] == [(1, 8), (1, 16)]


@pytest.mark.parametrize(
    ("size", "norm", "penalty", "said"),
    [
        (64, None, False, None),
        (64, "batch", False, None),
        (64, None, True, "a gradient penalty needs critic_norm=layer or none"),
        (64, "batch", True, "a gradient penalty needs critic_norm=layer or none"),
        (64, "layer", True, None),
        (64, "none", True, None),
        (28, None, True, None),
        (28, "none", True, None),
        (28, "batch", False, "critic_norm=batch: the critic for 28 px has no norm"),
        (28, "layer", False, "critic_norm=layer: the critic for 28 px has no norm"),
    ],
)
def test_a_norm_must_fit_the_size_and_the_penalty(size, norm, penalty, said):
    problem = critic_norm_problem(size, norm, penalty=penalty)
    assert problem is None if said is None else problem.startswith(said)
