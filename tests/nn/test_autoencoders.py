"""The autoencoder of latent diffusion: published sizes, noise, normalised latents."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKL

from genkit.family import load_config
from genkit.nn.autoencoders import factor, make_autoencoder, normalised


def small(**changes):
    torch.manual_seed(0)
    return make_autoencoder(
        3, (8, 16), **({"groups": 4, "layers": 1, "latent": 2} | changes)
    ).eval()


def count(module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_published_config_has_the_published_weights():
    model = load_config("configs/autoencoder/kl-f8.yaml").model
    with torch.device("meta"):
        network = make_autoencoder(3, model.widths, layers=model.layers, latent=model.latent)
    assert count(network) == 83_653_863
    assert count(network.encoder) == 34_163_592
    assert count(network.decoder) == 49_490_179
    assert (count(network.quant_conv), count(network.post_quant_conv)) == (72, 20)
    assert factor(network) == 8


def test_it_is_what_diffusers_computes_with_the_noise_that_is_given():
    network, images = small(), torch.randn(2, 3, 8, 8)
    eps = torch.randn(2, 2, 4, 4)
    with torch.no_grad():
        made, mean, log_variance = network(images, eps)
        theirs = network.encode(images).latent_dist
        torch.testing.assert_close(mean, theirs.mean)
        torch.testing.assert_close(log_variance, theirs.logvar)
        torch.testing.assert_close(made, network.decode(theirs.mean + theirs.std * eps).sample)


def test_log_variances_are_kept_within_their_limits():
    network = small()
    with torch.no_grad():
        network.quant_conv.bias[2:] = torch.tensor([100.0, -100.0])
        _, _, log_variance = network(torch.zeros(1, 3, 8, 8), torch.zeros(1, 2, 4, 4))
    assert (log_variance[:, 0] == 20).all()
    assert (log_variance[:, 1] == -30).all()


def test_normalised_latents_are_the_same_pictures():
    network, images = small(), torch.randn(4, 3, 8, 8)
    mean, deviation = torch.tensor([0.3, -2.0]), torch.tensor([0.5, 7.0])
    before = {key: value.clone() for key, value in network.state_dict().items()}
    plain = normalised(network, mean, deviation).eval()
    assert type(plain) is AutoencoderKL
    assert plain.config["scaling_factor"] == 1.0
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    with torch.no_grad():
        raw, own = network.encode(images).latent_dist, plain.encode(images).latent_dist
        shift, scale = mean[:, None, None], deviation[:, None, None]
        torch.testing.assert_close(own.mean, (raw.mean - shift) / scale, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(own.std, raw.std / scale, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(
            plain.decode(own.mean).sample, network.decode(raw.mean).sample, atol=1e-5, rtol=1e-5
        )


def test_widths_that_group_norms_can_not_part_are_refused():
    with pytest.raises(ValueError, match="divisible"):
        small(groups=5)
