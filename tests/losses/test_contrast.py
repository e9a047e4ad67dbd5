"""The contrast between patches, by cases that can be worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from genkit.losses.contrast import drawn_places, patch_contrast, patches_at


def test_the_contrast_of_two_patches_is_that_worked_out_by_hand():
    # <q1, k1> = 1, <q1, k2> = .6; <q2, k1> = 0, <q2, k2> = .8. At tau = 1 the share of the right
    # one is 1 / (1 + e^-.4) and 1 / (1 + e^-.8): -log gives .51302 and .37110.
    query = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    key = torch.tensor([[[1.0, 0.0], [0.6, 0.8]]])
    by_hand = (math.log1p(math.exp(-0.4)) + math.log1p(math.exp(-0.8))) / 2
    assert by_hand == pytest.approx(0.44206, abs=1e-5)
    assert patch_contrast(query, key, 1.0).item() == pytest.approx(by_hand, abs=1e-6)
    sharper = (math.log1p(math.exp(-0.4 / 0.07)) + math.log1p(math.exp(-0.8 / 0.07))) / 2
    assert patch_contrast(query, key).item() == pytest.approx(sharper, abs=1e-6)


def test_negatives_are_patches_of_the_same_picture_only():
    one, other = (F.normalize(torch.randn(1, 6, 4), dim=-1) for _ in range(2))
    alone = [patch_contrast(one, other), patch_contrast(other, one)]
    both = patch_contrast(torch.cat([one, other]), torch.cat([other, one]))
    torch.testing.assert_close(both, torch.cat(alone))


@pytest.mark.parametrize("count", [1, 2, 256])
def test_patches_that_are_all_alike_have_the_logarithm_of_their_number(count):
    same = F.normalize(torch.ones(2, count, 5), dim=-1)
    assert patch_contrast(same, same).tolist() == pytest.approx(2 * [math.log(count)], abs=1e-5)


def test_the_key_is_given_no_gradient():
    query = torch.randn(1, 3, 4, requires_grad=True)
    key = torch.randn(1, 3, 4, requires_grad=True)
    patch_contrast(query, key).sum().backward()
    assert key.grad is None
    assert query.grad.abs().max() > 0


@pytest.mark.parametrize(("side", "count", "expected"), [(8, 256, 64), (2, 256, 4), (32, 256, 256)])
def test_places_are_distinct_and_no_more_than_the_map_has(side, count, expected):
    places = drawn_places(torch.rand(5, side * side), count)
    assert places.shape == (5, expected)
    assert all(len(set(row)) == expected for row in places.tolist())
    assert 0 <= places.min() <= places.max() < side * side
    assert len({tuple(row) for row in places.tolist()}) > 1  # each picture has draws of its own


def test_the_features_at_a_place_are_those_of_its_row_and_column():
    features = torch.arange(2 * 3 * 4 * 5).view(2, 3, 4, 5)
    places = torch.tensor([[0, 7, 19], [5, 5, 6]])
    found = patches_at(features, places)
    assert found.shape == (2, 3, 3)
    assert found[0, 1].tolist() == features[0, :, 1, 2].tolist()
    assert found[1, 2].tolist() == features[1, :, 1, 1].tolist()
