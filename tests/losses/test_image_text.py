"""Losses of pictures and texts against closed forms and the libraries that have them."""

import math

import pytest
import torch
import torch.nn.functional as F

from genkit.losses.image_text import belonging, contrastive, sigmoid

ONE = torch.eye(4, dtype=torch.bool)


def scale(value: float) -> torch.Tensor:
    return torch.tensor(value)


def test_embeddings_that_tell_nothing_apart_have_ln_n():
    assert contrastive(torch.full((4, 4), 0.3), ONE, scale(50.0)).item() == pytest.approx(
        math.log(4)
    )


def test_two_pairs_by_hand():
    # Rows: softmax of (2, 0) and (1, 3); columns: of (2, 1) and (0, 3).
    cosines = torch.tensor([[1.0, 0.0], [0.5, 1.5]])
    rows = math.log(1 + math.exp(-2)), math.log(1 + math.exp(-2))
    columns = math.log(1 + math.exp(-1)), math.log(1 + math.exp(-3))
    expected = (sum(rows) / 2 + sum(columns) / 2) / 2
    assert contrastive(cosines, ONE[:2, :2], scale(2.0)).item() == pytest.approx(expected)


def test_without_equal_rows_it_is_what_transformers_computes():
    from transformers.models.clip.modeling_clip import image_text_contrastive_loss

    cosines = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    found = contrastive(cosines, torch.eye(6, dtype=torch.bool), scale(3.0))
    torch.testing.assert_close(found, image_text_contrastive_loss(3 * cosines))


def test_equal_captions_share_the_target():
    # All of one text: no answer is wrong, so the loss is least, ln 3, where all cosines agree.
    every = torch.ones(3, 3, dtype=torch.bool)
    level = contrastive(torch.zeros(3, 3), every, scale(5.0))
    assert level.item() == pytest.approx(math.log(3))
    assert contrastive(torch.eye(3), every, scale(5.0)) > level
    # Two of three alike: what a perfect model reaches is half of ln 2 for each of the two.
    same = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=torch.bool)
    best = contrastive(same.float(), same, scale(1000.0))
    assert best.item() == pytest.approx(2 / 3 * math.log(2))


def test_foils_are_wrong_answers_that_ask_for_none():
    # Two pictures, two texts, one foil: by picture three answers, by text two.
    cosines, same = torch.zeros(2, 3), torch.eye(2, 3, dtype=torch.bool)
    level = contrastive(cosines, same, scale(4.0)).item()
    assert level == pytest.approx((math.log(3) + math.log(2)) / 2)
    cosines[0, 2] = 1.0  # a picture that the foil is near to
    worse = (math.log(2 + math.exp(4)) + math.log(3)) / 2
    assert contrastive(cosines, same, scale(4.0)).item() == pytest.approx((worse + math.log(2)) / 2)
    found = sigmoid(cosines, same, scale(10.0), torch.tensor(0.0))
    expected = (5 * math.log(2) + math.log(1 + math.exp(10))) / 2
    assert found.item() == pytest.approx(expected)


def test_a_foil_that_is_the_text_of_another_picture_is_right_for_that_one():
    texts, pictures, foils = torch.tensor([1, 2]), torch.tensor([7, 8]), torch.tensor([2, 3])
    expected = torch.tensor([[1, 0, 0, 0], [0, 1, 1, 0]], dtype=torch.bool)
    assert torch.equal(belonging(texts, pictures, foils), expected)


def test_sigmoid_is_the_mean_over_pictures_of_the_sum_over_texts():
    cosines, same = torch.tensor([[0.9, -0.2], [0.1, 0.8]]), torch.eye(2, dtype=torch.bool)
    found = sigmoid(cosines, same, scale(10.0), torch.tensor(-10.0))
    signs = 2 * same.float() - 1
    expected = -F.logsigmoid(signs * (10 * cosines - 10)).sum() / 2
    torch.testing.assert_close(found, expected)


def test_rows_belong_together_by_text_or_by_picture():
    found = belonging(torch.tensor([7, 8, 7, 9]), torch.tensor([0, 1, 2, 1]))
    expected = torch.eye(4, dtype=torch.bool)
    expected[0, 2] = expected[2, 0] = expected[1, 3] = expected[3, 1] = True
    assert torch.equal(found, expected)
