import math

import pytest
import torch

from genkit.data.readers import glyphs, stacked
from genkit.evaluation.extractors.digits import load_digits
from genkit.evaluation.metrics.modes import (
    NAMES,
    Channels,
    covered,
    kl_influence,
    kl_to_uniform,
    modes_shown,
)
from genkit.random import generator
from genkit.rows.base import image_rows

K = 1000


def test_samples_of_one_mode_cover_it_alone_and_diverge_by_the_log_of_all():
    counts = torch.zeros(K, dtype=torch.int64)
    counts[123] = 77
    assert covered(counts) == 1
    assert kl_to_uniform(counts).item() == pytest.approx(math.log(K), abs=1e-12)


def test_equally_frequent_modes_are_all_covered_and_diverge_by_nothing():
    counts = torch.full((K,), 26)
    assert covered(counts) == K
    assert kl_to_uniform(counts).item() == pytest.approx(0, abs=1e-12)


def test_one_half_of_the_modes_diverges_by_log_two():
    counts = 5 * (torch.arange(K) % 2)
    assert covered(counts) == K // 2
    assert kl_to_uniform(counts).item() == pytest.approx(math.log(2), abs=1e-12)


def test_a_perfect_model_diverges_by_half_the_modes_over_the_samples():
    # The first-order bias of a plug-in entropy: (K - 1) / 2n.
    shown = torch.randint(K, (26_000,), generator=torch.Generator().manual_seed(0))
    counts = shown.bincount(minlength=K)
    assert kl_to_uniform(counts).item() == pytest.approx((K - 1) / 52_000, rel=0.15)


def test_the_influence_of_a_mode_is_the_derivative_of_the_divergence():
    shown = torch.tensor([0] * 50 + [1] * 30 + [2] * 20)
    influence = kl_influence(shown, 4)

    def divergence(share):
        return torch.xlogy(share, share * 4).sum()

    share = torch.tensor([0.5, 0.3, 0.2, 0.0]).double()
    more = share * (1 - 1e-6) + torch.tensor([0, 1e-6, 0, 0]).double()
    found = (divergence(more) - divergence(share)) / 1e-6
    assert found.item() == pytest.approx((influence[60] - influence.mean()).item(), rel=1e-4)


def test_each_channel_is_looked_at_as_a_grey_image_of_its_own_in_order():
    digits = load_digits()
    pixels = torch.randint(256, (4, 3, 32, 32), generator=generator(0, "channels")).to(torch.uint8)
    found = Channels(digits).of(pixels).view(12, -1)
    torch.testing.assert_close(found, digits.of(pixels.view(12, 1, 32, 32)))


def test_the_classifier_reads_the_modes_of_real_stacked_digits():
    drawn = glyphs.draw("0123456789", 32, 0, "test", 100)[:, None]
    digits = image_rows("digits", drawn, torch.arange(100) % 10)
    pixels, labels = stacked.stack(digits, stacked.choose(0, "test", 200, 100))
    shown = modes_shown(image_rows("stacked", pixels), load_digits())
    assert (shown == labels).double().mean() >= 0.95


def test_the_names_are_those_of_the_data_set():
    assert NAMES == stacked.CLASS_NAMES
