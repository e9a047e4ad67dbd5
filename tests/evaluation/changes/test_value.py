"""Means over pictures with their intervals."""

import math

import pytest
import torch

from genkit.evaluation.changes.value import Against
from genkit.evaluation.changes.work import by_row
from genkit.evaluation.intervals import NORMAL
from genkit.random import generator
from genkit.rows.base import image_rows


@pytest.fixture
def against():
    return Against(image_rows("set", torch.zeros(4, 3, 8, 8, dtype=torch.uint8)), {"call": "none"})


def test_a_mean_has_the_interval_of_a_mean_and_leaves_out_what_is_no_number(against):
    found = against.mean("apart", torch.tensor([1.0, 2, 3, math.nan]), "lower", copying=4.0)
    half = NORMAL * 1 / math.sqrt(3)
    assert (found.value, found.copying) == (2, 4)
    assert (found.low, found.high) == pytest.approx((2 - half, 2 + half))
    assert found.protocol["samples"] == 3
    assert found.protocol["reference_count"] == 4
    assert found.protocol["call"] == "none"


def test_a_share_has_the_interval_of_a_share(against):
    found = against.mean("rightly", torch.ones(50), "higher", most=1.0, part="Hat")
    assert (found.name, found.part, found.whole) == ("rightly-Hat", "Hat", "rightly")
    assert found.low == pytest.approx(50 / (50 + NORMAL**2))
    assert found.high == 1


def test_a_ratio_has_the_interval_of_a_ratio(against):
    below = 1 + torch.rand(4000, generator=generator(0, "below")).double()
    above = 0.5 * below + 0.1 * torch.randn(4000, generator=generator(0, "above")).double()
    found = against.ratio("over", above, below)
    assert found.value == pytest.approx((above.mean() / below.mean()).item())
    error = 0.1 / 1.5 / math.sqrt(4000)  # only the noise moves it
    assert found.high - found.low == pytest.approx(2 * NORMAL * error, rel=0.05)
    same = against.ratio("over", below, below)
    assert (same.value, same.low, same.high) == pytest.approx((1, 1, 1))


def test_rows_are_computed_in_their_order():
    places = by_row(700, lambda rows: torch.tensor(list(rows)), "rows")
    assert places.tolist() == list(range(700))
