import math

import pytest
import torch

from genkit.evaluation.intervals import interval, standard_error
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
