"""Translators and critics of patches: the papers' sizes, what a logit sees, what a layer gives."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from genkit.nn.translators import (
    PatchCritic,
    ResnetTranslator,
    Translator,
    UNetTranslator,
    patch_size,
    smallest_side,
)

SMALL = {
    "resnet": lambda **options: ResnetTranslator(3, 3, 4, 2, **options),
    "u-net": lambda **options: UNetTranslator(3, 3, 4, 3, **options),
}
every_kind = pytest.mark.parametrize("kind", SMALL)
every_way_up = pytest.mark.parametrize("upsampling", ["transposed", "resize"])


def weights(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def pictures(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (lambda: ResnetTranslator(blocks=9), 11_378_179),
        (lambda: ResnetTranslator(blocks=6), 7_837_699),
        (lambda: ResnetTranslator(blocks=9, norm="batch"), 11_383_427),
        (lambda: ResnetTranslator(blocks=6, norm="batch"), 7_841_411),
        (lambda: UNetTranslator(levels=8, norm="batch"), 54_413_955),
        (lambda: UNetTranslator(levels=7, norm="batch"), 41_828_995),
        (lambda: PatchCritic(layers=0), 8_705),
        (lambda: PatchCritic(layers=1), 136_385),
        (lambda: PatchCritic(layers=2), 662_977),
        (lambda: PatchCritic(layers=3), 2_764_737),
        (lambda: PatchCritic(layers=4), 6_959_553),
        (lambda: PatchCritic(layers=5), 11_154_369),
        (lambda: PatchCritic(norm="batch"), 2_765_633),
        (lambda: PatchCritic(6, norm="batch"), 2_768_705),
    ],
)
def test_the_networks_of_the_papers_have_as_many_weights_as_theirs(make, count):
    with torch.device("meta"):
        assert weights(make()) == count


def test_a_change_is_added_to_the_picture_and_at_first_is_none():
    network, image = ResnetTranslator(3, 3, 4, 1, output="change"), pictures(2, 3, 8, 8)
    assert torch.equal(network(image), image)
    with torch.no_grad():
        network.stages["last"][0].weight.normal_(0, 0.3)
        plain = ResnetTranslator(3, 3, 4, 1)
        plain.load_state_dict(network.state_dict())
        assert torch.equal(network(image), (image + 2 * plain(image)).clamp(-1, 1))
    assert network(image).abs().max() == 1
    assert [*network(image, ["image", "first"])] == ["image", "first"]
    with pytest.raises(ValueError, match="got 1 and 3"):
        ResnetTranslator(1, 3, output="change")


@pytest.mark.parametrize("layers", range(6))
def test_a_logit_sees_a_patch_of_the_papers_size(layers):
    side = (1, 16, 34, 70, 142, 286)[layers]
    critic = PatchCritic(1, 2, layers, norm="none")
    assert critic.receptive_field == patch_size(layers) == side
    for weight in critic.parameters():  # so that no path is silent
        nn.init.ones_(weight)
    image = torch.ones(1, 1, *[max(2 * side, 2)] * 2, requires_grad=True)
    logits = critic(image).logits
    middle = logits.shape[-1] // 2
    (seen,) = torch.autograd.grad(logits[0, 0, middle, middle], image)
    rows = seen[0, 0].abs().sum(1).nonzero()
    assert int(rows.max() - rows.min()) + 1 == side


def test_the_critic_of_70_px_has_30_x_30_logits_for_256_px():
    assert PatchCritic(3, 2)(pictures(1, 3, 256, 256)).logits.shape == (1, 1, 30, 30)


@pytest.mark.parametrize("layers", range(6))
def test_the_smallest_picture_of_a_critic_has_a_logit_and_one_pixel_less_has_none(layers):
    side, critic = smallest_side(layers), PatchCritic(3, 2, layers)
    assert critic.smallest == side
    assert critic(pictures(1, 3, side, side)).logits.numel() >= 1
    with pytest.raises((RuntimeError, ValueError)):
        critic(pictures(1, 3, side - 1, side - 1))


@every_kind
@every_way_up
def test_a_translator_gives_pictures_of_the_size_it_was_given(kind, upsampling):
    network = SMALL[kind](upsampling=upsampling)
    sides = network.smallest, network.smallest + network.stride
    made = network(pictures(2, 3, *sides))
    assert made.shape == (2, 3, *sides)
    assert made.abs().max() <= 1


@every_kind
def test_grey_pictures_become_coloured_ones(kind):
    kinds = {"resnet": ResnetTranslator, "u-net": UNetTranslator}
    network = kinds[kind](1, 3, 4, 3)
    assert network(pictures(1, 1, 16, 16)).shape == (1, 3, 16, 16)


@every_kind
@every_way_up
def test_a_picture_is_translated_alike_alone_and_among_others(kind, upsampling):
    network, images = SMALL[kind](upsampling=upsampling), pictures(4, 3, 16, 16)
    with torch.no_grad():  # in training as well: instance norm knows no difference
        alone = torch.cat([network(image[None]) for image in images])
        assert torch.allclose(network(images), alone, atol=1e-5)
        trained = network(images)
        assert torch.equal(network.eval()(images), trained)


@every_kind
def test_first_weights_are_normal_with_a_spread_of_a_fiftieth_and_biases_zero(kind):
    network = SMALL[kind]()
    for name, value in network.named_parameters():
        if name.endswith("bias"):
            assert not value.any()
    values = network.state_dict().items()
    flat = torch.cat([value.flatten() for name, value in values if name.endswith("weight")])
    assert abs(float(flat.std()) - 0.02) < 2e-3
    assert abs(float(flat.mean())) < 2e-3


@every_kind
def test_the_features_of_layers_are_those_on_the_way_to_the_output(kind):
    network, images = SMALL[kind](), pictures(2, 3, 16, 16)
    assert network.layers[0] == "image"
    assert network.layers[-1] == "output"
    found = network(images, network.layers)
    assert [*found] == [*network.layers]
    assert torch.equal(found["image"], images)
    assert torch.equal(found["output"], network(images))


def test_nothing_is_computed_behind_the_last_layer_asked_for():
    network = ResnetTranslator(3, 3, 4, 2)
    network.stages["block2"].register_forward_hook(lambda *_: pytest.fail("ran on"))
    found = network(pictures(1, 3, 16, 16), ("image", "down1", "down2", "block1"))
    shapes = {name: tuple(value.shape[1:]) for name, value in found.items()}
    assert shapes == {
        "image": (3, 16, 16),
        "down1": (8, 8, 8),
        "down2": (16, 4, 4),
        "block1": (16, 4, 4),
    }


@every_kind
def test_sides_that_do_not_fit_and_layers_that_are_not_there_are_named(kind):
    network: Translator = SMALL[kind]()
    with pytest.raises(ValueError, match=r"33 x 16 px: .* multiples of \d and at least 8"):
        network(pictures(1, 3, 16, 33))
    with pytest.raises(ValueError, match="no layer 'block9'; there are: image"):
        network(pictures(1, 3, 16, 16), ["block9"])


def test_resizing_up_leaves_no_checkerboard_where_a_transposed_convolution_does():
    # On an even map, away from edges, every pixel of an even level looks like its neighbour.
    def spread(upsampling: str) -> float:
        torch.manual_seed(0)
        stage = ResnetTranslator(1, 1, 4, 0, "none", upsampling).stages["up1"]
        with torch.no_grad():
            inner = stage(torch.ones(1, 8, 8, 8))[..., 4:-4, 4:-4]
        return float(inner.std(dim=(2, 3)).max())

    assert spread("transposed") > 1e-3
    assert spread("resize") < 1e-6


@every_kind
def test_dropout_acts_in_training_alone(kind):
    network, images = SMALL[kind](dropout=0.5), pictures(1, 3, 16, 16)
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))


@pytest.mark.parametrize(
    "make", [*SMALL.values(), lambda: PatchCritic(3, 4, 1)], ids=["resnet", "u-net", "critic"]
)
def test_a_saved_network_comes_back_as_it_was(make, tmp_path):
    network, images = make().eval(), pictures(1, 3, 16, 16)
    network.save_pretrained(tmp_path)
    again = type(network).from_pretrained(tmp_path).eval()
    said = [
        each.logits if isinstance(each, tuple) else each
        for each in (network(images), again(images))
    ]
    assert torch.equal(*said)
