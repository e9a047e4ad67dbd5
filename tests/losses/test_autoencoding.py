"""Losses of an autoencoder by hand."""

import math

import pytest
import torch

from genkit.losses.autoencoding import balance, divergence, edges


def test_the_divergence_of_each_picture_by_hand():
    mean = torch.tensor([[1.0, 0.0], [2.0, -1.0]]).reshape(2, 2, 1, 1)
    log_variance = torch.tensor([[0.0, 0.0], [math.log(4), 0.0]]).reshape(2, 2, 1, 1)
    first = 0.5 * 1
    second = 0.5 * (4 + 4 - 1 - math.log(4)) + 0.5 * 1
    assert divergence(mean, log_variance).tolist() == pytest.approx([first, second])


def test_it_is_a_sum_over_the_latent_and_not_over_the_batch():
    mean = torch.ones(3, 4, 2, 2)
    found = divergence(mean, torch.zeros_like(mean))
    assert found.tolist() == [0.5 * 16] * 3
    torch.testing.assert_close(found, torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, 1.0), torch.distributions.Normal(0.0, 1.0)
    ).flatten(1).sum(1))  # fmt: skip


def test_edges_take_no_notice_of_brightness_and_find_a_lost_line():
    image = torch.zeros(2, 3, 8, 8)
    assert edges(image + 0.3, image).abs().max() < 1e-7
    line = image.clone()
    line[0, :, :, 4] = 1
    found = edges(image, line)
    assert found.shape == (2, 1, 1, 1)
    # Full size: two of seven columns of differences are 1, none of rows. Half: the line is .5 wide,
    # two of three columns differ by .5. Quarter: one of one by .25.
    expected = (2 / 7 + 0.5 * 2 / 3 + 0.25) / 3
    assert found[0].item() == pytest.approx(expected)
    assert found[1].item() == 0


def test_the_critics_weight_makes_both_gradients_equally_long():
    assert balance(torch.full((4,), 3.0), torch.full((4,), 0.5)).item() == pytest.approx(
        6, rel=1e-3
    )
    assert balance(torch.ones(1), torch.zeros(1)).item() == pytest.approx(1e4)
    assert balance(torch.ones(1) * 1e3, torch.zeros(1)).item() == 1e4
