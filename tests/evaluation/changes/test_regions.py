"""Errors inside and outside a region, by hand."""

import pytest
import torch

from genkit.evaluation.changes.regions import changed, errors, of_edits


def square(value, corner=0, side=2):
    picture = torch.full((1, 3, 8, 8), 100, dtype=torch.uint8)
    picture[:, :, corner : corner + side, corner : corner + side] = value
    return picture


def test_the_region_is_where_any_channel_differs():
    before, target = square(100), square(100)
    target[0, 2, 3, 4] = 101
    region = changed(before, target)
    assert region.shape == (1, 1, 8, 8)
    assert region.nonzero().tolist() == [[0, 0, 3, 4]]


def test_errors_inside_and_outside_are_in_the_range_of_pictures():
    before, target = square(100), square(151)
    half = square(125)
    half[0, :, 7, 7] = 151  # one pixel of sixty that should not have moved
    inside, copied, outside = of_edits(before, half, target)[0].tolist()
    assert inside == pytest.approx(26 / 255)
    assert copied == pytest.approx(51 / 255)
    assert outside == pytest.approx(51 / 255 / 60)
    assert of_edits(before, target, target)[0, 0] == 0
    assert of_edits(before, before, target)[0].tolist() == pytest.approx([0.2, 0.2, 0])


def test_an_error_over_no_region_is_no_number():
    nothing = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    assert errors(square(0), square(255), nothing).isnan().all()


def test_a_small_region_counts_like_a_large_one():
    small, large = square(151, side=1), square(151, side=6)
    before = square(100).expand(2, -1, -1, -1)
    found = of_edits(before, before, torch.cat([small, large]))
    assert found[:, 1].tolist() == pytest.approx([0.2, 0.2])
