import pytest
import torch

from genkit.errors import EvaluationError
from genkit.evaluation.moments import Gaussian, Moments, moments_of
from genkit.random import generator


def normal(count, width, purpose="features"):
    return torch.randn(count, width, generator=generator(0, purpose), dtype=torch.float64)


def test_moments_are_mean_and_unbiased_covariance():
    x = normal(50, 4)
    gaussian = Moments.of(x).gaussian
    torch.testing.assert_close(gaussian.mean, x.mean(0))
    torch.testing.assert_close(gaussian.covariance, torch.cov(x.T))


def test_merged_moments_equal_one_pass_even_far_from_zero():
    x = normal(300, 5) + 1e6
    merged = Moments.of(x[:7]).merge(Moments.of(x[7:100])).merge(Moments.of(x[100:]))
    whole = Moments.of(x)
    assert merged.count == 300
    torch.testing.assert_close(merged.mean, whole.mean, rtol=1e-14, atol=0)
    torch.testing.assert_close(merged.scatter, whole.scatter, rtol=1e-8, atol=1e-6)
    torch.testing.assert_close(moments_of(x, 64).scatter, whole.scatter, rtol=1e-8, atol=1e-6)


def test_an_empty_part_changes_no_moment():
    x, empty = normal(9, 3), normal(0, 3)
    for merged in (Moments.of(x).merge(Moments.of(empty)), Moments.of(empty).merge(Moments.of(x))):
        torch.testing.assert_close(merged.mean, Moments.of(x).mean)
        torch.testing.assert_close(merged.scatter, Moments.of(x).scatter)
    assert Moments.of(empty).merge(Moments.of(empty)).count == 0


def test_one_image_has_no_covariance():
    with pytest.raises(EvaluationError, match="at least 2 images"):
        _ = Moments.of(normal(1, 3)).gaussian


def test_a_set_with_fewer_images_than_features_keeps_its_rows():
    x = normal(7, 20)
    gaussian = Gaussian.of(x)
    torch.testing.assert_close(gaussian.rows.T @ gaussian.rows, torch.cov(x.T))
    assert Gaussian.of(normal(40, 20)).rows is None
