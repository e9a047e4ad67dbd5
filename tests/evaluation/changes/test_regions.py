"""Errors inside and outside a region, by hand."""

import pytest
import torch

from genkit.config.data import reader
from genkit.evaluation.changes.regions import SEEN, changed, errors, of_edits


def square(value, corner=0, side=2):
    picture = torch.full((1, 3, 8, 8), 100, dtype=torch.uint8)
    picture[:, :, corner : corner + side, corner : corner + side] = value
    return picture


def test_the_region_is_where_the_channels_differ_by_as_much_as_can_be_seen():
    before, target = square(100), square(100)
    target[0, 2, 3, 4] = 100 + 3 * SEEN
    target[0, :, 5, 4] = 100 - SEEN
    target[0, :, 6, 6] = 100 + SEEN - 1
    target[0, 1, 7, 7] = 100 + 3 * SEEN - 1
    region = changed(before, target)
    assert region.shape == (1, 1, 8, 8)
    assert region.nonzero().tolist() == [[0, 0, 3, 4], [0, 0, 5, 4]]


def test_what_rounding_does_to_a_picture_is_no_change():
    before, target = square(100), square(151)
    again = target + torch.randint(0, 3, target.shape).to(torch.uint8)
    assert torch.equal(changed(before, again), changed(before, target))


def test_of_drawn_faces_the_region_is_as_good_as_all_that_differs():
    data = reader("faces")(kind="faces", image_size=32, train_count=4, test_count=40)
    rows = data.open("counterfactual").read(range(40), ("image", "target"))
    before, target = (torch.as_tensor(rows[name]) for name in ("image", "target"))
    apart = (before.int() - target.int()).abs().double()
    inside = apart * changed(before, target)
    assert inside.sum() / apart.sum() > 0.99
    assert of_edits(before, target, target)[:, 2].nan_to_num().mean() < 0.05 / 255


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
