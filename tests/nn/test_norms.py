"""Conditional batch norm against plain batch norm."""

import pytest
import torch
from torch import nn

from genkit.nn.norms import (
    ConditionalBatchNorm1d,
    ConditionalBatchNorm2d,
    LabelledSequential,
    batch_norm,
)

FORMS = [
    (ConditionalBatchNorm2d, nn.BatchNorm2d, (6, 3, 4, 4)),
    (ConditionalBatchNorm1d, nn.BatchNorm1d, (6, 3)),
]
LABEL = torch.tensor([0, 1, 2, 2, 1, 0])


@pytest.mark.parametrize(("conditional", "plain", "shape"), FORMS)
@pytest.mark.parametrize("training", [True, False])
def test_with_equal_rows_it_is_plain_batch_norm(conditional, plain, shape, training):
    ours, theirs = conditional(3, 5), plain(3)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor([0.5, 2.0, -1.0]))
        theirs.bias.copy_(torch.tensor([1.0, 0.0, 3.0]))
        ours.scale.weight.copy_(theirs.weight.expand(5, 3))
        ours.shift.weight.copy_(theirs.bias.expand(5, 3))
    x = 3 + 2 * torch.randn(shape)
    ours(x, LABEL), theirs(x)  # moves the running moments
    ours.train(training), theirs.train(training)
    assert torch.allclose(ours(x, LABEL), theirs(x), atol=1e-5)
    assert torch.equal(ours.norm.running_mean, theirs.running_mean)


@pytest.mark.parametrize(("conditional", "plain", "shape"), FORMS)
def test_it_starts_as_the_identity_on_normalised_features(conditional, plain, shape):
    x = torch.randn(shape)
    assert torch.allclose(conditional(3, 5)(x, LABEL), plain(3, affine=False)(x), atol=1e-6)


def test_each_image_gets_the_scale_and_shift_of_its_class():
    norm = ConditionalBatchNorm2d(2, 3)
    with torch.no_grad():
        norm.scale.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
        norm.shift.weight.copy_(torch.tensor([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]))
    x = torch.randn(3, 2, 4, 4)
    normalised = norm.norm(x)
    got = norm(x, torch.tensor([2, 0, 1]))
    assert torch.allclose(got[0, 1], 6 * normalised[0, 1] + 0.6, atol=1e-6)
    assert torch.allclose(got[1, 0], 1 * normalised[1, 0] + 0.1, atol=1e-6)
    assert torch.allclose(got[2, 1], 4 * normalised[2, 1] + 0.4, atol=1e-6)


def test_only_classes_in_the_batch_learn():
    norm = ConditionalBatchNorm2d(2, 3)
    norm(torch.randn(4, 2, 3, 3), torch.tensor([0, 2, 2, 0])).square().sum().backward()
    learns = norm.shift.weight.grad.abs().sum(1) > 0
    assert learns.tolist() == [True, False, True]


def test_the_moments_lie_in_a_real_batch_norm():
    inner = [m for m in ConditionalBatchNorm2d(2, 3).modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(inner) == 1
    assert not inner[0].affine


def test_without_classes_there_is_plain_batch_norm():
    assert type(batch_norm(4, None)) is nn.BatchNorm2d
    assert type(batch_norm(4, 3)) is ConditionalBatchNorm2d


def test_the_label_reaches_norms_at_any_depth():
    deep = LabelledSequential(
        nn.ReLU(), LabelledSequential(nn.Identity(), ConditionalBatchNorm2d(2, 3))
    )
    x = torch.randn(4, 2, 3, 3)
    label = torch.tensor([0, 1, 2, 0])
    norm = deep[1][1]
    nn.init.normal_(norm.shift.weight)
    assert torch.equal(deep(x, label), norm(x.relu(), label))
