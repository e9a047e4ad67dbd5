"""Denoising networks: published sizes, what they are told, and how they begin."""

import pytest
import torch
from torch import nn

from genkit.nn.denoisers import denoise, make_dit, make_unet, null_label, unet_problem

SMALL = {"channels": (8, 16), "layers": 1, "attention": (8,)}


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_the_published_networks_have_their_published_sizes():
    # Ho et al. 2020: 35.7 M at 32 px, 114 M at 256 px; Nichol & Dhariwal 2021 on CIFAR-10, 52.5 M.
    assert count(make_unet(32, 3, 3)) == 35_746_307
    wide = (128, 128, 256, 256, 512, 512)
    assert count(make_unet(256, 3, 3, channels=wide)) == 113_673_219
    improved = make_unet(32, 3, 6, layers=3, attention=(16, 8), head_dim=64, scale_shift=True)
    assert count(improved) == 52_546_438


def test_labels_add_one_row_each_and_one_for_none():
    plain, told = (make_unet(16, 1, 1, **SMALL, num_classes=k) for k in (None, 10))
    assert count(told) - count(plain) == 11 * 4 * 8  # embeddings of four times the width
    assert null_label(told) == 10
    assert null_label(make_dit(16, 1, 1, width=16, layers=1, heads=2, num_classes=10)) == 10


@pytest.mark.parametrize("kind", ["unet", "dit"])
def test_the_output_hears_of_image_time_and_label(kind):
    torch.manual_seed(0)
    if kind == "unet":
        network = make_unet(16, 1, 1, **SMALL, num_classes=3)
    else:
        network = make_dit(16, 1, 1, patch_size=4, width=16, layers=2, heads=2, num_classes=3)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    network.eval()
    x, time, label = torch.randn(2, 1, 16, 16), torch.tensor([10.0, 10.0]), torch.tensor([0, 0])
    first = denoise(network, x, time, label)
    assert first.shape == x.shape
    assert not torch.allclose(first[0], first[1])
    for other in (
        denoise(network, x, time + 400, label),
        denoise(network, x, time, label + 1),
        denoise(network, x, time, label + null_label(network)),
    ):
        assert (other - first).abs().max() > 1e-3
    torch.testing.assert_close(denoise(network, x, time, label), first)


def test_a_transformer_in_training_drops_no_label_by_itself():
    dit = make_dit(16, 1, 1, patch_size=4, width=16, layers=2, heads=2, num_classes=3).train()
    x, time = torch.randn(64, 1, 16, 16), torch.zeros(64)
    labels = torch.zeros(64, dtype=torch.long)
    assert torch.equal(denoise(dit, x, time, labels), denoise(dit, x, time, labels))


def test_an_unconditional_transformer_is_given_the_label_that_means_none():
    dit = make_dit(16, 1, 1, patch_size=4, width=16, layers=1, heads=2).eval()
    x, time = torch.randn(2, 1, 16, 16), torch.zeros(2)
    assert torch.equal(denoise(dit, x, time, None), denoise(dit, x, time, torch.tensor([1, 1])))


def test_patches_are_only_another_place_for_the_same_pixels():
    class Twice(nn.Module):
        def forward(self, x, time, class_labels, return_dict):
            assert x.shape == (2, 12, 4, 4)
            return (2 * x,)

    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(denoise(Twice(), x, torch.zeros(2), None, patch_size=2), 2 * x)
    unet = make_unet(32, 3, 3, channels=(8, 16), layers=1, attention=(8,), patch_size=2)
    assert (unet.config["sample_size"], unet.config["in_channels"]) == (16, 12)


def test_a_fresh_network_says_almost_nothing():
    torch.manual_seed(0)
    x, time = torch.randn(4, 1, 16, 16), torch.full((4,), 100.0)
    for network in (
        make_unet(16, 1, 1, **SMALL),
        make_dit(16, 1, 1, patch_size=4, width=16, layers=2, heads=2),
    ):
        assert denoise(network.eval(), x, time, None).abs().mean() < 0.05


@pytest.mark.parametrize(
    ("size", "patch", "channels", "attention", "said"),
    [
        (28, 1, (64, 64, 64, 64), (), "halve 28 px 3 times"),
        (32, 1, (64, 64, 64, 64, 64), (), "halve 32 px 4 times"),
        (30, 4, (64,), (), "patch_size=4 does not divide 30 px"),
        (32, 2, (64, 128), (32,), "no level has 32 px; the levels have [16, 8]"),
        (32, 1, (128, 130), (), "130 is no multiple of 32"),
    ],
)
def test_what_can_not_be_built_is_said(size, patch, channels, attention, said):
    assert said in (unet_problem(size, patch, channels, attention) or "")


def test_what_can_be_built_has_no_problem():
    assert unet_problem(28, 2, (64, 128), (7,)) is None
    assert unet_problem(32, 1, (128, 256, 256, 256), (16,)) is None
