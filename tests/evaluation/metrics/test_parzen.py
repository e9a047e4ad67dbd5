import math

import pytest
import torch
from rows_at_hand import everything

from genkit.errors import EvaluationError
from genkit.evaluation.metrics.parzen import (
    SIGMAS,
    log_likelihoods,
    parzen,
    rows_of,
    split_train,
)
from genkit.evaluation.sets import shape_of
from genkit.random import generator
from genkit.rows.base import image_rows


def normal(count, dimensions, scale, purpose):
    drawn = torch.randn(count, dimensions, generator=generator(0, purpose), dtype=torch.float64)
    return scale * drawn


def grey(count, size=4):
    drawn = torch.randint(256, (count, 1, size, size), generator=generator(0, "grey"))
    return image_rows("grey", drawn.to(torch.uint8))


def test_one_sample_at_zero_distance_gives_the_constant_of_its_gaussian():
    point = torch.rand(1, 784)
    found = log_likelihoods(point, point, (0.2, 1.0))
    assert found[0, 0].item() == pytest.approx(541.3515, abs=1e-4)
    assert found[1, 0].item() == pytest.approx(-784 * math.log(math.sqrt(2 * math.pi)))


def test_repeating_every_sample_changes_nothing():
    points, samples = torch.rand(5, 9), torch.rand(7, 9)
    once, thrice = (log_likelihoods(points, samples.repeat(n, 1), (0.3,)) for n in (1, 3))
    torch.testing.assert_close(once, thrice)


def test_it_agrees_with_the_mixture_of_gaussians_of_torch():
    points, samples = normal(6, 3, 1.0, "points"), normal(8, 3, 1.0, "samples")
    normals = torch.distributions.Independent(torch.distributions.Normal(samples, 0.4), 1)
    weights = torch.distributions.Categorical(torch.ones(8, dtype=torch.float64))
    mixture = torch.distributions.MixtureSameFamily(weights, normals)
    torch.testing.assert_close(
        log_likelihoods(points, samples, (0.4,))[0], mixture.log_prob(points)
    )


def test_many_gaussian_samples_give_the_likelihood_of_the_widened_gaussian():
    # Samples ~ N(0, s^2) under windows of width w tend to N(0, s^2 + w^2).
    points, samples = normal(50, 2, 0.5, "points"), normal(40_000, 2, 0.5, "samples")
    wide = torch.distributions.Normal(0, math.hypot(0.5, 0.3))
    expected = wide.log_prob(points).sum(1)
    assert (log_likelihoods(points, samples, (0.3,))[0] - expected).mean().abs() < 0.02


def test_the_parts_that_are_held_at_a_time_change_nothing(monkeypatch):
    points, samples = torch.rand(11, 5), torch.rand(6, 5)
    whole = log_likelihoods(points, samples, SIGMAS)
    monkeypatch.setattr("genkit.evaluation.metrics.parzen.CHUNK", 4)
    torch.testing.assert_close(log_likelihoods(points, samples, SIGMAS), whole)


def test_sigma_is_the_one_of_ten_that_fits_the_validation_images_best():
    assert len(SIGMAS) == 10
    assert SIGMAS[0] == pytest.approx(0.1)
    assert SIGMAS[-1] == pytest.approx(1)
    # One sample at 0, values of spread 0.36 around it: that spread is the likeliest width.
    spread = SIGMAS[5]
    found = parzen(
        normal(20, 30, 1.0, "real"), torch.zeros(1, 30), normal(500, 30, spread, "valid")
    )
    assert found.sigma == spread
    assert found.values.shape == (20,)


def test_values_lie_between_zero_and_one_in_rows():
    images = image_rows("two", torch.tensor([0, 255], dtype=torch.uint8)
                                  .view(2, 1, 1, 1).expand(-1, 3, 2, 2))  # fmt: skip
    rows = rows_of(images, shape_of(images))
    assert rows.dtype == torch.float64
    assert rows.tolist() == [[0.0] * 12, [1.0] * 12]


def test_images_of_another_size_are_refused():
    with pytest.raises(
        EvaluationError, match=r"grey: images of .* = \(1, 4, 4\) can't be compared"
    ):
        rows_of(grey(3), torch.Size([1, 5, 5]))


def test_validation_are_the_first_thousand_of_the_last_ten_thousand_training_images():
    pixels = torch.arange(12_000).view(-1, 1, 1, 1)
    low, high = (pixels % 256).to(torch.uint8), (pixels // 256).to(torch.uint8)
    train = image_rows("train", torch.cat([low, high, high], 1))
    validation, rest = split_train(train)
    numbers = [int(image[0]) + 256 * int(image[1]) for image in everything(validation)]
    assert numbers == list(range(2_000, 3_000))
    assert len(rest) == 11_000


def test_a_training_set_that_is_all_validation_is_refused():
    with pytest.raises(EvaluationError, match="give a larger --train"):
        split_train(grey(1_000))
