import math

import pytest
import torch

from genkit.evaluation.intervals import interval, is_share, share_interval, standard_error
from genkit.evaluation.metrics.near_copies import nearer_than, together
from genkit.random import generator


def test_the_error_of_a_share_is_that_of_the_binomial():
    values = (torch.arange(1000) < 300).double()
    assert standard_error(values) == pytest.approx((0.3 * 0.7 / 999) ** 0.5)
    assert interval(0.3, 0.1) == pytest.approx((0.104, 0.496), abs=1e-4)


def test_what_differs_between_asked_for_classes_is_no_chance():
    labels = torch.arange(200) % 2
    assert standard_error(labels.double(), labels=labels) == 0
    noise = torch.randn(200, generator=generator(0, "noise"), dtype=torch.float64)
    apart = [noise[labels == c].var().item() for c in (0, 1)]
    expected = math.sqrt(sum(apart) / 2 / 200)
    assert standard_error(noise + 10 * labels, labels=labels) == pytest.approx(expected)


def test_tiny_classes_are_left_aside():
    labels = torch.arange(60) % 20  # three images each
    values = labels.double()
    assert standard_error(values, labels=labels) == standard_error(values)


def test_some_of_the_images_tell_the_error_of_all():
    values = torch.randn(1000, generator=generator(0, "some"), dtype=torch.float64)
    assert standard_error(values, 100_000) == pytest.approx(standard_error(values) / 10)


def test_an_interval_keeps_within_what_is_possible():
    assert interval(0.99, 0.1, most=1.0)[1] == 1.0
    assert interval(0.01, 0.1)[0] == 0.0
    assert math.isnan(standard_error(torch.ones(1)))


@pytest.mark.parametrize(
    ("share", "count", "ends"),
    [
        (0.0, 2000, (0.0, 0.001917)),  # Wilson 1927: z^2 / (n + z^2)
        (1.0, 800, (0.995221, 1.0)),
        (0.003, 2000, (0.001375, 0.006530)),
        (0.5, 100, (0.403832, 0.596168)),
    ],
)
def test_a_share_has_the_interval_of_wilson_which_is_never_a_point(share, count, ends):
    assert share_interval(share, count) == pytest.approx(ends, abs=2e-6)


@pytest.mark.parametrize(("share", "count"), [(0.003, 2000), (0.0005, 2000), (0.998, 1000)])
def test_near_0_and_1_the_interval_of_a_share_still_holds_it(share, count):
    def mass(k):
        chance = k * math.log(share) + (count - k) * math.log1p(-share)
        ways = math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
        return math.exp(ways + chance)

    def holds(k):
        low, high = share_interval(k / count, count)
        return low <= share <= high

    covered = sum(mass(k) for k in range(count + 1) if holds(k))
    assert 0.91 <= covered <= 0.99  # the normal approximation: .935, .632 and .864


def test_only_zeros_and_ones_whose_mean_is_the_value_are_a_share():
    flags = torch.tensor([0.0, 1, 1, 0])
    assert is_share(0.5, flags)
    assert not is_share(0.4, flags)
    assert not is_share(0.5, torch.tensor([0.25, 0.75]))


def test_the_interval_of_near_copies_knows_of_the_reference_too():
    """Unseen images lie below half of as many others; both sets are chance."""
    draw = generator(0, "trials")
    held = {0.5: 0, 0.01: 0}
    trials, count = 400, 2000
    for _ in range(trials):
        mine, unseen = torch.rand(2, count, generator=draw, dtype=torch.float64)
        for quantile in held:
            share = nearer_than(mine, unseen, quantile)[0].mean().item()
            low, high = share_interval(share, together(count, count))
            held[quantile] += low <= quantile <= high
    assert all(0.93 <= found / trials <= 0.98 for found in held.values()), held
